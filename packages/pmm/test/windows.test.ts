import { expect, test } from "vitest";

import { leastWindow, LONGEST_WINDOW, windowsOf } from "../src/windows.ts";
import { randomOf } from "./ranges.ts";

function setIn(word: number, from: number, length: number): number {
  let set = 0;
  for (let bit = from; bit < from + length; bit += 1) set += (word >>> bit) & 1;
  return set;
}

test("the least window of a word is the one that a search bit by bit finds", () => {
  const random = randomOf(3);
  for (let turn = 0; turn < 3000; turn += 1) {
    const frames = 1 + Math.floor(random() * LONGEST_WINDOW);
    const dense = random();
    let bits = 0;
    let starts = 0;
    for (let bit = 0; bit < 32; bit += 1) {
      if (random() < dense) bits |= 1 << bit;
      if (bit + frames <= 32 && random() < 0.7) starts |= 1 << bit;
    }
    if (starts === 0) continue;
    let least = [Infinity, -1];
    for (let bit = 31; bit >= 0; bit -= 1) {
      if (((starts >>> bit) & 1) === 0) continue;
      const set = setIn(bits, bit, frames);
      if (set <= (least[0] ?? 0)) least = [set, bit];
      expect(((windowsOf(bits, frames) >>> bit) & 1) === 1).toBe(set === frames);
    }
    const found = leastWindow(bits, starts, frames);
    expect([found >>> 5, found & 31]).toEqual(least);
  }
});
