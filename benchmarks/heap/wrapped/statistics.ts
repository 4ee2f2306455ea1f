/** Counts over the general heap. */
import { BufferMemory, GeneralHeap, Statistics } from "@pagewright/heap";
import { counted } from "./counted.ts";

/** Makes the allocator for `pagewright heap`. */
export default function create({ buffer }: { readonly buffer: ArrayBuffer }): Statistics {
  return counted(new Statistics(new GeneralHeap(new BufferMemory(buffer))));
}
