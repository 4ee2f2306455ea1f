import { PlainMemory } from "@pagewright/vmm";
import { expect, test } from "vitest";
import { OwnerWatch, WatchedFrames, WatchedWindow } from "../src/owner-watch.ts";

function make(): { frames: WatchedFrames; window: WatchedWindow; watch: OwnerWatch } {
  const memory = new PlainMemory(8);
  const watch = new OwnerWatch();
  return { watch, frames: new WatchedFrames(memory, watch), window: new WatchedWindow(memory, watch) };
}

test("a frame just taken holds another owner's bytes until all of them are replaced", () => {
  const { frames, window, watch } = make();
  for (const replace of [
    (pfn: number) => window.zero(pfn),
    (pfn: number) => window.copy(7, pfn),
    (pfn: number) => window.write(pfn, 0, new Uint8Array(4096)),
  ]) {
    const pfn = frames.take();
    expect(watch.isReplaced(pfn)).toBe(false);
    window.write(pfn, 1, new Uint8Array(4095));
    expect(watch.isReplaced(pfn)).toBe(false);
    replace(pfn);
    expect(watch.isReplaced(pfn)).toBe(true);
    frames.give(pfn);
    frames.take();
    expect(watch.isReplaced(pfn)).toBe(false);
    frames.give(pfn);
  }
});

test("frames taken in bulk and as blocks are watched one by one", () => {
  const { frames, watch } = make();
  const taken = new Float64Array(2);
  frames.takeMany(taken, 2);
  const block = frames.take({ order: 1, node: -1, colour: -1, movable: 1 });
  expect([taken[0]!, taken[1]!, block, block + 1].map((pfn) => watch.isReplaced(pfn))).toEqual([
    false,
    false,
    false,
    false,
  ]);
});
