import type { CollectedHeap } from "@pagewright/heap";
import type { HeapSubject } from "./subject.ts";

/** A collected heap as a trace uses it: a block is a root from its birth to its free, which leaves it to the collector. */
export function collectedSubject(heap: CollectedHeap): HeapSubject {
  const rooted = (address: number): number => {
    if (address !== -1) heap.addRoot(address);
    return address;
  };
  return {
    allocate: (size, alignment, hint) => rooted(heap.allocate(size, alignment, hint)),
    resize: (address, size) => heap.resize(address, size),
    free: (address) => heap.removeRoot(address),
  };
}
