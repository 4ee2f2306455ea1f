/**
 * The full walk with access check, beside an unchecked hand-written walk over the same memory: 65,536 pages (256 MiB) in scattered
 * frames, visited in random order.
 */

import { MODE_4_LEVEL, PagingState, RIGHT_WRITE, RIGHT_USER, Walk, walk, walkMarking } from "@pagewright/x86-paging";
import { report, scattered } from "./scattered.ts";

const { words, memory, root, order } = scattered(65536);
const state = new PagingState({
  mode: MODE_4_LEVEL,
  root,
  maxPhysicalBits: 46,
  noExecute: true,
  writeProtect: true,
  smep: true,
  smap: true,
});
const into = new Walk();
const ROUNDS = 3;

/** What one writes by hand: 52-bit frames, no check of any kind. */
function unchecked(low: number, high: number): number {
  let at = root * 1024 + ((high >>> 6) & 0x3fe);
  let pfn = (words[at + 1]! & 0xfffff) * 0x100000 + (words[at]! >>> 12);
  at = pfn * 1024 + (((high << 3) | ((low >>> 29) & 6)) & 0x3fe);
  pfn = (words[at + 1]! & 0xfffff) * 0x100000 + (words[at]! >>> 12);
  at = pfn * 1024 + ((low >>> 20) & 0x3fe);
  pfn = (words[at + 1]! & 0xfffff) * 0x100000 + (words[at]! >>> 12);
  at = pfn * 1024 + ((low >>> 11) & 0x3fe);
  return (words[at + 1]! & 0xfffff) * 0x100000 + (words[at]! >>> 12);
}

function timeUnchecked(): number {
  let sum = 0;
  const start = performance.now();
  for (let round = 0; round < ROUNDS; round++) {
    for (let i = 0; i < order.length; i += 2) sum += unchecked(order[i]!, order[i + 1]!);
  }
  const time = performance.now() - start;
  if (sum === 0) throw new Error("the walk found nothing");
  return (time * 1e6) / (ROUNDS * (order.length / 2));
}

function timeWalk(): number {
  let sum = 0;
  const start = performance.now();
  for (let round = 0; round < ROUNDS; round++) {
    for (let i = 0; i < order.length; i += 2) {
      walk(state, memory, order[i]!, order[i + 1]!, 0, into);
      sum += into.pfn;
    }
  }
  const time = performance.now() - start;
  if (sum === 0 || (into.rights & (RIGHT_WRITE | RIGHT_USER)) !== RIGHT_WRITE)
    throw new Error("the walk found nothing");
  return (time * 1e6) / (ROUNDS * (order.length / 2));
}

function timeMarking(): number {
  let sum = 0;
  const start = performance.now();
  for (let round = 0; round < ROUNDS; round++) {
    for (let i = 0; i < order.length; i += 2) {
      walkMarking(state, memory, order[i]!, order[i + 1]!, 1, into);
      sum += into.pfn;
    }
  }
  const time = performance.now() - start;
  if (sum === 0) throw new Error("the walk found nothing");
  return (time * 1e6) / (ROUNDS * (order.length / 2));
}

let plain = Infinity;
let checked = Infinity;
let marking = Infinity;
for (let i = 0; i < 40; i++) {
  plain = Math.min(plain, timeUnchecked());
  checked = Math.min(checked, timeWalk());
  marking = Math.min(marking, timeMarking());
}
report("x86-paging/walk", [
  { metric: "unchecked walk", value: plain, unit: "ns" },
  { metric: "walk with access check", value: checked, unit: "ns", ratioTo: "unchecked walk", ratio: checked / plain },
  { metric: "walk setting A and D", value: marking, unit: "ns", ratioTo: "unchecked walk", ratio: marking / plain },
]);
