/**
 * The fewest variable MTRRs that give ranges the types they need, with proof.
 *
 * Blocks that a register can cover (powers of two, naturally aligned) are nested or disjoint: a binary tree. What a page
 * gets depends only on the types of the registers on its way from the root: none (the default type), one type, or UC on
 * top of another. So, with s the type that the registers around block b give so far:
 *
 *   best(b, s) = 0                                          when every need in b is s
 *              = 1, a register of type t over b             when every need in b is t, and t over s gives t
 *              = min( best(left, s) + best(right, s),
 *                     1 + best(b, t) for each t over s )    otherwise
 *
 * Where "t over s" is what the manual defines for overlaps: anything over nothing, UC over anything, WT over WB. A register
 * that changes nothing is never chosen, so the recursion ends; every set of registers without useless ones is among the
 * choices, so the least count is the minimum.
 */
import { E820_ACPI, E820_NVS, E820_USABLE } from "../firmware/entry.ts";
import type { FirmwareMap } from "../firmware/firmware-map.ts";
import { gapsWithin } from "../map/summary.ts";
import { alignDown, alignUp, FRAME_BYTES, GIB, MIB } from "../units.ts";
import type { PhysAddr } from "../units.ts";
import { overlapTypes } from "./memory-type.ts";
import type { MemoryType } from "./memory-type.ts";
import type { VariableRange } from "./registers.ts";

/** What must be uncachable: gaps of the map only, or everything that is no memory. */
export type MtrrStrictness = "lenient" | "strict";

/** A frame-aligned range and the type that it must have. What is in no need may have any type. */
export interface TypeNeed {
  /** First byte. */
  readonly start: PhysAddr;
  /** One past the last byte. */
  readonly end: PhysAddr;
  /** The type that every byte of it must get. */
  readonly type: MemoryType;
}

/** What registers may be used. */
export interface SynthesisRules {
  /** The type where no register matches. */
  readonly defaultType: MemoryType;
  /** Types that registers may have. */
  readonly types: readonly MemoryType[];
}

/** Width of the address space in which blocks are looked for, in bits. */
const WIDTH = 52;

interface Span {
  readonly base: PhysAddr;
  readonly end: PhysAddr;
}

function merged(spans: readonly Span[]): Span[] {
  const out: { base: number; end: number }[] = [];
  for (const span of spans) {
    const last = out[out.length - 1];
    if (last !== undefined && span.base <= last.end) last.end = Math.max(last.end, span.end);
    else out.push({ ...span });
  }
  return out;
}

/**
 * Returns what a map needs: WB for every page that type 1, 3 or 4 touches; UC, between 1 MiB and the larger of 4 GiB and
 * the end of memory, for pages that no entry touches (lenient) or for every page that need not be WB (strict). Ascending
 * and disjoint; nothing below 1 MiB, where fixed MTRRs rule.
 */
export function mtrrNeeds(map: FirmwareMap, strictness: MtrrStrictness): readonly TypeNeed[] {
  const outward = ({ base, end }: Span): Span => ({
    base: alignDown(base, FRAME_BYTES),
    end: alignUp(end, FRAME_BYTES),
  });
  const memory = map.entries.filter(({ type }) => type === E820_USABLE || type === E820_ACPI || type === E820_NVS);
  const writeBack = merged(memory.map(outward));
  const end = Math.max(4 * GIB, ...writeBack.map((span) => span.end));
  const listed = strictness === "strict" ? writeBack : merged(map.entries.map(outward));
  const needs: TypeNeed[] = [
    ...writeBack.map((span): TypeNeed => ({ start: Math.max(span.base, MIB), end: span.end, type: "WB" })),
    ...gapsWithin(listed, MIB, end).map((span): TypeNeed => ({ start: span.base, end: span.end, type: "UC" })),
  ];
  return needs.filter((need) => need.end > need.start).sort((a, b) => a.start - b.start);
}

/** The best registers for a block: how many, and a way to list them. */
interface Best {
  readonly count: number;
  readonly emit: (out: VariableRange[]) => void;
}

const NOTHING: Best = { count: 0, emit: () => undefined };
const IMPOSSIBLE: Best = { count: Infinity, emit: () => undefined };

