/** Mapping, protecting and unmapping 1 GiB in 4K pages, beside a bare loop that writes the same words. */

import { attributes, Mapper, MODE_4_LEVEL, NO_FRAME, RIGHT_READ } from "@pagewright/x86-paging";
import { flatMemory, report } from "./scattered.ts";

const PAGES = 262144;
const { words, memory } = flatMemory(1024);
const free: number[] = [];
for (let pfn = 1023; pfn > 0; pfn--) free.push(pfn);
const frames = {
  take: (): number => {
    const pfn = free.pop() ?? NO_FRAME;
    if (pfn >= 0) words.fill(0, pfn * 1024, pfn * 1024 + 1024);
    return pfn;
  },
  give: (pfn: number): void => void free.push(pfn),
};
const mapper = new Mapper({ mode: MODE_4_LEVEL, memory, frames }, 0);
const packed = attributes({ write: true, user: true });
let bare = Infinity;
let map = Infinity;
let protect = Infinity;
let unmap = Infinity;
let single = Infinity;

function timed(run: () => void): number {
  const start = performance.now();
  run();
  return ((performance.now() - start) * 1e6) / PAGES;
}

const target = new Uint32Array(PAGES * 2);
for (let i = 0; i < 12; i++) {
  bare = Math.min(
    bare,
    timed(() => {
      for (let page = 0; page < PAGES; page++) {
        target[2 * page + 1] = 0x80000000;
        target[2 * page] = (0x40000 + page) * 4096 + 7;
      }
    }),
  );
  map = Math.min(
    map,
    timed(() => void mapper.map(0x80000, PAGES, 0x40001, packed)),
  );
  protect = Math.min(
    protect,
    timed(() => void mapper.protect(0x80000, PAGES, RIGHT_READ)),
  );
  unmap = Math.min(
    unmap,
    timed(() => settle()),
  );
  single = Math.min(
    single,
    timed(() => {
      for (let page = 0; page < PAGES; page++) mapper.map(0x80000 + page, 1, 0x40001 + page, packed);
    }),
  );
  settle();
}

function settle(): void {
  const plan = mapper.unmap(0x80000, PAGES);
  if (plan.ok) plan.complete();
}

report("x86-paging/map", [
  { metric: "bare writes", value: bare, unit: "ns/page" },
  { metric: "map 1 GiB in 4K pages", value: map, unit: "ns/page", ratioTo: "bare writes", ratio: map / bare },
  { metric: "map, a call per page", value: single, unit: "ns/page", ratioTo: "bare writes", ratio: single / bare },
  { metric: "protect", value: protect, unit: "ns/page", ratioTo: "bare writes", ratio: protect / bare },
  { metric: "unmap and complete the plan", value: unmap, unit: "ns/page", ratioTo: "bare writes", ratio: unmap / bare },
]);
