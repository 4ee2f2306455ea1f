/** Two processes over one memory manager: one frees what it allocates, in an offset allocator; the other one leaves that to a collector. */
import { allocateZeroed, CollectedHeap, GeneralHeap, OffsetAllocator, SpaceSource } from "@pagewright/heap";
import { PlainMemory, SpaceMemory, Vmm } from "@pagewright/vmm";
import type { AddressSpace } from "@pagewright/vmm";

const frames = new PlainMemory(2048);
const vmm = new Vmm({ frames, window: frames });
const sourceOf = (space: AddressSpace | null): SpaceSource<{ search: "bottom-up" }> => {
  if (space === null) throw new Error("no frame for the tables");
  return new SpaceSource(space, new SpaceMemory(space), { search: "bottom-up" });
};

const first = sourceOf(vmm.createSpace());
const manual = new OffsetAllocator(first, { granule: 32 });
const second = sourceOf(vmm.createSpace());
// A cell: a number, and the address of the next cell.
const collected = new CollectedHeap(new GeneralHeap(second), {
  trace: (cell, visit) => visit(second.load32(cell + 4)),
  thresholdBytes: 65_536,
});

const blocks = Array.from({ length: 100 }, (_, at) => manual.allocate(at * 10));
for (const block of blocks) manual.free(block);
console.log(`the first process freed all of its blocks: ${manual.stats().liveBlocks} live`);

const head = allocateZeroed(collected, second, 16);
collected.addRoot(head);
for (let list = 0; list < 200; list++) {
  // A list of 100 cells replaces the one before, which nobody frees.
  second.store32(head + 4, 0);
  for (let at = 0; at < 100; at++) {
    const cell = allocateZeroed(collected, second, 16);
    second.store32(cell, at);
    second.store32(cell + 4, second.load32(head + 4));
    second.store32(head + 4, cell);
    collected.wrote(cell);
  }
}
let sum = 0;
for (let cell = second.load32(head + 4); cell !== 0; cell = second.load32(cell + 4)) sum += second.load32(cell);
collected.collect();
console.log(`the second one allocated 20,001 cells, ${collected.stats().liveBlocks} are live, their sum is ${sum}`);
manual.check();
collected.check();
vmm.check();
console.log("both heaps and the memory manager are sound");
