import { ATTR_ACCESSED, attributes, Mapper, MODE_4_LEVEL } from "@pagewright/x86-paging";
import { expect, test } from "vitest";
import { CountingFrames, SparseMemory } from "./support/memory.ts";

/** Counts how often the memory of a table is asked for. */
class CountingMemory extends SparseMemory {
  looks = 0;

  override words(pfn: number): Uint32Array {
    this.looks++;
    return super.words(pfn);
  }
}

test("harvesting a sparse space costs a few looks for each present entry, not one for each entry of each table", () => {
  const memory = new CountingMemory();
  const made = Mapper.create({ mode: MODE_4_LEVEL, memory, frames: new CountingFrames(memory, 0x1000) });
  if (!made.ok) throw new Error(made.sentence);
  const rights = attributes({ read: true, user: true });
  // Eight pages, each under upper tables of its own: 25 tables with 32 present entries among 12,800.
  const pages = Array.from({ length: 8 }, (_, at) => at * 2 ** 29 + at * 2 ** 20 + at * 2 ** 10 + at * 3);
  for (const vpn of pages) made.map(vpn, 1, 0x9000 + (vpn & 4095), rights);
  memory.looks = 0;
  const seen: number[] = [];
  made.harvest(0, 2 ** 35, ATTR_ACCESSED, (vpn) => seen.push(vpn));
  expect(seen).toEqual([]);
  expect(memory.looks).toBeLessThan(32 * 6);
});
