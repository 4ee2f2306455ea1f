import { expect, test } from "vitest";

import { Arena, LEAVING, PINNED, STACKED, TAKEN, WIRED } from "../src/arena.ts";
import { ISA_DMA, NO_FRAME, Pmm } from "../src/index.ts";
import type { FrameRange, Pfn } from "../src/index.ts";
import { ABSENT, COSTS, FIXED } from "../src/move-cost.ts";
import { cheapestInWords, findInWords, missingIn, stuckIn } from "../src/word-runs.ts";
import { randomOf, range } from "./ranges.ts";

test("four state bytes at once say what the table of costs says of each", () => {
  const random = randomOf(1);
  const bytes = new Uint8Array(4);
  const word = new Int32Array(bytes.buffer);
  const top = (found: number, at: number): boolean => (new Uint8Array(Int32Array.of(found).buffer)[at]! & 128) !== 0;
  for (let state = 0; state < 256; state += 1) {
    for (let at = 0; at < 4; at += 1) {
      for (let i = 0; i < 4; i += 1) bytes[i] = i === at ? state : Math.floor(random() * 256);
      expect([state, top(stuckIn(word[0]!), at)]).toEqual([state, COSTS[state]! >= FIXED]);
      expect([state, top(missingIn(word[0]!), at)]).toEqual([state, COSTS[state]! >= ABSENT]);
    }
  }
});

/** The reads that a search makes in the low zone: of bit words, block words and words of state bytes. */
function readsOf(pmm: Pmm, frames: number): number {
  const arena = new Arena(pmm.share.layout, pmm.share.buffer);
  let reads = 0;
  const counting = (words: Int32Array): Int32Array =>
    new Proxy(words, {
      get: (target, key) => {
        if (typeof key === "string" && /^\d+$/.test(key)) reads += 1;
        return Reflect.get(target, key) as unknown;
      },
    });
  const counted = Object.create(arena, {
    bits: { value: counting(arena.bits) },
    blocks: { value: counting(arena.blocks) },
    stateWords: { value: counting(arena.stateWords) },
  }) as Arena;
  const stretch = { from: 0, to: 4096, base: 0 };
  const wish = { frames, alignment: 1, boundary: ISA_DMA.boundary };
  if (findInWords(counted, stretch, wish) < 0) cheapestInWords(counted, stretch, wish);
  return reads;
}

/** 128 words of 32 frames, each read once to find and once to price, with its state twice; and 8 blocks, twice. */
const MOST_READS = 128 * (1 + 1 + 2 * 8) + 8 + 8;
const SIZES = [1, 2, 3, 5, 8, 9, 15, 16];

/** A low zone all of whose frames are taken, then disturbed frame by frame. */
function disturbed(disturb: (pmm: Pmm, pfn: Pfn) => void): Pmm {
  const pmm = new Pmm({ ranges: [range(0, 4096)] });
  const frames: Pfn[] = [];
  const wishes = { order: 0, node: -1, colour: -1, movable: 1, borrow: true };
  for (let pfn = pmm.take(wishes); pfn !== NO_FRAME; pfn = pmm.take(wishes)) frames.push(pfn);
  for (const pfn of frames) disturb(pmm, pfn);
  return pmm;
}

test("an ISA request reads a bounded number of words, whatever the disorder", () => {
  const random = randomOf(7);
  const holes: FrameRange[] = [];
  for (let pfn = 0; pfn < 4096; pfn += 2) holes.push(range(pfn, pfn + 1));
  const disorders: Pmm[] = [
    disturbed(() => undefined),
    disturbed((pmm, pfn) => (pfn & 1) === 0 && pmm.wire(pfn)),
    disturbed((pmm, pfn) => ((pfn & 1) === 0 ? pmm.give(pfn) : pmm.wire(pfn))),
    disturbed((pmm, pfn) => (pfn & 15) > 1 && pmm.give(pfn)),
    disturbed((pmm, pfn) => ((pfn & 7) === 3 ? pmm.wire(pfn) : (pfn & 7) === 5 ? undefined : pmm.give(pfn))),
    disturbed((pmm, pfn) => (pfn & 3) === 1 && !pmm.retire(pfn).retired && pmm.give(pfn)),
    new Pmm({ ranges: holes }),
  ];
  for (let i = 0; i < 8; i += 1) {
    const parts = [random(), random(), random()];
    disorders.push(
      disturbed((pmm, pfn) => {
        if (random() < (parts[0] ?? 0)) pmm.wire(pfn);
        else if (random() < (parts[1] ?? 0)) pmm.give(pfn);
        else if (random() < (parts[2] ?? 0)) pmm.retire(pfn);
      }),
    );
  }
  let most = 0;
  for (const pmm of disorders) for (const frames of SIZES) most = Math.max(most, readsOf(pmm, frames));
  expect(most).toBeLessThanOrEqual(MOST_READS);
  expect(most).toBeGreaterThan(MOST_READS / 2);
  for (const pmm of disorders) pmm.check();
});

test("the bytes that the searches tell apart are the ones that frames have", () => {
  expect([TAKEN, TAKEN + LEAVING, STACKED].map((state) => COSTS[state])).toEqual([1, 1, 1]);
  expect([TAKEN + PINNED, TAKEN + WIRED].map((state) => COSTS[state])).toEqual([FIXED, FIXED]);
});
