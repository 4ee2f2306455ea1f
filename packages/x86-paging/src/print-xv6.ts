/** The tree that xv6's vmprint shows: one line per present entry, two dots per level. Source: MIT 6.1810, page-table lab (format). */

import { formatAddress, formatBigint } from "./address.ts";
import { isLeaf, leafFrameOf, levelOf, tableFrameOf } from "./mode.ts";
import type { TableMemory } from "./ports.ts";
import type { PagingState } from "./state.ts";
import type { Pfn } from "./units.ts";

/** The tree. A table that was shown before (shared, or a loop) is named, not shown again, so that any tables give a finite tree. */
export function* xv6Tree(state: PagingState, memory: TableMemory): Generator<string, void> {
  yield `page table ${formatBigint(BigInt(state.root) * 4096n)}\n`;
  yield* table(state, memory, state.root, state.mode.depth, new Set());
}

function* table(
  state: PagingState,
  memory: TableMemory,
  pfn: Pfn,
  n: number,
  shown: Set<string>,
): Generator<string, void> {
  const mode = state.mode;
  if (n === 0) return;
  shown.add(`${pfn} ${n}`);
  const level = levelOf(mode, n);
  const words = level.inRegisters ? state.rootEntries : memory.words(pfn);
  const base = level.inRegisters ? 0 : memory.base(pfn);
  const dots = " ..".repeat(mode.depth - n + 1);
  for (let index = 0; index < level.entries; index++) {
    const low = words[base + index * mode.entryWords]!;
    if ((low & mode.presentMask) === 0) continue;
    const high = mode.entryWords === 2 ? words[base + index * 2 + 1]! : 0;
    const leaf = isLeaf(mode, level, low);
    const frame = (leaf ? leafFrameOf : tableFrameOf)(level, low & state.addressLow, high & state.addressHigh);
    const again = !leaf && shown.has(`${frame} ${n - 1}`);
    yield `${dots}${index}: pte ${formatAddress(low, high)} pa ${formatBigint(BigInt(frame) * 4096n)}${again ? " (shown above)" : ""}\n`;
    if (!leaf && !again) yield* table(state, memory, frame, n - 1, shown);
  }
}
