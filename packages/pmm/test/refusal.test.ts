import { expect, test } from "vitest";

import { ISA_DMA, NO_FRAME, Pmm } from "../src/index.ts";
import type { Pfn } from "../src/index.ts";
import { range } from "./ranges.ts";

const any = { order: 0, node: -1, colour: -1, movable: 1 };

function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A low zone in disorder: movable, pinned, wired, granted, retired and free frames; and how many moves each frame costs. */
function disorder(pmm: Pmm, random: () => number): Map<Pfn, number> {
  const costs = new Map<Pfn, number>();
  while (pmm.take() !== NO_FRAME);
  const pinned = random() * 0.2;
  const granted = random() * 0.2;
  for (;;) {
    const grant = random() < granted ? pmm.request({ frames: 1, ...ISA_DMA }) : null;
    if (grant?.ok === true) {
      costs.set(grant.start, Infinity);
      continue;
    }
    const movable = random() < pinned ? 0 : 1;
    const pfn = pmm.take({ ...any, movable, borrow: true });
    if (pfn === NO_FRAME) break;
    costs.set(pfn, movable === 1 ? 1 : Infinity);
    if (random() < 0.05 && pmm.wire(pfn)) costs.set(pfn, Infinity);
  }
  const given = random() * 0.6;
  for (const [pfn, cost] of costs) {
    if (cost !== 1 || random() >= given) continue;
    pmm.give(pfn);
    costs.set(pfn, 0);
    if (random() < 0.02 && pmm.retire(pfn).retired) costs.set(pfn, Infinity);
  }
  return costs;
}

for (let seed = 1; seed <= 6; seed += 1) {
  test(`a refused ISA request names the cheapest run of all (seed ${seed})`, () => {
    const random = randomOf(seed);
    const pmm = new Pmm({ ranges: [range(256 + 3 * seed, 4096 + 512)] });
    const costs = disorder(pmm, random);
    for (const frames of [1, 2, 3, 4, 7, 8, 11, 16]) {
      let best = Infinity;
      for (let start = 0; start < 4096; start += 1) {
        if ((start % 16) + frames > 16) continue;
        let cost = 0;
        for (let pfn = start; pfn < start + frames; pfn += 1) cost += costs.get(pfn) ?? Infinity;
        best = Math.min(best, cost);
      }
      const answer = pmm.request({ frames, ...ISA_DMA });
      if (answer.ok) {
        expect(best).toBe(0);
        pmm.release(answer.start, frames);
      } else {
        expect(answer.reason).toBe("fragmented");
        expect(answer.plan?.moves.length ?? Infinity).toBe(best);
      }
    }
    pmm.check();
  });
}
