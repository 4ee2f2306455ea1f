/**
 * The full walk with access check, beside an unchecked hand-written walk over the same memory: 65,536 pages (256 MiB) in scattered
 * frames, visited in random order.
 */

import { MODE_4_LEVEL, PagingState, Walk, walk } from "@pagewright/x86-paging";
import { nsPerCall, report, scattered } from "./scattered.ts";

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

const plainWalks = (): number => {
  let sum = 0;
  for (let i = 0; i < order.length; i += 2) sum += unchecked(order[i]!, order[i + 1]!);
  return sum;
};

const checkedWalks = (): number => {
  let sum = 0;
  for (let i = 0; i < order.length; i += 2) {
    walk(state, memory, order[i]!, order[i + 1]!, 0, into);
    sum += into.pfn;
  }
  return sum;
};

const plain = nsPerCall(plainWalks, order.length / 2);
const checked = nsPerCall(checkedWalks, order.length / 2);
report("x86-paging/walk", [
  { metric: "unchecked walk", value: plain, unit: "ns" },
  { metric: "walk with access check", value: checked, unit: "ns", ratioTo: "unchecked walk", ratio: checked / plain },
]);
