/** Conformance suites: what an implementation of this package's ports must do. They throw plain errors and import no test runner. */

import type { TableFrames, TableMemory } from "./ports.ts";
import { NO_FRAME } from "./units.ts";

/** One claim about an implementation. `make` gives a fresh one. */
export interface ConformanceCase<T> {
  readonly name: string;
  run(make: () => T): void | Promise<void>;
}

/** A memory with at least eight frames, and where they begin. */
export interface MemoryUnderTest {
  readonly memory: TableMemory;
  readonly firstFrame: number;
}

/** A source of table frames, the memory they lie in, and how many it can give (at least four). */
export interface FramesUnderTest {
  readonly frames: TableFrames;
  readonly memory: TableMemory;
  readonly capacity: number;
}

function claim(condition: boolean, sentence: string): void {
  if (!condition) throw new Error(sentence);
}

/** What `TableMemory` must do: frames are 1024 live words each, apart from each other, and no frame number makes it throw. */
export const tableMemorySuite: readonly ConformanceCase<MemoryUnderTest>[] = [
  {
    name: "a word written through one call is read through the next",
    run: (make) => {
      const { memory, firstFrame } = make();
      for (let pfn = firstFrame; pfn < firstFrame + 8; pfn++) memory.words(pfn)[memory.base(pfn) + 5] = pfn * 3;
      for (let pfn = firstFrame; pfn < firstFrame + 8; pfn++)
        claim(memory.words(pfn)[memory.base(pfn) + 5] === pfn * 3, `frame ${pfn} lost a word`);
    },
  },
  {
    name: "all 1024 words of a frame lie in its array and in no other frame",
    run: (make) => {
      const { memory, firstFrame } = make();
      for (let pfn = firstFrame; pfn < firstFrame + 8; pfn++) {
        const base = memory.base(pfn);
        claim(base >= 0 && base + 1024 <= memory.words(pfn).length, `frame ${pfn} leaves its array`);
        memory.words(pfn).fill(pfn + 1, base, base + 1024);
      }
      for (let pfn = firstFrame; pfn < firstFrame + 8; pfn++) {
        const base = memory.base(pfn);
        for (let i = 0; i < 1024; i++)
          claim(memory.words(pfn)[base + i] === pfn + 1, `word ${i} of frame ${pfn} belongs to another frame too`);
      }
    },
  },
  {
    name: "a frame that does not exist can be read",
    run: (make) => {
      const { memory } = make();
      for (const pfn of [2 ** 20, 2 ** 31, 2 ** 40 - 1]) {
        const words = memory.words(pfn);
        const base = memory.base(pfn);
        claim(base >= 0 && base + 1024 <= words.length, `frame ${pfn} cannot be read`);
      }
    },
  },
];

/** What `TableFrames` must do: frames that read as zero, each once, `NO_FRAME` when there is none, and given ones again. */
export const tableFramesSuite: readonly ConformanceCase<FramesUnderTest>[] = [
  {
    name: "every frame is given once, and then NO_FRAME",
    run: (make) => {
      const { frames, capacity } = make();
      const seen = new Set<number>();
      for (let i = 0; i < capacity; i++) seen.add(frames.take());
      claim(seen.size === capacity && !seen.has(NO_FRAME), "a frame was given twice, or too early none");
      claim(frames.take() === NO_FRAME, "a frame more than there are");
    },
  },
  {
    name: "a frame reads as zero, also when it was used before",
    run: (make) => {
      const { frames, memory, capacity } = make();
      for (let i = 0; i < capacity * 2; i++) {
        const pfn = frames.take();
        const base = memory.base(pfn);
        for (let word = 0; word < 1024; word++) claim(memory.words(pfn)[base + word] === 0, `frame ${pfn} is not zero`);
        memory.words(pfn).fill(0xffffffff, base, base + 1024);
        frames.give(pfn);
      }
    },
  },
  {
    name: "what was given back can be taken again",
    run: (make) => {
      const { frames, capacity } = make();
      const taken = Array.from({ length: capacity }, () => frames.take());
      for (const pfn of taken) frames.give(pfn);
      claim(new Set(Array.from({ length: capacity }, () => frames.take())).size === capacity, "frames were lost");
    },
  },
];
