/** Counts over the general heap. */
import { BufferMemory, GeneralHeap, Statistics } from "@pagewright/heap";

/** Makes the allocator for `pagewright heap`. */
export default function create({ buffer }: { readonly buffer: ArrayBuffer }): Statistics {
  return new Statistics(new GeneralHeap(new BufferMemory(buffer)));
}
