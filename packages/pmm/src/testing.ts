/* Conformance suites for the ports of this package: run them on your own implementations. They need no test runner. */
import type { FramePressure, FrameSource, SpecialFrames } from "./ports.ts";
import { NO_FRAME } from "./units.ts";
import type { Pfn } from "./units.ts";

/** One claim about an implementation of a port; throws a plain error when it does not hold. */
export interface ConformanceCase<T> {
  /** The claim. */
  readonly name: string;
  /** Makes fresh implementations and tries the claim on them. */
  run(make: () => T): void | Promise<void>;
}

function holds(truth: boolean, sentence: string): void {
  if (!truth) throw new Error(sentence);
}

function throws(action: () => void, sentence: string): void {
  try {
    action();
  } catch {
    return;
  }
  throw new Error(sentence);
}

/** Takes one by one until nothing is left. */
function takeAll(source: FrameSource): Pfn[] {
  const all: Pfn[] = [];
  for (let pfn = source.take(); pfn !== NO_FRAME; pfn = source.take()) all.push(pfn);
  return all;
}

/** Claims about a source of frames; `make` gives one with at least 64 and at most a million free frames. */
export const frameSourceSuite: readonly ConformanceCase<FrameSource>[] = [
  {
    name: "no frame is taken twice, and exhaustion is a value",
    run: (make) => {
      const source = make();
      const all = takeAll(source);
      holds(all.length >= 64, "A source under test has at least 64 frames");
      holds(new Set(all).size === all.length, "A frame was taken twice");
      holds(
        all.every((pfn) => Number.isInteger(pfn) && pfn >= 0),
        "A frame number is an integer ≥ 0",
      );
      holds(source.take() === NO_FRAME, "An exhausted source answers NO_FRAME, again and again");
    },
  },
  {
    name: "everything given back can be taken again, whatever the order",
    run: (make) => {
      const source = make();
      const all = takeAll(source);
      for (const [index, pfn] of all.entries()) if (index % 2 === 1) source.give(pfn);
      for (const [index, pfn] of all.entries()) if (index % 2 === 0) source.give(pfn);
      const again = takeAll(source);
      holds(again.length === all.length, `${all.length} frames were given back and ${again.length} came out again`);
      holds(new Set([...all, ...again]).size === all.length, "Other frames came back than were given");
    },
  },
  {
    name: "a double free throws and changes nothing",
    run: (make) => {
      const source = make();
      const pfn = source.take();
      source.give(pfn);
      throws(() => source.give(pfn), "Giving a free frame back must throw");
      const all = takeAll(source);
      holds(new Set(all).size === all.length, "After a double free a frame came out twice");
    },
  },
  {
    name: "a frame that was never given out, and one that is no RAM, cannot be given back",
    run: (make) => {
      const source = make();
      const [first, second] = [source.take(), source.take()];
      source.give(second);
      throws(() => source.give(second), "Giving a frame that is not out must throw");
      throws(() => source.give(2 ** 39), "Giving what is no RAM must throw");
      throws(() => source.give(first + 0.5), "Giving a fraction must throw");
      source.give(first);
    },
  },
  {
    name: "bulk takes stop at exhaustion, bulk gives take all or nothing",
    run: (make) => {
      const source = make();
      const some = new Float64Array(64);
      holds(source.takeMany(some, 64) === 64, "64 frames are there to take at once");
      holds(new Set(some).size === 64, "A bulk take gave a frame twice");
      const twice = Float64Array.from(some);
      twice[63] = twice[0] ?? NO_FRAME;
      throws(() => source.giveMany(twice, 64), "A bulk give that names a frame twice must throw");
      source.giveMany(some, 64);
      throws(() => source.giveMany(some, 1), "After a bulk give its frames are free");
      const all = new Float64Array(1 << 20);
      const count = source.takeMany(all, all.length);
      holds(count < all.length, "A bulk take stops at exhaustion");
      holds(new Set(all.subarray(0, count)).size === count, "A bulk take gave a frame twice");
    },
  },
  {
    name: "plain hints are accepted",
    run: (make) => {
      const source = make();
      for (const movable of [0, 1]) {
        const pfn = source.take({ order: 0, node: -1, colour: -1, movable });
        holds(pfn !== NO_FRAME, "A frame is there for any plain wish");
        source.give(pfn, 0);
      }
    },
  },
];

