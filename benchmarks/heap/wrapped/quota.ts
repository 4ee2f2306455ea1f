/** A limit over the general heap. */
import { BufferMemory, GeneralHeap, Quota } from "@pagewright/heap";
import { counted } from "./counted.ts";

/** Makes the allocator for `pagewright heap`. */
export default function create({ buffer }: { readonly buffer: ArrayBuffer }): Quota {
  return counted(new Quota(new GeneralHeap(new BufferMemory(buffer)), buffer.byteLength));
}
