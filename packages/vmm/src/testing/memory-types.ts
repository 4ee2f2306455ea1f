/** What knowledge of memory types owes. */
import type { MemoryTypes } from "../ports.ts";
import { UNCACHED, WRITE_BACK, WRITE_COMBINING } from "../rights.ts";
import type { Pfn } from "../units.ts";
import { claim, same, type ConformanceCase } from "./case.ts";

/** Memory types with a range that has one of them: RAM that may be cached. */
export interface MemoryTypesFixture {
  /** The implementation. */
  readonly types: MemoryTypes;
  /** First frame of RAM. */
  readonly start: Pfn;
  /** Frames of it, at least 2. */
  readonly frames: number;
}

/** What `MemoryTypes` owe. */
export const memoryTypesSuite: readonly ConformanceCase<MemoryTypesFixture>[] = [
  {
    name: "RAM is cached where that is wanted, and not where it is not",
    run(make) {
      const { types, start, frames } = make();
      same(types.effective(start, frames, WRITE_BACK), WRITE_BACK, "type of RAM mapped write-back");
      same(types.effective(start, frames, UNCACHED), UNCACHED, "type of RAM mapped uncached");
      same(types.effective(start, frames, WRITE_COMBINING), WRITE_COMBINING, "type of RAM mapped write-combining");
    },
  },
  {
    name: "a part of a range with one type has that type",
    run(make) {
      const { types, start, frames } = make();
      const whole = types.effective(start, frames, WRITE_BACK);
      for (let at = 0; at < frames; at++)
        same(types.effective(start + at, 1, WRITE_BACK), whole, `type of frame ${at} of the range`);
    },
  },
  {
    name: "flushing caches changes no type",
    run(make) {
      const { types, start, frames } = make();
      types.flushCaches(start, frames);
      claim(types.effective(start, frames, WRITE_BACK) === WRITE_BACK, "a flush must leave the type alone");
    },
  },
];
