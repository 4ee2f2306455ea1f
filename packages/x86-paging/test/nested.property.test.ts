import {
  ABSENT_FRAME,
  ACCESS_FETCH,
  ACCESS_READ,
  ACCESS_USER,
  ACCESS_WRITE,
  EPT_MISCONFIGURATION,
  EPT_VIOLATION,
  explainWalk,
  memoryTypeOf,
  MODE_4_LEVEL,
  MODE_5_LEVEL,
  MODE_EPT,
  MODE_EPT_5_LEVEL,
  MODE_NPT,
  MODE_NPT_5_LEVEL,
  NESTED_FAULT,
  NestedWalk,
  NestedWalker,
  NON_CANONICAL,
  NPT_FINAL,
  NPT_TABLE,
  PagingState,
  TRANSLATED,
  Walk,
  walk,
  walkExact,
  walkMarking,
  wordsOfBigint,
} from "@pagewright/x86-paging";
import type { PagingMode } from "@pagewright/x86-paging";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { firstDifference, Random, snapshot, SparseMemory } from "./support/memory.ts";
import type { EptRegisters, NestedOutcome, NptRegisters, PlanarOutcome } from "./support/nested-oracle.ts";
import { oracleNested, oraclePlanar } from "./support/nested-oracle.ts";
import type { OracleAccess, OracleRegisters } from "./support/oracle.ts";

type NestedRegisters = EptRegisters | NptRegisters;

const MODES: readonly (readonly [string, PagingMode, "EPT" | "NPT", 4 | 5])[] = [
  ["EPT", MODE_EPT, "EPT", 4],
  ["EPT, 5 levels", MODE_EPT_5_LEVEL, "EPT", 5],
  ["NPT", MODE_NPT, "NPT", 4],
  ["NPT, 5 levels", MODE_NPT_5_LEVEL, "NPT", 5],
];

const SEED = 20261122;
const FRAMES = [1, 2, 3, 7, 0x105, 0x12345, 0x80001, 0x100003, 0x7fff_ffff];
const KINDS = { read: ACCESS_READ, write: ACCESS_WRITE, fetch: ACCESS_FETCH };

/** An entry that is good in the long-mode and in the EPT format alike, so that one frame may be a table of both; spoilt once in `noise`. */
function randomEntry(random: Random, noise: number): bigint {
  const frame = random.oneIn(noise * 4) ? random.pick([0x8000_0001, 0xff_ffff_fffe]) : random.pick(FRAMES);
  let entry = (BigInt(frame) << 12n) | 0x407n;
  const shape = random.below(6);
  if (shape === 0) entry = 0x487n | (BigInt(random.below(4)) << 30n);
  else if (shape === 1) entry |= 0x300n;
  if (!random.oneIn(noise)) return entry;
  switch (random.below(5)) {
    case 0:
      return random.long();
    case 1:
      return (entry & ~7n) | BigInt(random.below(8));
    case 2:
      return entry | (BigInt(random.below(8)) << 3n);
    case 3:
      return entry ^ (1n << BigInt(random.below(12)));
    default:
      return entry ^ (1n << BigInt(random.below(64)));
  }
}

function randomMemory(random: Random, noise: number): SparseMemory {
  const memory = new SparseMemory();
  for (const pfn of FRAMES) {
    const words = memory.make(pfn);
    for (let i = 0; i < 1024; i += 2) words.set(wordsOfBigint(randomEntry(random, noise)), i);
  }
  return memory;
}

function randomNested(random: Random, format: "EPT" | "NPT", levels: 4 | 5): NestedRegisters {
  const common = {
    levels,
    root: BigInt(random.pick(FRAMES)) << 12n,
    maxphyaddr: random.pick([36, 40, 46, 52, 52]),
  };
  const flag = (): boolean => random.oneIn(2);
  return format === "NPT"
    ? { format, ...common, nxe: flag() }
    : { format, ...common, executeOnly: flag(), modeBased: flag(), accessedDirty: flag() };
}

function stateOf(regs: NestedRegisters, mode: PagingMode): PagingState {
  const common = { mode, root: Number(regs.root >> 12n), maxPhysicalBits: regs.maxphyaddr };
  return regs.format === "NPT"
    ? new PagingState({ ...common, noExecute: regs.nxe })
    : new PagingState({
        ...common,
        executeOnly: regs.executeOnly,
        modeBasedExecute: regs.modeBased,
        accessedDirty: regs.accessedDirty,
      });
}

/** Bits of a qualification that the manual defines. */
const defined = (regs: NestedRegisters): number => (regs.format === "EPT" && regs.modeBased ? 0x7f : 0x3f);

