import { expect, test } from "vitest";

import { SwapWindow } from "../../src/swap/swap-window.ts";

function after(misses: readonly number[], usedEach: (window: SwapWindow) => number): SwapWindow {
  const window = new SwapWindow(32);
  for (const miss of misses) {
    window.miss(miss);
    for (let used = usedEach(window); used > 0; used--) window.used();
    window.check();
  }
  return window;
}

test("a run upwards whose neighbours are used doubles the window up to its limit", () => {
  const window = new SwapWindow(32);
  const sizes = [];
  for (let miss = 100, round = 0; round < 6; round++) {
    window.miss(miss);
    expect(window.start).toBeLessThanOrEqual(miss);
    sizes.push(window.window);
    miss = window.end;
    for (let page = window.start; page < window.end - 1; page++) window.used();
  }
  expect(sizes).toEqual([4, 8, 16, 32, 32, 32]);
  window.check();
});

test("misses anywhere end with one page at a time", () => {
  expect(after([5, 900, 17, 402, 77, 1000, 3], () => 0).window).toBe(1);
});

test("pages that leave unused halve the window", () => {
  const window = new SwapWindow(32);
  window.miss(10);
  expect(window.window).toBe(4);
  window.wasted();
  expect(window.window).toBe(2);
  window.wasted();
  window.wasted();
  expect(window.window).toBe(1);
});

test("a run downwards has its window below the page that missed, other misses around it", () => {
  const window = new SwapWindow(8);
  window.miss(500);
  expect([window.start, window.end]).toEqual([499, 503]);
  window.used();
  window.used();
  window.miss(499);
  expect(window.end).toBe(500);
  window.used();
  window.miss(700);
  expect(window.start).toBeLessThanOrEqual(700);
  expect(window.end).toBeGreaterThan(700);
});
