import { describe, expect, test } from "vitest";

import { MemorySwap, SeededRandom } from "@pagewright/vmm";

import { CLUSTER_SLOTS, FreeSlots, NONE_FREE } from "../../src/swap/free-slots.ts";
import { Tier } from "../../src/swap/tier.ts";

/** Takes the next `count` slots. */
function takeMany(free: FreeSlots, count: number): number[] {
  return Array.from({ length: count }, () => {
    const slot = free.next();
    if (slot >= 0) free.take(slot);
    return slot;
  });
}

/** `count` numbers from `first` on. */
const run = (first: number, count: number): number[] => Array.from({ length: count }, (_, at) => first + at);

/** The same rule over an array of booleans, found by looking at every slot. */
class NaiveSlots {
  readonly free: boolean[];
  hand = 0;

  constructor(slots: number) {
    this.free = new Array<boolean>(slots).fill(true);
  }

  next(): number {
    const { free, hand } = this;
    if (hand % CLUSTER_SLOTS !== 0 && free[hand] === true) return hand;
    const isWhole = (slot: number): boolean =>
      slot % CLUSTER_SLOTS === 0 && run(slot, CLUSTER_SLOTS).every((each) => free[each] === true);
    const start = hand - (hand % CLUSTER_SLOTS);
    return this.#goingRound(start, isWhole) ?? this.#goingRound(hand, (slot) => free[slot] === true) ?? NONE_FREE;
  }

  #goingRound(from: number, is: (slot: number) => boolean): number | undefined {
    const slots = this.free.length;
    return [...run(from, Math.max(0, slots - from)), ...run(0, Math.min(from, slots))].find(is);
  }
}

describe("free slots", () => {
  test("where every second slot is free, a wholly free cluster comes first and single slots after it", () => {
    const free = new FreeSlots(64);
    takeMany(free, 64);
    expect(free.next()).toBe(NONE_FREE);
    for (let slot = 0; slot < 32; slot += 2) free.give(slot);
    for (let slot = 32; slot < 48; slot++) free.give(slot);
    expect(takeMany(free, 16)).toEqual(run(32, 16));
    expect(takeMany(free, 17)).toEqual([...run(0, 16).map((at) => 2 * at), NONE_FREE]);
    free.check();
  });

  test("a run goes on within its cluster, past a cluster that is in part used, and into a last one of fewer slots in the end", () => {
    const free = new FreeSlots(55);
    free.withdraw(20);
    expect(takeMany(free, 32)).toEqual([...run(0, 16), ...run(32, 16)]);
    expect(takeMany(free, 7)).toEqual(run(48, 7));
    expect(takeMany(free, 16)).toEqual([...run(16, 4), ...run(21, 11), NONE_FREE]);
    free.check();
  });

  test.each([1, 2, 3, 4, 5, 6])("do as a search of all slots does (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    const slots = 1 + (random.uint32() % 150);
    const free = new FreeSlots(slots);
    const naive = new NaiveSlots(slots);
    for (let step = 0; step < 4000; step++) {
      const slot = free.next();
      expect(slot).toBe(naive.next());
      const isFilling = (step >> 8) % 2 === 0;
      if (random.uint32() % 10 < (isFilling ? 7 : 3)) {
        if (slot < 0) continue;
        free.take(slot);
        naive.free[slot] = false;
        naive.hand = slot + 1;
      } else {
        const some = random.uint32() % slots;
        if (free.has(some)) continue;
        free.give(some);
        naive.free[some] = true;
      }
      expect(free.count).toBe(naive.free.filter(Boolean).length);
      if (step % 64 === 0) free.check();
    }
  });
});

test("a fragmented store is written in clusters", () => {
  const tier = new Tier(new MemorySwap(1024), () => undefined);
  const page = new Uint8Array(4096);
  for (let slot = 0; slot < 1024; slot++) tier.write(page, slot);
  for (let slot = 0; slot < 512; slot += 2) tier.release(slot);
  for (let slot = 512; slot < 576; slot++) tier.release(slot);
  expect(Array.from({ length: 66 }, () => tier.write(page, 0))).toEqual([...run(512, 64), 0, 2]);
  tier.check();
});
