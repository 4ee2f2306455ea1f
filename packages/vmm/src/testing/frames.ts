/** What frame sources and windows do. */
import type { FrameSource, FrameWindow } from "../ports.ts";
import { claim, pageOf, same, sameBytes, type ConformanceCase } from "./case.ts";

/** Claims about a `FrameSource` with 1,024 to 8,191 frames that nobody else uses, one aligned block of 512 among them. */
export const frameSourceSuite: readonly ConformanceCase<FrameSource>[] = [
  {
    name: "no frame is handed out twice, and after the last one comes -1",
    run(make): void {
      const source = make();
      const taken = drain(source);
      claim(taken.length >= 64, "there are 64 frames");
      claim(new Set(taken).size === taken.length, "all differ");
      claim(
        taken.every((pfn) => Number.isSafeInteger(pfn) && pfn >= 0),
        "all are frame numbers",
      );
    },
  },
  {
    name: "frames that were given back are there again",
    run(make): void {
      const source = make();
      const taken = drain(source);
      for (const pfn of taken) source.give(pfn);
      same(drain(source).length, taken.length, "frames");
    },
  },
  {
    name: "bulk takes and gives count as single ones do",
    run(make): void {
      const source = make();
      const into = new Float64Array(8192);
      same(source.takeMany(into, 10), 10, "ten frames");
      source.giveMany(into, 10);
      const all = source.takeMany(into, into.length);
      claim(all >= 64 && source.take() === -1, "all frames at once");
      source.giveMany(into, all);
      same(drain(source).length, all, "frames");
    },
  },
  {
    name: "a block of 2 MiB is aligned to its size, and given back as one",
    run(make): void {
      const source = make();
      const block = source.take({ order: 9, node: -1, colour: -1, movable: 0 });
      claim(block >= 0 && block / 512 === Math.floor(block / 512), "512 frames, aligned");
      const rest = drain(source);
      claim(
        rest.every((pfn) => pfn < block || pfn >= block + 512),
        "nobody else has them",
      );
      source.give(block, 9);
      same(drain(source).length, 512, "frames of the block");
    },
  },
  {
    name: "a block that was split is given back frame by frame, and is a block again",
    run(make): void {
      const source = make();
      if (source.split === undefined) return;
      const wish = { order: 9, node: -1, colour: -1, movable: 1 };
      const block = source.take(wish);
      drain(source);
      source.split(block, 9);
      for (let at = 0; at < 512; at++) source.give(block + at);
      same(source.take(wish), block, "the block");
    },
  },
];

/** A window and frames to look at through it. */
export interface WindowFixture {
  /** The window. */
  readonly window: FrameWindow;
  /** Two frames that nobody else uses. */
  readonly frames: readonly [number, number];
}

/** Claims about a `FrameWindow`. */
export const frameWindowSuite: readonly ConformanceCase<WindowFixture>[] = [
  {
    name: "bytes are read as they were written, at every offset",
    run(make): void {
      const { window, frames } = make();
      const [one, two] = frames;
      window.zero(one);
      window.zero(two);
      window.write(one, 5, Uint8Array.of(1, 2, 3));
      window.write(one, 4095, Uint8Array.of(9));
      const page = pageOf(7);
      window.read(one, 0, page);
      const expected = pageOf(0);
      expected.set([1, 2, 3], 5);
      expected[4095] = 9;
      sameBytes(page, expected, "the frame");
      const part = new Uint8Array(2);
      window.read(one, 6, part);
      same([...part], [2, 3], "a part of it");
      window.read(two, 0, page);
      sameBytes(page, pageOf(0), "the other frame");
    },
  },
  {
    name: "copy and zero are of whole frames",
    run(make): void {
      const { window, frames } = make();
      const [one, two] = frames;
      window.write(one, 0, pageOf(4));
      window.write(two, 0, pageOf(5));
      window.copy(one, two);
      const page = pageOf(0);
      window.read(two, 0, page);
      sameBytes(page, pageOf(4), "the copy");
      window.zero(one);
      window.read(one, 0, page);
      sameBytes(page, pageOf(0), "the zeroed frame");
      window.read(two, 0, page);
      sameBytes(page, pageOf(4), "the copy afterwards");
    },
  },
  {
    name: "frames that are zeroed together are those of the list's beginning",
    run(make): void {
      const { window, frames } = make();
      const [one, two] = frames;
      if (window.zeroMany === undefined) return;
      window.write(one, 0, pageOf(4));
      window.write(two, 0, pageOf(5));
      window.zeroMany(Float64Array.of(two, one), 1);
      const page = pageOf(1);
      window.read(two, 0, page);
      sameBytes(page, pageOf(0), "the zeroed frame");
      window.read(one, 0, page);
      sameBytes(page, pageOf(4), "the frame that was not named");
      window.write(two, 0, pageOf(5));
      window.zeroMany(Float64Array.of(two, one), 2);
      for (const pfn of [one, two]) {
        window.read(pfn, 0, page);
        sameBytes(page, pageOf(0), "a zeroed frame");
      }
    },
  },
];

function drain(source: FrameSource): number[] {
  const taken: number[] = [];
  for (let pfn = source.take(); pfn !== -1; pfn = source.take()) {
    claim(taken.length < 8192, "the source ends");
    taken.push(pfn);
  }
  return taken;
}
