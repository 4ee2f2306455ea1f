/** npm walloc: a C allocator compiled to WebAssembly, in a memory of at most 16 MiB that does not grow. */
import { createRequire } from "node:module";
import { AlignedBlocks } from "./aligned.ts";

/** As much of it as is used; it ships no declarations. */
type WallocClass = new (options: {
  readonly memory: WebAssembly.Memory;
  readonly DYNAMICTOP_PTR: number;
  readonly STACKTOP: number;
  readonly getTotalMemory: () => number;
}) => { malloc(size: number): number; free(address: number): void };

const Walloc = createRequire(import.meta.url)("walloc") as WallocClass;
const PAGES = 256;
const TOP = 1008;

/** Makes the peer for `pagewright heap`. */
export default function create(): object {
  const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES });
  // The word at DYNAMICTOP_PTR is where its memory begins.
  new Int32Array(memory.buffer)[TOP / 4] = 4096;
  const heap = new Walloc({
    memory,
    getTotalMemory: () => memory.buffer.byteLength,
    DYNAMICTOP_PTR: TOP,
    STACKTOP: 1024,
  });
  const allocate = (size: number): number => {
    const address = heap.malloc(size);
    return address === 0 ? -1 : address;
  };
  const aligned = new AlignedBlocks(allocate);
  return {
    allocate: (size: number, alignment = 0): number =>
      alignment > 8 ? aligned.allocate(size, alignment) : allocate(size),
    free: (address: number): void => heap.free(aligned.any ? aligned.startOf(address) : address),
    bytes: () => new Uint8Array(memory.buffer),
  };
}
