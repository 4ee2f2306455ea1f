/** A pool for each type that a replay tells of (`pagewright heap --hints type`), and a general heap for everything else. */
import { BufferMemory, GeneralHeap, TypePools } from "@pagewright/heap";

/** Makes the allocator for `pagewright heap`. */
export default function create({ buffer }: { readonly buffer: ArrayBuffer }): object {
  const memory = new BufferMemory(buffer);
  const pools = new TypePools(new GeneralHeap(memory), memory);
  return Object.assign(pools, { metadataBytes: () => pools.stats().metadataBytes });
}
