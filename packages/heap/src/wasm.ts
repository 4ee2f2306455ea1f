import { NO_ADDRESS } from "./allocator.ts";
import type { Allocator } from "./allocator.ts";
import { BufferMemory } from "./buffer-memory.ts";
import type { PagedMemory } from "./buffer-memory.ts";
import { HeapError } from "./errors.ts";
import { allocateZeroed } from "./operations.ts";
import type { BlockMemory } from "./ports.ts";

/** The C allocation functions, as a WebAssembly module imports them: addresses and sizes of 32 bits, 0 for "none". */
export interface WasmHeapImports {
  malloc(size: number): number;
  calloc(count: number, size: number): number;
  realloc(address: number, size: number): number;
  aligned_alloc(alignment: number, size: number): number;
  free(address: number): void;
  malloc_usable_size(address: number): number;
}

/** Alignment that C compilers for wasm32 expect of malloc. */
const MAX_ALIGN = 16;

/** What a block of so many bytes is aligned to at least, 0 for what the allocator does anyway: one of fewer than 16 holds nothing that needs more than 8. */
function alignmentOf(size: number): number {
  return size < MAX_ALIGN ? 0 : MAX_ALIGN;
}

/** The value of `__heap_base`: a number, or the global that the module exports under that name. */
export type HeapBase = number | { readonly value: number | bigint };

/**
 * The memory of a WebAssembly module above its own data: what an allocator for it is built over.
 *
 * @param memory the module's memory, exported or imported; may be shared.
 * @param heapBase where the module's data and stack end: its exported global `__heap_base`.
 */
export function wasmHeapMemory(memory: PagedMemory, heapBase: HeapBase): BufferMemory {
  const base = Number(typeof heapBase === "number" ? heapBase : heapBase.value);
  if (!(base > 0)) throw new HeapError("bad-option", base, "the heap base lies above address 0");
  return new BufferMemory(memory, Math.ceil(base / MAX_ALIGN) * MAX_ALIGN);
}

/**
 * The allocation functions of C over an allocator, for a module's imports. Blocks are aligned to 16, `malloc` answers 0 where memory has run out,
 * `free(0)` does nothing; misuse throws a HeapError through the module.
 *
 * The module may grow its memory itself. A module needs its imports before its memory exists: give them as late-bound, `wasmImports(() => heap, () => memory)`.
 */
export function wasmImports(heap: () => Allocator, memory: () => BlockMemory): WasmHeapImports {
  const pointer = (address: number): number => (address === NO_ADDRESS ? 0 : address);
  return {
    malloc: (size) => pointer(heap().allocate(size >>> 0, alignmentOf(size >>> 0))),
    calloc: (count, size) => {
      const bytes = (count >>> 0) * (size >>> 0);
      return pointer(allocateZeroed(heap(), memory(), bytes, alignmentOf(bytes)));
    },
    realloc: (address, size) => {
      if (address === 0) return pointer(heap().allocate(size >>> 0, alignmentOf(size >>> 0)));
      return pointer(resizeAligned(heap(), memory(), address >>> 0, size >>> 0));
    },
    aligned_alloc: (alignment, size) => pointer(heap().allocate(size >>> 0, alignment >>> 0)),
    free: (address) => {
      if (address !== 0) heap().free(address >>> 0);
    },
    malloc_usable_size: (address) => (address === 0 ? 0 : heap().usableSize(address >>> 0)),
  };
}

/** Resizes. What comes is aligned to 16 where it holds as much; where there is no memory the block stays as it is. */
function resizeAligned(heap: Allocator, memory: BlockMemory, address: number, size: number): number {
  const alignment = alignmentOf(size);
  if (alignment === 0 || address % MAX_ALIGN === 0) return heap.resize(address, size, alignment);
  const usable = heap.usableSize(address);
  const to = heap.allocate(size, alignment);
  if (to === NO_ADDRESS) return NO_ADDRESS;
  memory.copy(address, to, Math.min(usable, size));
  heap.free(address);
  return to;
}
