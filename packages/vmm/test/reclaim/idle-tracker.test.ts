import { expect, test } from "vitest";

import { IdleTracker } from "../../src/reclaim/idle-tracker.ts";

test("idle pages age with every harvest that does not find them used", () => {
  const tracker = new IdleTracker(4);
  for (const slot of [0, 1, 2]) tracker.insert(slot);
  for (let harvest = 0; harvest < 40; harvest++) {
    tracker.accessed(0);
    if (harvest % 2 === 0) tracker.accessed(1);
    tracker.harvested();
    tracker.check();
  }
  expect([0, 1, 2, 3].map((slot) => tracker.idleFor(slot))).toEqual([0, 1, 40, -1]);
  const { idle, frequency, neverUsed, pages } = tracker.histogram();
  expect(idle).toEqual([1, 1, 0, 0, 0, 0, 1, 0, 0]);
  expect(frequency[7]).toBe(1);
  expect((frequency[3] ?? 0) + (frequency[4] ?? 0)).toBe(1);
  expect(frequency[0]).toBe(1);
  expect([neverUsed, pages]).toEqual([1, 3]);
});

test("ages stop at 255, and a page that left is forgotten", () => {
  const tracker = new IdleTracker(1);
  tracker.insert(0);
  for (let harvest = 0; harvest < 300; harvest++) tracker.harvested();
  expect(tracker.idleFor(0)).toBe(255);
  expect(tracker.histogram().idle[8]).toBe(1);
  tracker.remove(0);
  tracker.accessed(0);
  tracker.harvested();
  tracker.grow(9);
  expect(tracker.idleFor(0)).toBe(-1);
  expect(tracker.histogram().pages).toBe(0);
});
