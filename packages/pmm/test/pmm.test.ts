import { expect, test } from "vitest";

import { NO_FRAME, Pmm, PmmError } from "../src/index.ts";
import type { FrameRange } from "../src/index.ts";

const range = (start: number, end: number): FrameRange => ({
  start,
  end,
  node: 0,
  rank: 0,
  hotPluggable: false,
  faulty: [],
});

test("the frame given last is the first taken", () => {
  const pmm = new Pmm({ ranges: [range(0, 159), range(256, 8192)] });
  const a = pmm.take();
  const b = pmm.take();
  pmm.give(a);
  expect(pmm.take()).toBe(a);
  pmm.give(b);
  pmm.give(a);
  pmm.check();
  let taken = 0;
  while (pmm.take() !== NO_FRAME) taken += 1;
  expect(taken).toBe(4096);
});

test("a double free is a typed error and changes nothing", () => {
  const pmm = new Pmm({ ranges: [range(256, 8192)] });
  const a = pmm.take();
  pmm.give(a);
  expect(() => pmm.give(a)).toThrow(PmmError);
  expect(pmm.freeFrames).toBe(4096);
  pmm.check();
});
