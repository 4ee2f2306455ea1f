import type { Allocator } from "@pagewright/heap";

/** An allocator that tells `pagewright heap` about its own state, so that footprints have all of it. */
export function counted<T extends Allocator>(allocator: T): T {
  return Object.assign(allocator, { metadataBytes: () => allocator.stats().metadataBytes });
}
