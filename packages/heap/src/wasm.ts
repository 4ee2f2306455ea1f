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
  // Small blocks of sizes below 16 cannot hold anything that needs more than 8.
  const alignmentOf = (size: number): number => (size < MAX_ALIGN ? 0 : MAX_ALIGN);
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

/** Up to so many bytes a block is moved rather than asked to grow in place. */
const SMALL = 1024;

/** Resizes. What comes is aligned to 16 where it holds as much; where there is no memory the block stays as it is. */
function resizeAligned(heap: Allocator, memory: BlockMemory, address: number, size: number): number {
  const usable = heap.usableSize(address);
  const isAligned = size < MAX_ALIGN || address % MAX_ALIGN === 0;
  if (isAligned && size <= usable && size * 2 > usable) return address;
  if (size > SMALL && isAligned) return resizeLarge(heap, memory, address, size);
  const to = heap.allocate(size, size < MAX_ALIGN ? 0 : MAX_ALIGN);
  if (to === NO_ADDRESS) return isAligned && size <= usable ? address : NO_ADDRESS;
  memory.copy(address, to, Math.min(usable, size));
  heap.free(address);
  return to;
}

/**
 * Lets the allocator resize, in place if it can; where it moved the block to an address that is aligned to less than 16 (a TLSF heap with granules of 8 may), moves it
 * once more. @throws HeapError `no-memory` where there is none for that.
 */
function resizeLarge(heap: Allocator, memory: BlockMemory, address: number, size: number): number {
  const to = heap.resize(address, size);
  if (to === NO_ADDRESS || to % MAX_ALIGN === 0) return to;
  const aligned = heap.allocate(size, MAX_ALIGN);
  if (aligned === NO_ADDRESS)
    throw new HeapError("no-memory", size, "no memory is left to align a block that has moved");
  memory.copy(to, aligned, size);
  heap.free(to);
  return aligned;
}
