import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { MARCH_C_MINUS, MarchTest, MOVING_INVERSIONS } from "../../src/memory-test/march.ts";
import type { MarchAlgorithm, WordMemory } from "../../src/memory-test/march.ts";

const WORDS = 64;
const ALGORITHMS: readonly MarchAlgorithm[] = [MARCH_C_MINUS, MOVING_INVERSIONS];

/** A memory of WORDS words with one physical fault. */
class Broken implements WordMemory {
  readonly words = new Uint32Array(WORDS);
  reads = 0;
  writes = 0;
  readonly #onWrite: (at: number, value: number, words: Uint32Array) => void;
  readonly #place: (at: number) => number;
  constructor(
    onWrite: (at: number, value: number, words: Uint32Array) => void = (at, value, words) => (words[at] = value),
    place: (at: number) => number = (at) => at,
  ) {
    this.#onWrite = onWrite;
    this.#place = place;
    words0(this);
  }
  read(address: number): number {
    this.reads++;
    return this.words[this.#place(address / 4)] ?? 0;
  }
  write(address: number, _size: number, value: number): void {
    this.writes++;
    this.#onWrite(this.#place(address / 4), value, this.words);
  }
}

/** Random power-up contents, so that no test relies on zeros. */
function words0(memory: Broken): void {
  memory.words.forEach((_, i) => (memory.words[i] = Math.imul(i + 1, 0x9e3779b1)));
}

const faultsIn = (memory: WordMemory, algorithm: MarchAlgorithm): MarchTest => {
  const run = new MarchTest(memory, algorithm, 0, WORDS * 4);
  run.run();
  run.check();
  return run;
};

test("good memory has no fault, at the advertised number of accesses a word", () => {
  for (const [algorithm, reads, writes] of [
    [MARCH_C_MINUS, 5, 5],
    [MOVING_INVERSIONS, 2, 3],
  ] as const) {
    const memory = new Broken();
    expect(faultsIn(memory, algorithm).faultCount).toBe(0);
    expect([memory.reads, memory.writes]).toEqual([
      reads * WORDS * algorithm.backgrounds.length,
      writes * WORDS * algorithm.backgrounds.length,
    ]);
  }
});

describe.each(ALGORITHMS)("$name", (algorithm) => {
  const bit = fc.nat(31).map((n) => 2 ** n);
  const word = fc.nat(WORDS - 1);

  test("finds every stuck bit, at its address", () => {
    fc.assert(
      fc.property(word, bit, fc.boolean(), (bad, mask, high) => {
        const run = faultsIn(
          new Broken((at, value, words) => {
            words[at] = at !== bad ? value : high ? value | mask : value & ~mask;
          }),
          algorithm,
        );
        expect(run.faultCount).toBeGreaterThan(0);
        expect(new Set(run.faults.map((fault) => fault.address))).toEqual(new Set([bad * 4]));
        for (const { expected, found } of run.faults) expect((expected ^ found) >>> 0).toBe(mask);
        expect(run.faultyFrames()).toEqual([0]);
      }),
    );
  });

  test("finds every cell that cannot change in one direction", () => {
    fc.assert(
      fc.property(word, bit, fc.boolean(), (bad, mask, rising) => {
        const run = faultsIn(
          new Broken((at, value, words) => {
            const before = words[at] ?? 0;
            const stays = rising ? ~before & value & mask : before & ~value & mask;
            words[at] = at === bad ? value ^ stays : value;
          }),
          algorithm,
        );
        expect(run.faultCount).toBeGreaterThan(0);
      }),
    );
  });

  test("finds two addresses that select one word", () => {
    fc.assert(
      fc.property(word, word, (a, b) => {
        fc.pre(a !== b);
        const run = faultsIn(new Broken(undefined, (at) => (at === a ? b : at)), algorithm);
        expect(run.faultCount).toBeGreaterThan(0);
      }),
    );
  });
});

test("march C− finds every inversion coupling between two words", () => {
  const bit = fc.nat(31).map((n) => 2 ** n);
  fc.assert(
    fc.property(
      fc.nat(WORDS - 1),
      fc.nat(WORDS - 1),
      bit,
      bit,
      fc.boolean(),
      (aggressor, victim, cause, effect, rising) => {
        fc.pre(aggressor !== victim);
        const run = faultsIn(
          new Broken((at, value, words) => {
            const before = words[at] ?? 0;
            const moved = rising ? ~before & value & cause : before & ~value & cause;
            words[at] = value;
            if (at === aggressor && moved !== 0) words[victim] = (words[victim] ?? 0) ^ effect;
          }),
          MARCH_C_MINUS,
        );
        expect(run.faultCount).toBeGreaterThan(0);
      },
    ),
  );
});

test("steps of any size give the same faults as one run", () => {
  const stuck = (): Broken => new Broken((at, value, words) => (words[at] = at === 17 ? value | 4 : value));
  const whole = faultsIn(stuck(), MARCH_C_MINUS).faults;
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 500 }), (budget) => {
      const run = new MarchTest(stuck(), MARCH_C_MINUS, 0, WORDS * 4);
      let before = 0;
      while (!run.step(budget)) {
        expect(run.progress).toBeGreaterThan(before);
        before = run.progress;
        run.check();
      }
      expect(run.progress).toBe(1);
      expect(run.faults).toEqual(whole);
    }),
  );
});

test("all faults are counted, the first ones kept; ranges that are no words are refused", () => {
  const run = new MarchTest(new Broken((at, _value, words) => (words[at] = 1)), MARCH_C_MINUS, 0, WORDS * 4, 5);
  expect(run.run()).toHaveLength(5);
  expect(run.faultCount).toBeGreaterThan(100);
  for (const [start, end] of [
    [0, 0],
    [2, 8],
    [0, 6],
    [8, 4],
  ] as const)
    expect(() => new MarchTest(new Broken(), MARCH_C_MINUS, start, end)).toThrow("whole words");
});
