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
 * Numbers are decimal, hex with `0x` or octal with `0`, with a suffix K, M, G, T, P or E; several `memmap` values may be joined by commas.
 * Type numbers of 0 are as none. A command line is read as the kernel does: what follows a value that makes sense is passed over, but for `%`,
 * where it voids the value; quotes keep words together; words after `--` are the init program's.
 *
 * Source: Linux kernel parameters, `memmap=` and `mem=`; `parse_memmap_one` and `parse_memopt`, arch/x86/kernel/e820.c; `memparse`, lib/cmdline.c.
 */
import { MachineError } from "../errors.ts";
import { E820_ACPI, E820_LEGACY_PERSISTENT, E820_RESERVED, E820_USABLE } from "./entry.ts";
import type { RawEntry } from "./entry.ts";
import { sanitiseEntries } from "./sanitise.ts";

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
const NUMBER = /0x[0-9a-f]+|0[0-7]*|[1-9]\d*/iy;

const TYPE_OF_SIGN: Readonly<Record<string, number>> = {
  "@": E820_USABLE,
  "#": E820_ACPI,
  $: E820_RESERVED,
  "!": E820_LEGACY_PERSISTENT,
};

/** A number read out of a text, with the place after it; that is where it was asked for when there is none, and the value 0. */
interface Read {
  readonly value: bigint;
  readonly end: number;
}

function readNumber(text: string, at: number): Read {
  NUMBER.lastIndex = at;
  const digits = NUMBER.exec(text)?.[0] ?? "";
  const octal = /^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits;
  return { value: BigInt.asUintN(64, BigInt(octal === "" ? "0" : octal)), end: at + digits.length };
}

/** A number with its suffix. */
function readSize(text: string, at: number): Read {
  const { value, end } = readNumber(text, at);
  const power = SUFFIX.indexOf(text.charAt(end).toUpperCase() || "?") + 1;
  return { value: BigInt.asUintN(64, value << BigInt(10 * power)), end: power > 0 ? end + 1 : end };
}

/** What the kernel makes of one `memmap=` value (null: nothing), and whether the whole of it makes sense. */
interface ReadWord {
  readonly word: MemoryWord | null;
  readonly whole: boolean;
}

function readWord(text: string): ReadWord {
  if (text.startsWith("exactmap")) return { word: { kind: "exactmap" }, whole: text === "exactmap" };
  const { value: size, end } = readSize(text, 0);
  if (end === 0) return { word: null, whole: false };
  const sign = text.charAt(end);
  const start = readSize(text, end + 1);
  const type = TYPE_OF_SIGN[sign];
  if (sign === "%") return readChange(text, size, start);
  if (type === undefined) return { word: { kind: "limit", size }, whole: end === text.length && size > 0n };
  const whole = size > 0n && start.end > end + 1 && start.end === text.length;
  return { word: { kind: "add", start: start.value, size, type }, whole };
}

/** The rest of `size%start-old+new` after the start. */
function readChange(text: string, size: bigint, { value: start, end }: Read): ReadWord {
  const from = text.charAt(end) === "-" ? readNumber(text, end + 1) : { value: 0n, end };
  const to = text.charAt(from.end) === "+" ? readNumber(text, from.end + 1) : { value: 0n, end: from.end };
  if (to.end < text.length) return { word: null, whole: false };
  const [old, type] = [Number(from.value), Number(to.value)];
  const word: MemoryWord =
    old === 0 && type !== 0
      ? { kind: "add", start, size, type }
      : { kind: "retype", start, size, from: old === 0 ? null : old, to: type === 0 ? null : type };
  return { word, whole: size > 0n };
}

/** Returns the correction that one `memmap=` value makes; throws `bad-text` for anything else, also what kernels pass over, or a size of 0. */
export function memoryWordOf(word: string): MemoryWord {
  const read = readWord(word);
  if (read.word !== null && read.whole) return read.word;
  throw new MachineError(
    "bad-text",
    `memmap=${word} is not size@start, size#start, size$start, size!start, size%start-old+new or exactmap`,
    {
      word,
    },
  );
}

/** Returns the corrections of a command line, in its order, as a kernel takes them; other words are passed over. */
export function memoryWordsOf(commandLine: string): MemoryWord[] {
  const out: MemoryWord[] = [];
  for (const [quoted] of commandLine.matchAll(/(?:[^\s"]|"[^"]*"?)+/g)) {
    if (quoted === "--") break;
    const [, name, value = ""] = /^(memmap|mem)=(.*)$/.exec(quoted.replaceAll('"', "")) ?? [];
    if (name === "mem") {
      const size = readSize(value, 0).value;
      if (size > 0n) out.push({ kind: "limit", size });
    } else if (name === "memmap") out.push(...value.split(",").flatMap((one) => readWord(one).word ?? []));
  }
  return out;
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

/**
 * Returns `entries` after the corrections, in order; sanitising afterwards decides overlaps by the more restrictive type. Where there are
 * corrections, the entries are sanitised before, as kernels do: what a removed one has won from another stays removed.
 */
export function applyMemoryWords(entries: readonly RawEntry[], words: readonly MemoryWord[]): RawEntry[] {
  if (words.length === 0) return [...entries];
  let out: RawEntry[] = sanitiseEntries(entries).entries.map(({ base, end, type }) => ({
    base: BigInt(base),
    length: BigInt(end - base),
    type,
  }));
  for (const word of words) {
    if (word.kind === "exactmap") out = [];
    else if (word.kind === "add") out.push({ base: word.start, length: word.size, type: word.type });
    else if (word.kind === "retype") out = retyped(out, word);
    else out = out.flatMap((entry) => (entry.type === E820_USABLE ? without(entry, word.size, 1n << 80n) : [entry]));
  }
  return out;
}
