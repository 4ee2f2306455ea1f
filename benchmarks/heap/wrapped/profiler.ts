/** The sampling profiler over the general heap. */
import { BufferMemory, GeneralHeap, Profiler } from "@pagewright/heap";
import { counted } from "./counted.ts";

/** Makes the allocator for `pagewright heap`. */
export default function create({ buffer }: { readonly buffer: ArrayBuffer }): Profiler {
  return counted(new Profiler(new GeneralHeap(new BufferMemory(buffer)), { random: () => Math.random() }));
}
