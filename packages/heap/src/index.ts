/** Heap allocators over any range of bytes or numbers. @module */
export { NO_ADDRESS, Hint, BaseAllocator } from "./allocator.ts";
export type { Allocator, HeapSource, HeapStats } from "./allocator.ts";
export type { BlockMemory, Clock, RangeSource, WordMemory } from "./ports.ts";
export { HeapError, isHeapError } from "./errors.ts";
export type { HeapErrorCode } from "./errors.ts";
export type { GrowthPolicy } from "./chunks.ts";
export { NumberRange } from "./number-range.ts";
export { BufferMemory } from "./buffer-memory.ts";
export type { PagedMemory, ViewType } from "./buffer-memory.ts";
export { Arena } from "./arena.ts";
export type { ArenaMark, ArenaOptions } from "./arena.ts";
export { Tlsf } from "./tlsf.ts";
export type { TlsfOptions } from "./tlsf.ts";
export { GeneralHeap } from "./general.ts";
export type { GeneralOptions } from "./general.ts";
