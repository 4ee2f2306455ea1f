import { overlapTypes, synthesiseMtrrs } from "@pagewright/machine";
import type { MemoryType, TypeNeed } from "@pagewright/machine";
import { expect, test } from "vitest";

/** What registers give one page: nothing, a type, or what the manual leaves undefined. */
type Given = MemoryType | "none" | "undefined";

const PAGE = 4096;

function overlaid(given: Given, type: MemoryType): Given {
  if (given === "none") return type;
  if (given === "undefined") return type === "UC" ? "UC" : "undefined";
  return overlapTypes(given, type) ?? "undefined";
}

/**
 * Searches breadth first through everything that registers of `types` can give `pages` pages: by what each page gets, the
 * least number of registers. Registers know no order, so every set of them is met.
 */
function everyOutcome(pages: number, types: readonly MemoryType[]): ReadonlyMap<string, number> {
  const blocks: { from: number; to: number }[] = [];
  for (let size = pages; size >= 1; size /= 2)
    for (let from = 0; from < pages; from += size) blocks.push({ from, to: from + size });
  const start = new Array<Given>(pages).fill("none");
  const least = new Map<string, number>([[start.join(" "), 0]]);
  let front: (readonly Given[])[] = [start];
  for (let count = 1; front.length > 0; count++) {
    const next: (readonly Given[])[] = [];
    for (const state of front)
      for (const { from, to } of blocks)
        for (const type of types) {
          const made = state.map((given, page) => (page >= from && page < to ? overlaid(given, type) : given));
          const key = made.join(" ");
          if (least.has(key)) continue;
          least.set(key, count);
          next.push(made);
        }
    front = next;
  }
  return least;
}

/** Every list of `length` words. */
function* lists<T>(words: readonly T[], length: number): Generator<readonly T[]> {
  if (length === 0) yield [];
  else for (const rest of lists(words, length - 1)) for (const word of words) yield [word, ...rest];
}

function leastFor(
  wanted: readonly (MemoryType | null)[],
  outcomes: readonly (readonly [readonly string[], number])[],
  defaultType: MemoryType,
): number {
  let least = Infinity;
  for (const [given, count] of outcomes)
    if (
      count < least
      && wanted.every((type, page) => type === null || type === (given[page] === "none" ? defaultType : given[page]))
    )
      least = count;
  return least;
}

/** Number of pages, default type, types of registers, types that pages may need. */
export type Rules = readonly [
  pages: number,
  defaultType: MemoryType,
  types: readonly MemoryType[],
  wanted: readonly MemoryType[],
];

/** Tests that synthesis finds the fewest registers there can be for every map, and a set just where there is one. */
export function testEveryMap(rules: readonly Rules[]): void {
  test.each(rules)("the fewest MTRRs for every map of %i pages, default %s, registers %j", (...rule) => {
    const [pages, defaultType, types, wanted] = rule;
    const outcomes = [...everyOutcome(pages, types)].map(([key, count]) => [key.split(" "), count] as const);
    for (const map of lists([...wanted, null], pages)) {
      const needs = map.flatMap((type, page): TypeNeed[] =>
        type === null ? [] : [{ start: page * PAGE, end: (page + 1) * PAGE, type }],
      );
      const found = synthesiseMtrrs(needs, { defaultType, types })?.length ?? Infinity;
      const least = leastFor(map, outcomes, defaultType);
      if (found !== least) expect({ map, found }).toEqual({ map, found: least });
    }
  });
}