function both(a: Best, b: Best): Best {
  if (a.count === 0) return b;
  if (b.count === 0) return a;
  return {
    count: a.count + b.count,
    emit: (out) => {
      a.emit(out);
      b.emit(out);
    },
  };
}

/** The smallest block within `[base, base + length)` that holds `[first, last)`. */
function shrunk(base: PhysAddr, length: number, first: PhysAddr, last: PhysAddr): Span {
  let at = base;
  let size = length;
  while (size > FRAME_BYTES) {
    const half = size / 2;
    if (last <= at + half) size = half;
    else if (first >= at + half) {
      at += half;
      size = half;
    } else break;
  }
  return { base: at, end: at + size };
}

/** The recursion over blocks; `around` is the type of the registers around a block, null for none. */
class Search {
  readonly #needs: readonly TypeNeed[];
  readonly #rules: SynthesisRules;
  /** What was found out, by block and type around it: each block of types that lie in each other is asked for from all of those around it. */
  readonly #known: Map<string, Best> = new Map();

  constructor(needs: readonly TypeNeed[], rules: SynthesisRules) {
    this.#needs = needs;
    this.#rules = rules;
  }

  /** Types that a register within `around` may have and change something by. */
  #over(around: MemoryType | null): readonly MemoryType[] {
    return this.#rules.types.filter((type) => {
      if (around === null) return type !== this.#rules.defaultType;
      return type !== around && overlapTypes(around, type) === type;
    });
  }

  best(base: PhysAddr, length: number, around: MemoryType | null, from: number, to: number): Best {
    const needs = this.#needs;
    const end = base + length;
    let first = from;
    let last = to;
    while (first < last && (needs[first]?.end ?? 0) <= base) first++;
    while (last > first && (needs[last - 1]?.start ?? 0) >= end) last--;
    const given = around ?? this.#rules.defaultType;
    const wrong = this.#extent(first, last, (type) => type !== given, base, end);
    if (wrong === null) return NOTHING;
    const only = needs[first]?.type ?? given;
    if (!needs.slice(first, last).some((need) => need.type !== only)) {
      if (!this.#over(around).includes(only)) return IMPOSSIBLE;
      const block = shrunk(base, length, wrong.base, wrong.end);
      return this.#register(block, only);
    }
    const key = `${around ?? "none"} ${base} ${length}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    let least = both(
      this.best(base, length / 2, around, first, last),
      this.best(base + length / 2, length / 2, around, first, last),
    );
    const block = shrunk(base, length, wrong.base, wrong.end);
    for (const type of this.#over(around)) {
      const within = this.best(base, length, type, first, last);
      if (1 + within.count < least.count) least = both(this.#register(block, type), within);
    }
    this.#known.set(key, least);
    return least;
  }

  #register(block: Span, type: MemoryType): Best {
    const range = { base: block.base, length: block.end - block.base, type };
    return { count: 1, emit: (out) => void out.push(range) };
  }

  /** The smallest range that holds every need of a type that `matches`, cut to `[base, end)`; null without any. */
  #extent(from: number, to: number, matches: (type: MemoryType) => boolean, base: number, end: number): Span | null {
    const hits = this.#needs.slice(from, to).filter((need) => matches(need.type));
    const first = hits[0];
    const last = hits[hits.length - 1];
    if (first === undefined || last === undefined) return null;
    return { base: Math.max(base, first.start), end: Math.min(end, last.end) };
  }
}

/**
 * Returns a smallest set of variable registers under which every need gets its type, or null when there is none (a type is
 * not among `rules.types`, or overlaps that the manual leaves undefined would be needed). `needs` must be frame-aligned,
 * disjoint and ascending. Cost: O(needs × 40 × types).
 */
export function synthesiseMtrrs(needs: readonly TypeNeed[], rules: SynthesisRules): readonly VariableRange[] | null {
  const best = new Search(needs, rules).best(0, 2 ** WIDTH, null, 0, needs.length);
  if (best.count === Infinity) return null;
  const out: VariableRange[] = [];
  best.emit(out);
  return out;
}
