/** The sampling guard over the general heap, at its default rate, with pages that a call takes away: what it costs but for that call's work. */
import { BufferMemory, GeneralHeap, SamplingGuard } from "@pagewright/heap";
import { counted } from "./counted.ts";

/** Makes the allocator for `pagewright heap`. */
export default function create({ buffer }: { readonly buffer: ArrayBuffer }): SamplingGuard {
  const memory = new BufferMemory(buffer);
  const guard = { protect: () => undefined };
  return counted(new SamplingGuard(new GeneralHeap(memory), memory, guard, { random: () => Math.random() }));
}
