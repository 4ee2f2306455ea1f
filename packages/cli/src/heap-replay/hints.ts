/** What a program could have told its allocator about each block, known here from the trace's end. */
import { Hint } from "@pagewright/heap";
import { TraceOp } from "@pagewright/heap/trace";
import type { HeapTrace } from "@pagewright/heap/trace";

/** The kinds of hints that a replay can give: how long a block lives, and what type it is of. */
export const HINT_KINDS = ["lifetime", "type"] as const;

/** One of {@link HINT_KINDS}. */
export type HintKind = (typeof HINT_KINDS)[number];

/** A block is short-lived when it dies before the program has allocated so many bytes more. */
export const SHORT_LIFE_BYTES = 65_536;

/** Types stand above the two bits of {@link Hint}. */
export const TYPE_SHIFT = 2;

/** As many types are told apart; 0 is every rarer one. */
const TYPES = 255;

/**
 * The hint of each object of a trace, by its number. `lifetime`: {@link Hint}'s bits. `type`: a number from 1 on for each of the most frequent
 * sizes, which is the nearest to a type that a trace knows, above these bits.
 */
export function hintsOf(trace: HeapTrace, kinds: readonly HintKind[]): Uint32Array {
  const hints = new Uint32Array(trace.objects);
  if (kinds.includes("lifetime")) addLifetimes(trace, hints);
  if (kinds.includes("type")) addTypes(trace, hints);
  return hints;
}

function addLifetimes({ op, id, size, events }: HeapTrace, hints: Uint32Array): void {
  const bornAt = new Float64Array(hints.length).fill(-1);
  let allocated = 0;
  hints.fill(Hint.longLived);
  for (let event = 0; event < events; event++) {
    const object = id[event]!;
    if (op[event]! === TraceOp.free) {
      if (allocated - bornAt[object]! <= SHORT_LIFE_BYTES) hints[object] = Hint.shortLived;
      continue;
    }
    allocated += size[event]!;
    if (op[event]! !== TraceOp.realloc) bornAt[object] = allocated;
  }
}

function addTypes({ op, id, size, events }: HeapTrace, hints: Uint32Array): void {
  const counts = new Map<number, number>();
  const isBirth = (event: number): boolean => op[event]! !== TraceOp.free && op[event]! !== TraceOp.realloc;
  for (let event = 0; event < events; event++)
    if (isBirth(event)) counts.set(size[event]!, (counts.get(size[event]!) ?? 0) + 1);
  const frequent = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, TYPES);
  const types = new Map(frequent.map(([bytes], index) => [bytes, index + 1]));
  for (let event = 0; event < events; event++)
    if (isBirth(event)) hints[id[event]!]! += (types.get(size[event]!) ?? 0) << TYPE_SHIFT;
}
