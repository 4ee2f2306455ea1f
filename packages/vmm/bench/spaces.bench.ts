/**
 * What operations on spaces cost, and how that grows: map + unmap of a region against the number of regions, clone against resident pages, transfer of whole tables
 * against bytes, remap by tables and by pages, bytes of an empty space.
 */
import { PAGE_SIZE, PlainMemory, Vmm, WRITE, type AddressSpace } from "@pagewright/vmm";

import { fastest, report, type Figure } from "./report.ts";

function spaceOf(vmm: Vmm): AddressSpace {
  const space = vmm.createSpace();
  if (space === null) throw new Error("no space");
  return space;
}

const bench = "vmm/spaces";
const figures: Figure[] = [];

let least = NaN;
for (const regions of [100, 1000, 10000]) {
  const memory = new PlainMemory(16);
  const vmm = new Vmm({ frames: memory, window: memory });
  const space = spaceOf(vmm);
  for (let region = 0; region < regions; region++) space.map({ bytes: PAGE_SIZE, rights: 1 + (region % 2) * 2 });
  const cost = fastest(60, () => {
    for (let pair = 0; pair < 1000; pair++) space.unmap(Number(space.map({ bytes: PAGE_SIZE, rights: 5 })), PAGE_SIZE);
    return 1000;
  });
  if (Number.isNaN(least)) least = cost;
  figures.push({
    bench,
    metric: `map + unmap among ${regions} regions`,
    value: cost,
    unit: "ns",
    ratioTo: "among 100",
    ratio: cost / least,
  });
}

let first = NaN;
for (const pages of [1000, 10000, 100000]) {
  const memory = new PlainMemory(pages + 16);
  const vmm = new Vmm({ frames: memory, window: memory });
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: pages * PAGE_SIZE }));
  for (let page = 0; page < pages; page++) space.fault(at + page * PAGE_SIZE, WRITE);
  let cost = Infinity;
  for (let round = 0; round < 12; round++) {
    const start = performance.now();
    const clone = space.clone();
    cost = Math.min(cost, performance.now() - start);
    clone?.destroy();
    for (let page = 0; page < pages; page++) space.fault(at + page * PAGE_SIZE, WRITE);
  }
  if (Number.isNaN(first)) first = cost;
  figures.push({
    bench,
    metric: `clone of ${pages} resident pages`,
    value: cost,
    unit: "ms",
    ratioTo: "1000 pages",
    ratio: cost / first,
  });
}

let smallest = NaN;
for (const gibibytes of [1, 4]) {
  const memory = new PlainMemory(4096);
  const vmm = new Vmm({ frames: memory, window: memory });
  const one = spaceOf(vmm);
  const two = spaceOf(vmm);
  const bytes = gibibytes * 2 ** 30;
  const at = Number(one.map({ bytes, alignment: 2 ** 30 }));
  for (let page = 0; page < bytes / PAGE_SIZE; page += 512) one.fault(at + page * PAGE_SIZE, WRITE);
  const cost = fastest(200, () => {
    one.transfer(at, bytes, two, at);
    two.transfer(at, bytes, one, at);
    return 2;
  });
  if (Number.isNaN(smallest)) smallest = cost;
  figures.push({
    bench,
    metric: `transfer of ${gibibytes} GiB`,
    value: cost / 1000,
    unit: "us",
    ratioTo: "1 GiB",
    ratio: cost / smallest,
  });
}

let whole = NaN;
for (const distance of [2 ** 33, 2 ** 33 + PAGE_SIZE]) {
  const memory = new PlainMemory(16384);
  const vmm = new Vmm({ frames: memory, window: memory });
  const space = spaceOf(vmm);
  const bytes = 64 * 2 ** 20;
  const at = Number(space.map({ bytes, address: 2 ** 32, placement: "fixed" }));
  for (let page = 0; page < 16000; page++) space.fault(at + page * PAGE_SIZE, WRITE);
  const cost = fastest(20, () => {
    const request = { bytes, newBytes: bytes, mayMove: true };
    space.remap({ ...request, address: at, target: at + distance });
    space.remap({ ...request, address: at + distance, target: at });
    return 2;
  });
  if (Number.isNaN(whole)) whole = cost;
  figures.push({
    bench,
    metric: `remap of 16000 pages, ${distance === 2 ** 33 ? "tables whole" : "page by page"}`,
    value: cost / 1000,
    unit: "us",
    ratioTo: "tables whole",
    ratio: cost / whole,
  });
}

const memory = new PlainMemory(16);
const vmm = new Vmm({ frames: memory, window: memory });
const spaces: AddressSpace[] = [];
globalThis.gc?.();
const before = process.memoryUsage().heapUsed;
for (let count = 0; count < 20000; count++) spaces.push(spaceOf(vmm));
globalThis.gc?.();
const each = (process.memoryUsage().heapUsed - before) / spaces.length;
figures.push({ bench, metric: "empty space", value: each, unit: "bytes", ratioTo: "itself", ratio: 1 });
report(figures);
