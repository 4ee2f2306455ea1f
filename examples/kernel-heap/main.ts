/**
 * A kernel's heap: kmalloc and kfree over virtual memory, slab caches for its structures, and guard pages around
 * blocks, so that an overrun faults at the access.
 */
import { GeneralHeap, ObjectCache, SamplingGuard, SpaceSource } from "@pagewright/heap";
import { PlainMemory, SpaceMemory, Vmm } from "@pagewright/vmm";

const frames = new PlainMemory(1024);
const vmm = new Vmm({ frames, window: frames });
const space = vmm.createSpace();
if (space === null) throw new Error("no frame for the tables");
const bytes = new SpaceMemory(space);
const source = new SpaceSource(space, bytes, { search: "bottom-up" as const });

const heap = new GeneralHeap(source);
const kmalloc = (size: number): number => heap.allocate(size);
const kfree = (address: number): void => heap.free(address);
const block = kmalloc(3000);
bytes.store32(block, 42);
console.log(`kmalloc(3000) holds ${heap.usableSize(block)} bytes, its word reads ${bytes.load32(block)}`);
kfree(block);

// Structures of 192 bytes whose lock word is 1 from construction on, also while they are free.
let constructed = 0;
const inodes = new ObjectCache(source, {
  objectBytes: 192,
  cpus: 2,
  construct: (address) => {
    source.store32(address, 1);
    constructed++;
  },
});
for (let round = 0; round < 100; round++) {
  const some = Array.from({ length: 10 }, () => inodes.allocate(192, 0, round % 2));
  for (const inode of some) inodes.free(inode, round % 2);
}
console.log(`1,000 inodes allocated, ${constructed} constructed, with ${inodes.stats().sourceCalls} call for memory`);

const guarded = new SamplingGuard(heap, source, source, { every: 1, random: () => 0, slots: 8 });
const string = guarded.allocate(16);
console.log(`a store to its last word: ${bytes.store32(string + 12, 7)}, one beyond: ${bytes.store32(string + 16, 7)}`);
guarded.free(string);
console.log(`a store after kfree: ${bytes.store32(string, 7)}, which is ${guarded.explain(string)?.kind}`);
heap.check();
inodes.check();
vmm.check();
console.log("heap, cache and memory manager are sound");
