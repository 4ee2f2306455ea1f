import {
  ABSENT_FRAME,
  ACCESS_AC,
  ACCESS_FETCH,
  ACCESS_IMPLICIT,
  ACCESS_READ,
  ACCESS_SHADOW_STACK,
  ACCESS_USER,
  ACCESS_WRITE,
  explainWalk,
  MODE_32_BIT,
  MODE_32_BIT_NO_PSE,
  MODE_4_LEVEL,
  MODE_5_LEVEL,
  MODE_PAE,
  NON_CANONICAL,
  PagingState,
  rightsText,
  TRANSLATED,
  Walk,
  walk,
  walkExact,
  walkMarking,
  wordsOfBigint,
} from "@pagewright/x86-paging";
import type { PagingMode } from "@pagewright/x86-paging";
import { describe, expect, test } from "vitest";
import { firstDifference, Random, SparseMemory } from "./support/memory.ts";
import type { OracleAccess, OracleRegisters } from "./support/oracle.ts";
import { oracleWalk } from "./support/oracle.ts";

const MODES: readonly (readonly [OracleRegisters["mode"], PagingMode])[] = [
  ["4-level", MODE_4_LEVEL],
  ["5-level", MODE_5_LEVEL],
  ["PAE", MODE_PAE],
  ["32-bit", MODE_32_BIT],
  ["32-bit without PSE", MODE_32_BIT_NO_PSE],
];

const SEED = 20261122;

/** Frames of which tables refer to each other, low, above 4 GiB and above 8 TiB, so that loops and every path of the walker come up. */
const FRAMES = [1, 2, 3, 7, 0x12345, 0x80001, 0x100003, 0x7fff_ffff, 0x8000_0001, 0xff_ffff_fffe];

function randomEntry(random: Random, wide: boolean): bigint {
  if (random.oneIn(12)) return random.long();
  const frames = wide ? FRAMES : FRAMES.slice(0, 6);
  let entry = (BigInt(random.pick(frames)) << 12n) | 7n | BigInt(random.pick([0, 0x20, 0x60, 0x160]));
  if (random.oneIn(6)) entry ^= 1n << BigInt(random.below(12));
  if (random.oneIn(12)) entry |= 0x80n;
  if (random.oneIn(10)) entry ^= 1n << BigInt(random.below(64));
  if (random.oneIn(4)) entry |= BigInt(random.below(16)) << 59n;
  if (random.oneIn(6)) entry &= ~2n;
  if (random.oneIn(8)) entry = (entry & ~0x1ff000n) | 0x80n;
  return BigInt.asUintN(wide ? 64 : 32, entry);
}

function randomTables(random: Random, mode: PagingMode): { memory: SparseMemory; words: number } {
  const memory = new SparseMemory();
  const wide = mode.entryWords === 2;
  for (const pfn of FRAMES) {
    const words = memory.make(pfn);
    for (let i = 0; i < 1024; i += mode.entryWords) {
      const [low, high] = wordsOfBigint(randomEntry(random, wide));
      words[i] = low;
      if (wide) words[i + 1] = high;
    }
  }
  return { memory, words: mode.entryWords };
}

function randomAccess(random: Random): { access: number; oracle: OracleAccess } {
  const kind = random.pick(["read", "write", "fetch"] as const);
  const user = random.oneIn(2);
  const shadowStack = kind !== "fetch" && random.oneIn(8);
  const implicit = kind !== "fetch" && random.oneIn(6);
  const ac = random.oneIn(2);
  const access =
    { read: ACCESS_READ, write: ACCESS_WRITE, fetch: ACCESS_FETCH }[kind]
    | (user ? ACCESS_USER : 0)
    | (implicit ? ACCESS_IMPLICIT : 0)
    | (ac ? ACCESS_AC : 0)
    | (shadowStack ? ACCESS_SHADOW_STACK : 0);
  return { access, oracle: { kind, user, implicit, ac, shadowStack } };
}

function randomAddress(random: Random, mode: PagingMode): bigint {
  if (mode.addressBits === 32) return BigInt(random.word());
  const value = random.long();
  return random.oneIn(10) ? value : BigInt.asUintN(64, BigInt.asIntN(mode.addressBits, value));
}

function randomRegisters(random: Random, name: OracleRegisters["mode"]): OracleRegisters {
  const flag = (): boolean => random.oneIn(2);
  return {
    mode: name,
    root: BigInt(random.pick(FRAMES.slice(0, name === "4-level" || name === "5-level" ? FRAMES.length : 6))) << 12n,
    pdptes: Array.from({ length: 4 }, () =>
      random.oneIn(4) ? random.long() : (BigInt(random.pick(FRAMES)) << 12n) | 1n,
    ),
    maxphyaddr: random.pick([36, 39, 40, 46, 52]),
    wp: flag(),
    smep: flag(),
    smap: flag(),
    nxe: !random.oneIn(4),
    pke: flag(),
    pks: flag(),
    pkru: BigInt(random.word()),
    pkrs: BigInt(random.word()),
  };
}

