/** The sampling profiler over the general heap. */
import { BufferMemory, GeneralHeap, Profiler } from "@pagewright/heap";

/** Makes the allocator for `pagewright heap`. */
export default function create({ buffer }: { readonly buffer: ArrayBuffer }): Profiler {
  return new Profiler(new GeneralHeap(new BufferMemory(buffer)), { random: () => Math.random() });
}