function wantedText(regs: NestedRegisters, outcome: NestedOutcome): string {
  if (outcome.kind === "ok") return `ok ${outcome.pa.toString(16)} type ${outcome.type}`;
  if (outcome.kind === "violation") return `violation ${outcome.qualification & defined(regs)}`;
  return outcome.kind === "npf" ? `npf ${outcome.error}` : outcome.kind;
}

function gotText(regs: NestedRegisters, mode: PagingMode, code: number, into: Walk, gpa: bigint): string {
  if (code === TRANSLATED) {
    const level = mode.levels[into.level];
    const type = regs.format === "EPT" && level !== undefined ? memoryTypeOf(mode, level, into.low) : 0;
    return `ok ${(BigInt(into.pfn) * 4096n + (gpa & 0xfffn)).toString(16)} type ${type}`;
  }
  if (code === EPT_VIOLATION) return `violation ${into.qualification & defined(regs)}`;
  if (code === EPT_MISCONFIGURATION) return "misconfiguration";
  return code === NON_CANONICAL ? "outside" : `npf ${code}`;
}

const noises = fc.constantFrom(3, 30, 300);
/** Odd addresses of the whole 64-bit range, most within the tables' reach. */
const addresses = fc.tuple(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.constantFrom(36, 48, 48, 57, 64));
const accesses = fc.record({
  kind: fc.constantFrom("read" as const, "write" as const, "fetch" as const),
  user: fc.boolean(),
});

describe.each(MODES)("%s", (_name, mode, format, levels) => {
  test(`the walker agrees with the slow walker from the manual (seed ${SEED})`, () => {
    const into = new Walk();
    const seen = new Map<string, number>();
    const rounds = fc.array(fc.tuple(addresses, accesses), { minLength: 30, maxLength: 30 });
    fc.assert(
      fc.property(fc.nat(), noises, rounds, (seed, noise, tries) => {
        const random = new Random(seed + 1);
        const memory = randomMemory(random, noise);
        const regs = randomNested(random, format, levels);
        const state = stateOf(regs, mode);
        for (const [[value, width], access] of tries) {
          const gpa = BigInt.asUintN(width, value);
          const wanted = oracleNested(regs, (address, bytes) => memory.read(address, bytes), gpa, access);
          const [low, high] = wordsOfBigint(gpa);
          const number = KINDS[access.kind] | (access.user || format === "NPT" ? ACCESS_USER : 0);
          const code = walk(state, memory, low | 0, high | 0, number, into);
          expect(gotText(regs, mode, code, into, gpa), gpa.toString(16)).toBe(wantedText(regs, wanted));
          expect(walkExact(state, memory, low, high, number, into)).toBe(code);
          const explained = explainWalk(state, memory, low, high, number);
          expect([explained.code, explained.failure === undefined]).toEqual([code, code === TRANSLATED]);
          seen.set(wanted.kind, (seen.get(wanted.kind) ?? 0) + 1);
        }
      }),
      { seed: SEED, numRuns: 60 },
    );
    const kinds = format === "EPT" ? ["ok", "violation", "misconfiguration"] : ["ok", "npf", "outside"];
    for (const kind of kinds) expect(seen.get(kind) ?? 0, kind).toBeGreaterThan(30);
  });

  test(`accessed and dirty bits are set exactly in the entries used, where they are kept (seed ${SEED})`, () => {
    const into = new Walk();
    fc.assert(
      fc.property(fc.nat(), noises, addresses, accesses, (seed, noise, [value, width], access) => {
        const random = new Random(seed + 1);
        const memory = randomMemory(random, noise);
        const regs = randomNested(random, format, levels);
        const before = snapshot(memory.frames);
        const gpa = BigInt.asUintN(width, value);
        const wanted = oracleNested(regs, (address, bytes) => memory.read(address, bytes), gpa, access);
        const [low, high] = wordsOfBigint(gpa);
        const number = KINDS[access.kind] | (access.user || format === "NPT" ? ACCESS_USER : 0);
        walkMarking(stateOf(regs, mode), memory, low, high, number, into);
        const [accessed, dirty] = format === "EPT" ? [0x100, 0x200] : [0x20, 0x40];
        if (wanted.kind === "ok" && (regs.format === "NPT" || regs.accessedDirty)) {
          wanted.used.forEach((address, i) => {
            const words = before.get(Number(address >> 12n)) ?? ABSENT_FRAME;
            const last = i === wanted.used.length - 1;
            const at = Number(address & 0xfffn) >> 2;
            words[at] = (words[at] ?? 0) | accessed | (last && access.kind === "write" ? dirty : 0);
          });
        }
        expect(firstDifference(memory.frames, before)).toBe("none");
      }),
      { seed: SEED, numRuns: 200 },
    );
  });

  test(`a walk of both dimensions is two slow walks composed (seed ${SEED})`, () => {
    const seen = new Map<string, number>();
    const rounds = fc.array(fc.tuple(addresses, accesses), { minLength: 20, maxLength: 20 });
    fc.assert(
      fc.property(fc.nat(), fc.constantFrom(15, 60, 300), fc.boolean(), rounds, (seed, noise, deep, tries) => {
        const random = new Random(seed + 1);
        const memory = randomMemory(random, noise);
        const nested = randomNested(random, format, levels);
        const guest = randomGuest(random, deep);
        const walker = new NestedWalker(guestState(guest, deep), stateOf(nested, mode), memory);
        const into = new NestedWalk();
        for (const [[value, width], { kind, user }] of tries) {
          const va = BigInt.asUintN(64, width === 64 ? value : BigInt.asIntN(width, value));
          const access: OracleAccess = { kind, user, implicit: false, ac: false, shadowStack: false };
          const read = (address: bigint, bytes: number): bigint => memory.read(address, bytes);
          const wanted = oraclePlanar(guest, nested, read, va, access);
          const [low, high] = wordsOfBigint(va);
          const code = walker.walk(low, high, KINDS[kind] | (user ? ACCESS_USER : 0), into);
          expect(planarText(nested, code, into, va), va.toString(16)).toBe(wantedPlanar(nested, wanted));
          const what = wanted.kind === "nested" ? `nested ${wanted.inTables}` : wanted.kind;
          seen.set(what, (seen.get(what) ?? 0) + 1);
        }
      }),
      { seed: SEED, numRuns: 300 },
    );
    for (const kind of ["ok", "guest", "nested true", "nested false"])
      expect(seen.get(kind) ?? 0, kind).toBeGreaterThan(8);
  });
});