function stateFor(regs: OracleRegisters, mode: PagingMode): PagingState {
  const state = new PagingState({
    mode,
    root: Number(regs.root >> 12n),
    maxPhysicalBits: Math.min(regs.maxphyaddr, mode.definition.physicalBits),
    noExecute: regs.nxe,
    writeProtect: regs.wp,
    smep: regs.smep,
    smap: regs.smap,
    userKeys: regs.pke,
    supervisorKeys: regs.pks,
    pkru: Number(regs.pkru),
    pkrs: Number(regs.pkrs),
  });
  regs.pdptes.forEach((entry, i) => state.rootEntries.set(wordsOfBigint(entry), 2 * i));
  return state;
}

describe.each(MODES)("%s", (name, mode) => {
  test(`the walker agrees with the slow walker from the manual (seed ${SEED})`, () => {
    const random = new Random(SEED);
    const into = new Walk();
    const exact = new Walk();
    let translated = 0;
    for (let table = 0; table < 12; table++) {
      const { memory } = randomTables(random, mode);
      for (let round = 0; round < 40; round++) {
        const regs = randomRegisters(random, name);
        const state = stateFor(regs, mode);
        for (let i = 0; i < 40; i++) {
          const va = randomAddress(random, mode);
          const { access, oracle } = randomAccess(random);
          const expected = oracleWalk(regs, (address, bytes) => memory.read(address, bytes), va, oracle);
          const [low, high] = wordsOfBigint(va);
          const code = walk(state, memory, i % 2 === 0 ? low : low | 0, i % 2 === 0 ? high : high | 0, access, into);
          const where = `${name} va ${va.toString(16)} access ${access} table ${table} round ${round}`;
          const got =
            code === TRANSLATED
              ? `ok ${(BigInt(into.pfn) * 4096n + (va & 0xfffn)).toString(16)}`
              : code === NON_CANONICAL
                ? "gp"
                : `pf ${code}`;
          const wanted =
            expected.kind === "ok"
              ? `ok ${expected.pa.toString(16)}`
              : expected.kind === "gp"
                ? "gp"
                : `pf ${expected.error}`;
          const again = walkExact(state, memory, low, high, access, exact);
          if (got !== wanted || again !== code) expect([got, again], where).toEqual([wanted, code]);
          if (expected.kind === "ok") {
            translated++;
            const fast = `${rightsText(into.rights)} ${into.pfn} ${into.level} ${into.low >>> 0} ${into.high >>> 0}`;
            const slow = `${expected.rights} ${exact.pfn} ${exact.level} ${exact.low} ${exact.high}`;
            if (fast !== slow) expect(fast, where).toBe(slow);
          }
          if (i === 0)
            expect(explainWalk(state, memory, low, high, access).failure === undefined, where).toBe(
              code === TRANSLATED,
            );
        }
      }
    }
    expect(translated).toBeGreaterThan(300);
  });

  test(`accessed and dirty bits are set exactly in the entries that a successful walk uses (seed ${SEED})`, () => {
    const random = new Random(SEED + 1);
    const into = new Walk();
    for (let round = 0; round < 300; round++) {
      const { memory } = randomTables(random, mode);
      const regs = { ...randomRegisters(random, name), maxphyaddr: 52, nxe: true };
      const state = stateFor(regs, mode);
      const va = randomAddress(random, mode);
      const { access, oracle } = randomAccess(random);
      const expected = oracleWalk(regs, (address, bytes) => memory.read(address, bytes), va, oracle);
      const before = new Map([...memory.frames].map(([pfn, words]) => [pfn, words.slice()]));
      const [low, high] = wordsOfBigint(va);
      walkMarking(state, memory, low, high, access, into);
      if (expected.kind === "ok") {
        const inMemory = name === "PAE" ? expected.used.slice(1) : expected.used;
        inMemory.forEach((address, i) => {
          const words = before.get(Number(address >> 12n)) ?? ABSENT_FRAME;
          const at = Number(address & 0xfffn) >> 2;
          words[at] = (words[at] ?? 0) | 0x20 | (i === inMemory.length - 1 && oracle.kind === "write" ? 0x40 : 0);
        });
      }
      expect(firstDifference(memory.frames, before)).toBe("none");
    }
  });
});
