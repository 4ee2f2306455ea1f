/**
 * The words by which a user corrects a firmware map on Linux's command line.
 *
 * | word | does |
 * |---|---|
 * | `memmap=exactmap` | forgets the firmware's map; the words after it are the map |
 * | `memmap=size@start` | adds usable memory (what is marked otherwise there stays so) |
 * | `memmap=size#start` | marks ACPI data |
 * | `memmap=size$start` | marks reserved |
 * | `memmap=size!start` | marks persistent memory (type 12) |
 * | `memmap=size%start-old+new` | turns type `old` there into `new`; without `+new` removes it |
 * | `memmap=size%start+new` | marks as `new` what was nothing before, too (what is marked with a higher number stays so) |
 * | `memmap=size%start` | removes what is there |
 * | `mem=size`, `memmap=size` | forgets usable memory from `size` on |
 *
 * Numbers are decimal, or hex with `0x`, with a suffix K, M, G, T, P or E; several `memmap` values may be joined by commas.
 *
 * Source: Linux kernel parameters, `memmap=` and `mem=`.
 */
import { MachineError } from "../errors.ts";
import { E820_ACPI, E820_LEGACY_PERSISTENT, E820_RESERVED, E820_USABLE } from "./entry.ts";
import type { RawEntry } from "./entry.ts";

/** One correction. */
export type MemoryWord =
  | { readonly kind: "exactmap" }
  | { readonly kind: "limit"; readonly size: bigint }
  | { readonly kind: "add"; readonly start: bigint; readonly size: bigint; readonly type: number }
  | {
      readonly kind: "retype";
      readonly start: bigint;
      readonly size: bigint;
      /** The type to be changed; null: any. */
      readonly from: number | null;
      /** The type to change to; null: remove. */
      readonly to: number | null;
    };

const SUFFIX = "KMGTPE";
const NUMBER = "(0x[0-9a-f]+|\\d+)([KMGTPE])?";
const WORD = new RegExp(`^${NUMBER}(?:([@#$!%])${NUMBER}(?:-(0x[0-9a-f]+|\\d+))?(?:\\+(0x[0-9a-f]+|\\d+))?)?$`, "i");

const TYPE_OF_SIGN: Readonly<Record<string, number>> = {
  "@": E820_USABLE,
  "#": E820_ACPI,
  $: E820_RESERVED,
  "!": E820_LEGACY_PERSISTENT,
};

function scaled(digits: string | undefined, suffix: string | undefined): bigint {
  const power = suffix === undefined ? 0 : SUFFIX.indexOf(suffix.toUpperCase()) + 1;
  return BigInt(digits ?? "0") << BigInt(10 * power);
}

function refuse(word: string): never {
  throw new MachineError(
    "bad-text",
    `memmap=${word} is not size@start, size#start, size$start, size!start, size%start-old+new or exactmap`,
    {
      word,
    },
  );
}

/** Returns the correction that one `memmap=` value makes; throws `bad-text` for anything else, or a size of 0. */
export function memoryWordOf(word: string): MemoryWord {
  if (word === "exactmap") return { kind: "exactmap" };
  const match = WORD.exec(word) ?? refuse(word);
  const [, digits, suffix, sign, startDigits, startSuffix, from, to] = match;
  const size = scaled(digits, suffix);
  if (size === 0n) refuse(word);
  if (sign === undefined) return { kind: "limit", size };
  const start = scaled(startDigits, startSuffix);
  if (sign === "%" && from === undefined && to !== undefined) return { kind: "add", start, size, type: Number(to) };
  if (sign === "%")
    return {
      kind: "retype",
      start,
      size,
      from: from === undefined ? null : Number(from),
      to: to === undefined ? null : Number(to),
    };
  if (from !== undefined || to !== undefined) refuse(word);
  return { kind: "add", start, size, type: TYPE_OF_SIGN[sign] ?? E820_RESERVED };
}

/** Returns the corrections of a command line, in its order; other words are passed over. */
export function memoryWordsOf(commandLine: string): MemoryWord[] {
  return commandLine.split(/\s+/).flatMap((word) => {
    if (word.startsWith("memmap=")) return word.slice(7).split(",").map(memoryWordOf);
    const limit = /^mem=(?:(0x[0-9a-f]+|\d+)([KMGTPE])?)$/i.exec(word);
    return limit === null ? [] : [{ kind: "limit", size: scaled(limit[1], limit[2]) } satisfies MemoryWord];
  });
}

/** Cuts `[start, end)` out of an entry. */
function without(entry: RawEntry, start: bigint, end: bigint): RawEntry[] {
  const last = entry.base + entry.length;
  if (last <= start || entry.base >= end) return [entry];
  const out: RawEntry[] = [];
  if (entry.base < start) out.push({ ...entry, length: start - entry.base });
  if (last > end) out.push({ ...entry, base: end, length: last - end });
  return out;
}

function retyped(entries: readonly RawEntry[], word: Extract<MemoryWord, { kind: "retype" }>): RawEntry[] {
  const end = word.start + word.size;
  return entries.flatMap((entry) => {
    if (word.from !== null && entry.type !== word.from) return [entry];
    const base = entry.base > word.start ? entry.base : word.start;
    const last = entry.base + entry.length < end ? entry.base + entry.length : end;
    if (base >= last) return [entry];
    const kept = without(entry, word.start, end);
    return word.to === null ? kept : [...kept, { base, length: last - base, type: word.to }];
  });
}

/** Returns `entries` after the corrections, in order; sanitising afterwards decides overlaps by the more restrictive type. */
export function applyMemoryWords(entries: readonly RawEntry[], words: readonly MemoryWord[]): RawEntry[] {
  let out = [...entries];
  for (const word of words) {
    if (word.kind === "exactmap") out = [];
    else if (word.kind === "add") out.push({ base: word.start, length: word.size, type: word.type });
    else if (word.kind === "retype") out = retyped(out, word);
    else out = out.flatMap((entry) => (entry.type === E820_USABLE ? without(entry, word.size, 1n << 80n) : [entry]));
  }
  return out;
}
