import {
  ABSENT_FRAME,
  ACCESS_AC,
  ACCESS_FETCH,
  ACCESS_READ,
  ACCESS_USER,
  ACCESS_WRITE,
  explainWalk,
  NON_CANONICAL,
  PagingState,
  TRANSLATED,
  Walk,
  walk,
  walkMarking,
  wordsOfBigint,
} from "@pagewright/x86-paging";
import fc from "fast-check";
import { expect, test } from "vitest";
import { firstDifference, Random, snapshot, SparseMemory } from "./support/memory.ts";
import { oracleSv39, SV39 } from "./support/sv39.ts";

const SEED = 20261122;
const FRAMES = [1, 2, 3, 7, 0x12345, 0x80001, 0x100003, 0x8000_0001, 0xfff_ffff_fffe];
const KINDS = { read: ACCESS_READ, write: ACCESS_WRITE, fetch: ACCESS_FETCH };

/** Tables that refer to each other, leaves of every size, and garbage. */
function randomMemory(random: Random): SparseMemory {
  const memory = new SparseMemory();
  for (const pfn of FRAMES) {
    const words = memory.make(pfn);
    for (let i = 0; i < 1024; i += 2) {
      let entry = (BigInt(random.pick(FRAMES)) << 10n) | 1n;
      if (random.oneIn(3)) entry |= BigInt(random.below(1024));
      if (random.oneIn(4)) entry = (entry & ~0xffffc00n) | 0x13n | BigInt(random.below(1024));
      if (random.oneIn(10)) entry ^= 1n << BigInt(random.below(64));
      if (random.oneIn(20)) entry = random.long();
      words.set(wordsOfBigint(entry), i);
    }
  }
  return memory;
}

const tries = fc.record({
  value: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  width: fc.constantFrom(39, 39, 39, 64),
  kind: fc.constantFrom("read" as const, "write" as const, "fetch" as const),
  user: fc.boolean(),
  sum: fc.boolean(),
});

test(`Sv39, defined from outside, walks and marks as the slow walker from its manual says (seed ${SEED})`, () => {
  const into = new Walk();
  const seen = new Map<string, number>();
  fc.assert(
    fc.property(fc.nat(), fc.boolean(), fc.array(tries, { minLength: 40, maxLength: 40 }), (seed, mxr, list) => {
      const random = new Random(seed + 1);
      const memory = randomMemory(random);
      const root = random.pick(FRAMES);
      const state = new PagingState({ mode: SV39, root, executableReadable: mxr });
      for (const { value, width, kind, user, sum } of list) {
        const va = BigInt.asUintN(64, BigInt.asIntN(width, value));
        const regs = { root: BigInt(root) << 12n, mxr };
        const wanted = oracleSv39(regs, (at, bytes) => memory.read(at, bytes), va, { kind, user, sum });
        const [low, high] = wordsOfBigint(va);
        const access = KINDS[kind] | (user ? ACCESS_USER : 0) | (sum ? ACCESS_AC : 0);
        const code = walk(state, memory, low, high, access, into);
        const flags = (kind === "write" ? 2 : 0) | (user ? 4 : 0);
        const cause = code >= 0 ? code & ~16 : code;
        const got =
          code === TRANSLATED
            ? (BigInt(into.pfn) * 4096n + (va & 0xfffn)).toString(16)
            : code === NON_CANONICAL
              ? "not canonical"
              : (["invalid", "denied"][cause - flags] ?? (cause - flags === 9 ? "reserved" : `code ${code}`));
        expect(got, va.toString(16)).toBe(wanted.kind === "ok" ? wanted.pa.toString(16) : wanted.kind);
        expect(explainWalk(state, memory, low, high, access).code).toBe(code);
        seen.set(wanted.kind, (seen.get(wanted.kind) ?? 0) + 1);
        if (!random.oneIn(8)) continue;
        const before = snapshot(memory.frames);
        expect(walkMarking(state, memory, low, high, access, into)).toBe(code);
        if (wanted.kind === "ok") {
          const words = before.get(Number(wanted.leaf >> 12n)) ?? ABSENT_FRAME;
          const at = Number(wanted.leaf & 0xfffn) >> 2;
          words[at] = (words[at] ?? 0) | 0x40 | (kind === "write" ? 0x80 : 0);
        }
        expect(firstDifference(memory.frames, before)).toBe("none");
      }
    }),
    { seed: SEED, numRuns: 60 },
  );
  for (const kind of ["ok", "not canonical", "invalid", "reserved", "denied"])
    expect(seen.get(kind) ?? 0, kind).toBeGreaterThan(20);
});
