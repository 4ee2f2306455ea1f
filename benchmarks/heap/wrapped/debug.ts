/** The debug heap over the general one. */
import { BufferMemory, DebugHeap, GeneralHeap } from "@pagewright/heap";
import { counted } from "./counted.ts";

/** Makes the allocator for `pagewright heap`. */
export default function create({ buffer }: { readonly buffer: ArrayBuffer }): DebugHeap {
  const memory = new BufferMemory(buffer);
  return counted(new DebugHeap(new GeneralHeap(memory), memory));
}
