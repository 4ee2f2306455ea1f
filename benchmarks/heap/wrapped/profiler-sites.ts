/** The sampling profiler over the general heap, told by the program who asks: what it costs but for taking stacks off Errors. */
import { BufferMemory, GeneralHeap, Profiler } from "@pagewright/heap";
import { counted } from "./counted.ts";

const SITE = [{ name: "replay", file: "trace", line: 1 }];

/** Makes the allocator for `pagewright heap`. */
export default function create({ buffer }: { readonly buffer: ArrayBuffer }): Profiler {
  return counted(
    new Profiler(new GeneralHeap(new BufferMemory(buffer)), { random: () => Math.random(), stack: () => SITE }),
  );
}
