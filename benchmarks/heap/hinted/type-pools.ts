/** A pool for each type that a replay tells of (`pagewright heap --hints type`), and a general heap for everything else. */
import { BufferMemory, GeneralHeap, TypePools } from "@pagewright/heap";
import { counted } from "../wrapped/counted.ts";

/** Makes the allocator for `pagewright heap`. */
export default function create({ buffer }: { readonly buffer: ArrayBuffer }): TypePools {
  const memory = new BufferMemory(buffer);
  return counted(new TypePools(new GeneralHeap(memory), memory));
}