function randomGuest(random: Random, deep: boolean): OracleRegisters {
  const flag = (): boolean => random.oneIn(2);
  return {
    mode: deep ? "5-level" : "4-level",
    root: BigInt(random.pick(FRAMES)) << 12n,
    pdptes: [],
    maxphyaddr: random.pick([46, 52]),
    wp: flag(),
    smep: random.oneIn(6),
    smap: random.oneIn(6),
    nxe: flag(),
    pke: false,
    pks: false,
    pkru: 0n,
    pkrs: 0n,
  };
}

function guestState(regs: OracleRegisters, deep: boolean): PagingState {
  return new PagingState({
    mode: deep ? MODE_5_LEVEL : MODE_4_LEVEL,
    root: Number(regs.root >> 12n),
    maxPhysicalBits: regs.maxphyaddr,
    noExecute: regs.nxe,
    writeProtect: regs.wp,
    smep: regs.smep,
    smap: regs.smap,
  });
}

function wantedPlanar(nested: NestedRegisters, wanted: PlanarOutcome): string {
  if (wanted.kind === "ok") return `ok ${wanted.gpa.toString(16)} ${wanted.pa.toString(16)}`;
  if (wanted.kind === "guest")
    return wanted.outcome.kind === "pf" ? `guest pf ${wanted.outcome.error}` : `guest ${wanted.outcome.kind}`;
  const where = `nested ${wanted.page.toString(16)} ${wanted.inTables ? "table" : "final"}`;
  const { outcome, inTables } = wanted;
  if (outcome.kind === "npf") return `${where} npf ${outcome.error + (inTables ? NPT_TABLE : NPT_FINAL)}`;
  if (outcome.kind !== "violation") return `${where} ${outcome.kind}`;
  const marked = inTables && nested.format === "EPT" && nested.accessedDirty ? 3 : 0;
  const more = 0x80 | (inTables ? 0 : 0x100);
  return `${where} violation ${(outcome.qualification & defined(nested)) | marked | more}`;
}

function planarText(nested: NestedRegisters, code: number, into: NestedWalk, va: bigint): string {
  const byte = va & 0xfffn;
  if (code === TRANSLATED) {
    const reached = [into.guest.pfn, into.pfn].map((pfn) => (BigInt(pfn) * 4096n + byte).toString(16));
    return `ok ${reached.join(" ")}`;
  }
  if (code === NON_CANONICAL) return "guest gp";
  if (code !== NESTED_FAULT) return `guest pf ${code}`;
  const where = `nested ${into.guestPage.toString(16)} ${into.inTables ? "table" : "final"}`;
  if (into.code === EPT_VIOLATION) return `${where} violation ${into.information & (defined(nested) | 0x180)}`;
  if (into.code === EPT_MISCONFIGURATION) return `${where} misconfiguration`;
  return into.code === NON_CANONICAL ? `${where} outside` : `${where} npf ${into.information}`;
}
