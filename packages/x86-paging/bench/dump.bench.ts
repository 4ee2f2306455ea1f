/**
 * Listing a large set of tables: 73,728 leaves, 65,536 of them one table at 128 places (as Linux's espfix area is), the rest scattered.
 * The naive twin walks four nested loops over the same words.
 */

import { LeafCursor, MODE_4_LEVEL, PagingState, qemuTlb } from "@pagewright/x86-paging";
import { report, scattered } from "./scattered.ts";

const { words, memory, root } = scattered(8192);
for (let i = 0; i < 128; i++) {
  const directory = frameAt(frameAt(root * 1024 + 512) * 1024) * 1024;
  const table = frameAt(directory);
  words[directory + 512 + 2 * i] = table * 4096 + 3;
}
const state = new PagingState({ mode: MODE_4_LEVEL, root });

function frameAt(word: number): number {
  return words[word]! >>> 12;
}

function naive(): number {
  let leaves = 0;
  for (let a = 0; a < 1024; a += 2) {
    if ((words[root * 1024 + a]! & 1) === 0) continue;
    const third = frameAt(root * 1024 + a) * 1024;
    for (let b = 0; b < 1024; b += 2) {
      if ((words[third + b]! & 1) === 0) continue;
      const second = frameAt(third + b) * 1024;
      for (let c = 0; c < 1024; c += 2) {
        if ((words[second + c]! & 1) === 0) continue;
        const first = frameAt(second + c) * 1024;
        for (let d = 0; d < 1024; d += 2) if ((words[first + d]! & 1) !== 0) leaves++;
      }
    }
  }
  return leaves;
}

function iterate(): number {
  const cursor = new LeafCursor(state, memory);
  let leaves = 0;
  while (cursor.next()) leaves++;
  return leaves;
}

function print(): number {
  let leaves = 0;
  let text = "";
  for (const line of qemuTlb(state, memory)) {
    leaves++;
    text = line;
  }
  return text === "" ? 0 : leaves;
}

function nsPerLeaf(run: () => number): number {
  let best = Infinity;
  for (let i = 0; i < 30; i++) {
    const start = performance.now();
    const leaves = run();
    best = Math.min(best, ((performance.now() - start) * 1e6) / leaves);
  }
  return best;
}

const plain = nsPerLeaf(naive);
const iterated = nsPerLeaf(iterate);
const printed = nsPerLeaf(print);
report("x86-paging/dump", [
  { metric: "leaves, nested loops", value: 1000 / plain, unit: "M/s" },
  {
    metric: "leaves, cursor",
    value: 1000 / iterated,
    unit: "M/s",
    ratioTo: "nested loops, time per leaf",
    ratio: iterated / plain,
  },
  {
    metric: "leaves as info tlb lines",
    value: 1000 / printed,
    unit: "M/s",
    ratioTo: "nested loops, time per leaf",
    ratio: printed / plain,
  },
]);
