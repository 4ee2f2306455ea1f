/**
 * The walk as hardware does it: accessed bits in every entry used (RISC-V: in the leaf), the dirty bit in the leaf of a write, each set by
 * compare-exchange. Needs live memory.
 */

import type { TableMemory } from "./ports.ts";
import { ACCESS_KIND, ACCESS_WRITE } from "./rights.ts";
import type { PagingState } from "./state.ts";
import type { Walk } from "./walk.ts";
import { TRANSLATED, walk, walkExact } from "./walk.ts";

/**
 * Walks for one access and, where it succeeds, sets A in every entry on the way and D in the leaf for a write. On a fault nothing
 * is written. Returns what `walk` returns. Where all bits stand already it costs one test more than `walk`.
 *
 * An entry that another processor changes in between makes the walk start again.
 * Source: SDM 3A, Accessed and Dirty Flags.
 */
export function walkMarking(
  state: PagingState,
  memory: TableMemory,
  low: number,
  high: number,
  access: number,
  into: Walk,
): number {
  const mode = state.mode;
  for (;;) {
    const code = walk(state, memory, low, high, access, into);
    if (code !== TRANSLATED || !state.accessedDirty || into.level === 0) return code;
    const marked = (into.all & mode.accessedMask) === mode.accessedMask;
    const dirty = (access & ACCESS_KIND) !== ACCESS_WRITE || (into.low & mode.dirtyMask) === mode.dirtyMask;
    if (marked && dirty) return code;
    const exact = walkExact(state, memory, low, high, access, into);
    if (exact !== TRANSLATED) return exact;
    if (markEntries(state, memory, access, into)) return TRANSLATED;
  }
}

/** Sets the bits along a recorded walk; false where an entry was no longer what the walk had read. */
function markEntries(state: PagingState, memory: TableMemory, access: number, into: Walk): boolean {
  const mode = state.mode;
  const leaf = into.level;
  for (let n = mode.definition.inherit === "leaf" ? leaf : mode.depth; n >= leaf; n--) {
    if (mode.levels[n]?.inRegisters === true) continue;
    const seen = into.lows[n]!;
    const dirty = n === leaf && (access & ACCESS_KIND) === ACCESS_WRITE ? mode.dirtyMask : 0;
    const wanted = (seen | mode.accessedMask | dirty) >>> 0;
    if (wanted === seen) continue;
    const pfn = into.tables[n]!;
    const at = memory.base(pfn) + into.indices[n]! * mode.entryWords;
    if (Atomics.compareExchange(memory.words(pfn), at, seen, wanted) !== seen) return false;
    into.lows[n] = wanted;
    if (n === leaf) into.low = wanted;
  }
  into.all |= mode.accessedMask;
  return true;
}
