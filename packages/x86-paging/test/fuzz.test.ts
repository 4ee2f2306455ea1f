import {
  compareTables,
  explainWalk,
  LeafCursor,
  lint,
  linuxPageTables,
  MODE_32_BIT,
  MODE_4_LEVEL,
  MODE_5_LEVEL,
  MODE_EPT,
  MODE_EPT_5_LEVEL,
  MODE_NPT,
  MODE_PAE,
  PagingState,
  pagesOfFrame,
  qemuMem,
  reachableTables,
  runs,
  Walk,
  walk,
  walkMarking,
  xv6Tree,
} from "@pagewright/x86-paging";
import type { TableMemory } from "@pagewright/x86-paging";
import { describe, expect, test } from "vitest";
import { Random } from "./support/memory.ts";

const MODES = [MODE_4_LEVEL, MODE_5_LEVEL, MODE_PAE, MODE_32_BIT, MODE_EPT, MODE_EPT_5_LEVEL, MODE_NPT];

/** Eight frames of random words, half of whose entries refer to one of the eight: every table is hostile, most are loops. The rest reads as zero. */
function hostile(random: Random, density: number, wide: boolean): TableMemory {
  const words = new Uint32Array(9 * 1024);
  for (let i = 0; i < 8 * 1024; i++) {
    words[i] = random.oneIn(density) ? random.word() : 0;
    if (!random.oneIn(2)) words[i] = wide && i % 2 === 1 ? 0 : words[i]! & 0x7fff;
  }
  return { words: () => words, base: (pfn) => Math.min(pfn, 8) * 1024 };
}

function take(generator: Iterable<unknown>, count: number): number {
  let taken = 0;
  for (const _ of generator) if (++taken >= count) break;
  return taken;
}

describe.each(MODES.map((mode) => [mode.name, mode] as const))("random memory, %s", (_name, mode) => {
  test("nothing loops, throws or reads out of bounds", () => {
    const random = new Random(99);
    const into = new Walk();
    for (const density of [1, 3, 200]) {
      for (let round = 0; round < 2; round++) {
        const memory = hostile(random, density, mode.entryWords === 2);
        const state = new PagingState({
          mode,
          root: random.below(4),
          maxPhysicalBits: Math.min(46, mode.definition.physicalBits),
        });
        state.rootEntries.forEach((_, i) => (state.rootEntries[i] = random.word()));
        for (let i = 0; i < 100; i++) {
          const [low, high, access] = [random.word(), random.word(), random.below(64)];
          expect(Number.isInteger(walk(state, memory, low, high, access, into))).toBe(true);
          walkMarking(state, memory, low, high, access, into);
          if (i % 10 === 0) expect(explainWalk(state, memory, low, high, access).sentences.length).toBeGreaterThan(0);
        }
        const cursor = new LeafCursor(state, memory);
        for (let i = 0; i < 2000 && cursor.next(); i++) expect(cursor.pages).toBeGreaterThan(0);
        take(runs(state, memory, { leafLimit: 2000 }), 2000);
        take(qemuMem(state, memory), 500);
        take(linuxPageTables(state, memory), 500);
        take(xv6Tree(state, memory), 20_000);
        expect(reachableTables(state, memory, 5000).length).toBeLessThan(5001);
        expect(lint(state, memory, { leafLimit: 2000, findingLimit: 50, tableLimit: 1000 }).length).toBeLessThan(1000);
        expect(pagesOfFrame(state, memory, 1, 1).length).toBeLessThan(2);
        take(compareTables(state, memory, state, memory, { leafLimit: 1000 }), 100);
      }
    }
  });
});
