/** The walk that sets accessed and dirty bits, where they stand already: what a TLB refill costs. Beside it, the walk that changes nothing. */

import { ACCESS_WRITE, MODE_4_LEVEL, PagingState, Walk, walk, walkMarking } from "@pagewright/x86-paging";
import { nsPerCall, report, scattered } from "./scattered.ts";

const { memory, root, order } = scattered(65536);
const state = new PagingState({
  mode: MODE_4_LEVEL,
  root,
  maxPhysicalBits: 46,
  writeProtect: true,
  smep: true,
  smap: true,
});
const into = new Walk();

const pure = (): number => {
  let sum = 0;
  for (let i = 0; i < order.length; i += 2) {
    walk(state, memory, order[i]!, order[i + 1]!, ACCESS_WRITE, into);
    sum += into.pfn;
  }
  return sum;
};

const marking = (): number => {
  let sum = 0;
  for (let i = 0; i < order.length; i += 2) {
    walkMarking(state, memory, order[i]!, order[i + 1]!, ACCESS_WRITE, into);
    sum += into.pfn;
  }
  return sum;
};

const plain = nsPerCall(pure, order.length / 2);
const marked = nsPerCall(marking, order.length / 2);
report("x86-paging/mark", [
  { metric: "walk", value: plain, unit: "ns" },
  { metric: "walk setting A and D", value: marked, unit: "ns", ratioTo: "walk", ratio: marked / plain },
]);