/** Claims about special requests; `make` gives frames that can grant 16 frames below 16 MiB, not crossing 64 KiB. */
export const specialFramesSuite: readonly ConformanceCase<SpecialFrames>[] = [
  {
    name: "a grant keeps to its limits and is nobody else's",
    run: (make) => {
      const special = make();
      const seen = new Set<Pfn>();
      for (let turn = 0; turn < 8; turn += 1) {
        const grant = special.request({ frames: 3, alignment: 2, below: 4096, boundary: 16 });
        if (!grant.ok) break;
        const { start, frames } = grant;
        holds(frames === 3 && Number.isInteger(start / 2) && start + frames <= 4096, "The grant leaves its limits");
        holds(Math.floor(start / 16) === Math.floor((start + frames - 1) / 16), "The grant crosses its boundary");
        for (let pfn = start; pfn < start + frames; pfn += 1) {
          holds(!seen.has(pfn), "A frame was granted twice");
          seen.add(pfn);
        }
      }
      holds(seen.size >= 3, "At least one run is granted");
    },
  },
  {
    name: "a released run can be granted again, and not released again",
    run: (make) => {
      const special = make();
      const first = special.request({ frames: 16, below: 4096, boundary: 16 });
      if (!first.ok) throw new Error("16 frames of ISA memory are there");
      throws(() => special.release(first.start, 15), "A run is released whole");
      special.release(first.start, 16);
      throws(() => special.release(first.start, 16), "A run is released once");
      holds(special.request({ frames: 16, below: 4096, boundary: 16 }).ok, "A released run can be granted again");
    },
  },
  {
    name: "what can never be is refused with its reason",
    run: (make) => {
      const special = make();
      const wide = special.request({ frames: 17, below: 4096, boundary: 16 });
      holds(!wide.ok && wide.reason === "too-large", "17 frames do not fit between multiples of 16");
      const nowhere = special.request({ frames: 1, above: 2 ** 39 });
      holds(!nowhere.ok && nowhere.reason === "no-such-zone", "There is no RAM above 2^51");
    },
  },
];

/** Claims about pressure; `make` gives an untouched source that has all of its frames free. */
export const framePressureSuite: readonly ConformanceCase<FrameSource & FramePressure>[] = [
  {
    name: "free frames follow takes and gives",
    run: (make) => {
      const source = make();
      const before = source.freeFrames;
      const pfn = source.take();
      holds(source.freeFrames === before - 1, "A take leaves one free frame less");
      source.give(pfn);
      holds(source.freeFrames === before, "A give makes one free frame more");
      holds(before <= source.totalFrames, "No more frames are free than there are");
    },
  },
  {
    name: "the level falls at the marks and comes back above the high one only",
    run: (make) => {
      const source = make();
      const { min, low, high } = source.watermarks;
      holds(min <= low && low <= high, "Marks rise");
      if (source.freeFrames <= high) return;
      holds(source.level() === "none", "An untouched source is under no pressure");
      const held: Pfn[] = [];
      while (source.freeFrames > low) held.push(source.take());
      holds(source.level() !== "none", "At the low mark there is pressure");
      while (source.freeFrames < high) source.give(held.pop() ?? NO_FRAME);
      holds(source.level() === "low", "At the high mark pressure lasts");
      source.give(held.pop() ?? NO_FRAME);
      holds(source.level() === "none", "Above the high mark it is over");
    },
  },
];
