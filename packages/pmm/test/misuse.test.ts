import { expect, test } from "vitest";

import { ISA_DMA, ORDER_1G, ORDER_2M, Pmm, PmmError } from "../src/index.ts";
import type { PmmErrorCode } from "../src/index.ts";
import { range } from "./ranges.ts";

/** The error that an action throws. */
function errorOf(action: () => void): PmmError {
  try {
    action();
  } catch (error) {
    if (PmmError.is(error)) return error;
    throw error;
  }
  throw new Error("Nothing was thrown");
}

function codeOf(action: () => void): PmmErrorCode {
  return errorOf(action).code;
}

const make = (): Pmm =>
  new Pmm({ ranges: [range(0, 159), range(256, 2 ** 19)], tables: { owners: true, counts: true }, clients: ["disk"] });

test("every misuse has its code, and nothing changes", () => {
  const pmm = make();
  const frame = pmm.take();
  const block = pmm.take({ order: ORDER_2M, node: -1, colour: -1, movable: 1 });
  const run = pmm.request({ frames: 4, ...ISA_DMA });
  if (!run.ok) throw new Error("The low zone has four frames");
  const free = pmm.freeFrames;
  expect(codeOf(() => pmm.give(frame, ORDER_2M))).toBe("wrong-order");
  expect(codeOf(() => pmm.give(block))).toBe("wrong-order");
  expect(codeOf(() => pmm.give(block + 1))).toBe("wrong-order");
  expect(codeOf(() => pmm.give(block, ORDER_1G))).toBe("wrong-order");
  expect(codeOf(() => pmm.give(run.start))).toBe("wrong-zone");
  expect(codeOf(() => pmm.give(200))).toBe("not-managed");
  expect(codeOf(() => pmm.give(NaN))).toBe("not-managed");
  expect(codeOf(() => pmm.give(-1))).toBe("not-managed");
  expect(codeOf(() => pmm.give(frame + 0.5))).toBe("not-managed");
  expect(codeOf(() => pmm.give(400_000))).toBe("never-given");
  expect(codeOf(() => pmm.release(run.start, 3))).toBe("wrong-order");
  expect(codeOf(() => pmm.release(run.start + 1, 3))).toBe("never-given");
  expect(pmm.freeFrames).toBe(free);
  pmm.give(frame);
  expect(codeOf(() => pmm.give(frame))).toBe("double-free");
  pmm.give(block, ORDER_2M);
  expect(codeOf(() => pmm.give(block, ORDER_2M))).toBe("double-free");
  pmm.release(run.start, 4);
  expect(codeOf(() => pmm.release(run.start, 4))).toBe("double-free");
  pmm.check();
});

test("an error names the frame in hexadecimal, its zone and its owner", () => {
  const pmm = make();
  const pfn = pmm.take({ order: 0, node: -1, colour: -1, movable: 1, owner: pmm.client("disk") });
  pmm.wire(pfn);
  const error = errorOf(() => pmm.give(pfn));
  expect(error).toMatchObject({ code: "wired", pfn, zone: "normal", owner: "disk" });
  expect(error.message).toBe(`The frame is wired (frame 0x${pfn.toString(16)}, zone normal, owner disk)`);
  pmm.unwire(pfn);
  pmm.addUsers(pfn, 1);
  expect(codeOf(() => pmm.give(pfn))).toBe("counted");
  expect(pmm.addUsers(pfn, -1)).toBe(1);
  pmm.give(pfn);
  pmm.check();
});

test("a frame that two workers give at once is found out when the second one takes or drains it", () => {
  const maker = new Pmm({ ranges: [range(4096, 8192)], workers: 2 });
  const other = new Pmm({ share: maker.share, worker: 1 });
  const pfn = maker.take();
  const state = new Uint8Array(maker.share.buffer, maker.share.layout.state);
  const frame = state.indexOf(16);
  maker.give(pfn);
  state[frame] = 16;
  other.give(pfn);
  expect(codeOf(() => maker.take())).toBe("double-free");
  other.drain();
  maker.drain();
  maker.check();
});

test("a bulk give that names one frame twice throws before any is given", () => {
  const pmm = make();
  const frames = new Float64Array(10);
  pmm.takeMany(frames, 10);
  const listed = Float64Array.from(frames);
  listed[9] = listed[2]!;
  const free = pmm.freeFrames;
  expect(codeOf(() => pmm.giveMany(listed, 10))).toBe("double-free");
  expect(pmm.freeFrames).toBe(free);
  pmm.giveMany(frames, 10);
  pmm.check();
});

test("a bulk give that names a borrowed frame, or one to be retired, twice throws before any is given", () => {
  const pmm = new Pmm({ ranges: [range(0, 159), range(4096, 8192)] });
  const wishes = { order: 0, node: -1, colour: -1, movable: 1 };
  const doomed = pmm.take(wishes);
  pmm.retire(doomed);
  const rest = new Float64Array(4095);
  pmm.takeMany(rest, 4095);
  const borrowed = pmm.take({ ...wishes, borrow: true });
  for (const pfn of [doomed, borrowed]) {
    expect(codeOf(() => pmm.giveMany(Float64Array.of(rest[0]!, pfn, pfn), 3))).toBe("double-free");
    expect([pmm.useOf(pfn), pmm.useOf(rest[0]!)]).toEqual([pfn === doomed ? "taken" : "taken-low", "taken"]);
  }
  pmm.giveMany(Float64Array.of(doomed, borrowed), 2);
  expect([pmm.useOf(doomed), pmm.useOf(borrowed)]).toEqual(["retired", "free"]);
  pmm.check();
});

test("a worker that died while it released a run loses nothing of it", () => {
  const maker = new Pmm({ ranges: [range(0, 159), range(4096, 8192)], workers: 2 });
  const other = new Pmm({ share: maker.share, worker: 1 });
  const grant = maker.request({ frames: 40, below: 4096 });
  if (!grant.ok) throw new Error("The low zone has forty frames");
  const bits = new Int32Array(maker.share.buffer, maker.share.layout.bits, 16);
  const before = bits.slice();
  /* The release stops at its second word: the first one's frames are free, the others bear the mark of the dead worker. */
  const store = Atomics.or;
  let words = 0;
  Atomics.or = ((...args: Parameters<typeof store>) => {
    if (args[0].byteOffset === maker.share.layout.bits && (words += 1) === 2) throw new Error("dead");
    return store(...args);
  }) as typeof store;
  try {
    expect(() => other.release(grant.start, 40)).toThrow("dead");
  } finally {
    Atomics.or = store;
  }
  expect(before).not.toEqual(bits);
  maker.recover(1);
  maker.check();
  expect(maker.stats().freeFrames).toBe(159 + 4096);
});
