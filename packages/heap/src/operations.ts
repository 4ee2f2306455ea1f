/*
 * What follows from the operations of an allocator, for all of them: as functions, so that an allocator is no larger than what only it can do.
 */
import { NO_ADDRESS } from "./allocator.ts";
import type { Allocator } from "./allocator.ts";
import { HeapError } from "./errors.ts";
import type { BlockMemory } from "./ports.ts";

/** Like `allocate`; the first `size` bytes of the block, whose bytes are in `memory`, read as zero. */
export function allocateZeroed(
  heap: Pick<Allocator, "allocate">,
  memory: Pick<BlockMemory, "fill">,
  size: number,
  alignment = 0,
  hint = 0,
): number {
  const address = heap.allocate(size, alignment, hint);
  if (address !== NO_ADDRESS) memory.fill(address, size, 0);
  return address;
}

/**
 * Allocates `count` blocks of one size.
 *
 * @returns how many there was memory for: so many addresses are in `into`.
 * @throws HeapError `bad-option` where `into` has no room for so many; nothing is allocated then.
 */
export function allocateMany(
  heap: Pick<Allocator, "allocate">,
  into: Float64Array,
  count: number,
  size: number,
  alignment = 0,
  hint = 0,
): number {
  if (!(count <= into.length)) throw new HeapError("bad-option", count);
  let done = 0;
  for (; done < count; done++) {
    const address = heap.allocate(size, alignment, hint);
    if (address === NO_ADDRESS) break;
    into[done] = address;
  }
  return done;
}

/** Frees the first `count` of `addresses`, in their order. Stops at the first misuse, which it throws: those before it are freed, it and those after it are not. */
export function freeMany(heap: Pick<Allocator, "free">, addresses: Float64Array, count: number): void {
  for (let at = 0; at < count; at++) heap.free(addresses[at]!);
}
