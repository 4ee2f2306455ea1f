/**
 * Reads a firmware map out of a Linux kernel log, in all the wordings that kernels from 2.2 on have used:
 *
 * ```
 *  BIOS-e820: 0009fc00 @ 00000000 (usable)                                    2.2: bytes @ base (base @ bytes is told apart)
 *  BIOS-e820: 0000000000000000 - 000000000009fc00 (usable)                    2.4–3.3: end exclusive; also: … type 9
 *  BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable              3.4 on: end inclusive
 *  BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff]  639 KB System RAM  newer names, sizes, [gap …] lines
 *  BIOS-e801: …, BIOS-88: …, Xen: …                                           maps from other sources
 *  user: [mem …] usable                                                       the second map, after memmap=
 * ```
 *
 * Where a text has none of these, print-outs of a UEFI memory map do: see `efi-text.ts`.
 *
 * Time stamps, priorities and syslog prefixes before the words do not matter, nor do other lines in between. NUMA ranges and
 * MTRRs are read beside the map: see `dmesg-facts.ts`.
 */
import { MachineError } from "../errors.ts";
import { emptyFacts, readFacts } from "./dmesg-facts.ts";
import type { LogFacts } from "./dmesg-facts.ts";
import type { RawEntry } from "./entry.ts";
import {
  E820_ACPI,
  E820_LEGACY_PERSISTENT,
  E820_NVS,
  E820_PERSISTENT,
  E820_RESERVED,
  E820_SOFT_RESERVED,
  E820_UNUSABLE,
  E820_USABLE,
} from "./entry.ts";
import { efiEntryOfLine } from "./efi-text.ts";
import { firmwareMapOf, requireEntries } from "./firmware-map.ts";
import type { FirmwareMap } from "./firmware-map.ts";
import { applyMemoryWords, memoryWordsOf } from "./memmap.ts";
import { sanitiseEntries } from "./sanitise.ts";

/** Names that kernels print, lower case. */
const TYPE_NAMES: Readonly<Record<string, number>> = {
  usable: E820_USABLE,
  "system ram": E820_USABLE,
  reserved: E820_RESERVED,
  "device reserved": E820_RESERVED,
  "acpi data": E820_ACPI,
  "acpi tables": E820_ACPI,
  "acpi nvs": E820_NVS,
  "acpi non-volatile storage": E820_NVS,
  unusable: E820_UNUSABLE,
  "unusable memory": E820_UNUSABLE,
  "persistent (type 7)": E820_PERSISTENT,
  "persistent memory": E820_PERSISTENT,
  "persistent ram": E820_LEGACY_PERSISTENT,
  "persistent memory (legacy)": E820_LEGACY_PERSISTENT,
  "persistent (type 12)": E820_LEGACY_PERSISTENT,
  "soft reserved": E820_SOFT_RESERVED,
};

const SOURCE = "(BIOS-\\w+|Xen|user)";
const RANGE = new RegExp(`\\b${SOURCE}:\\s*\\[(mem|gap)\\s+0x([0-9a-f]+)-0x([0-9a-f]+)\\]\\s*(.*)$`, "i");
const OLD_RANGE = new RegExp(
  `\\b${SOURCE}:\\s*([0-9a-f]{8,16}) (-|@) ([0-9a-f]{8,16})\\s+(?:\\(((?:[^()]|\\([^)]*\\))+)\\)|(type \\d+))`,
  "i",
);
const SIZE_COLUMN = /^[~\s]*\d[\d.,]*\s*[KMGTPE]?i?B\b\s*/;
const COMMAND_LINE = /(?:Kernel command line|Command line):\s*(.*)$/;
/** What comes before the map of a boot: lines after it belong to another boot than lines before it. */
const BOOT_START = /\bLinux version |BIOS-provided physical RAM map/;

const LINE_END = /\r\n|\n|\r/;
/** Colours, which dmesg prints for a terminal. */
// eslint-disable-next-line no-control-regex
const COLOUR = /\u001b\[[\d;]*m/g;

/** The lines of a log, without colours. */
function linesOf(text: string, most?: number): string[] {
  return text.replace(COLOUR, "").split(LINE_END, most);
}

const hex = (digits: string | undefined): bigint => BigInt(`0x${digits ?? "0"}`);

/**
 * Returns the E820 number of a printed name. One that a log breaks off in is completed where only one type begins so; any other counts as
 * reserved, as firmware's unknown types do.
 */
function typeOf(name: string): number {
  const words = name.trim().toLowerCase();
  const known = TYPE_NAMES[words];
  if (known !== undefined) return known;
  const numbered = /type (\d+)/.exec(words);
  if (numbered !== null) return Number(numbered[1]);
  const begun = new Set(
    Object.keys(TYPE_NAMES).flatMap((one) => (one.startsWith(words) ? (TYPE_NAMES[one] ?? []) : [])),
  );
  const [only] = begun;
  return begun.size === 1 && only !== undefined ? only : E820_RESERVED;
}

/** What one line of a map says. */
interface MapLine {
  /** Whether it is of the second map. */
  readonly user: boolean;
  /** The entry; null for a gap. */
  readonly entry: RawEntry | null;
  /** What it is if a line with `@` has the base first; null for other lines. */
  readonly swapped: RawEntry | null;
}

/** Returns what a line says, null when it is no line of a map. */
function mapLineOf(line: string): MapLine | null {
  const range = RANGE.exec(line);
  if (range !== null) {
    const user = range[1]?.toLowerCase() === "user";
    if (range[2]?.toLowerCase() === "gap") return { user, entry: null, swapped: null };
    const base = hex(range[3]);
    const type = typeOf((range[5] ?? "").replace(SIZE_COLUMN, ""));
    return { user, entry: { base, length: spanLength(base, hex(range[4]) + 1n), type }, swapped: null };
  }
  const old = OLD_RANGE.exec(line);
  if (old === null) return null;
  const user = old[1]?.toLowerCase() === "user";
  const [first, second] = [hex(old[2]), hex(old[4])];
  const type = typeOf(old[5] ?? old[6] ?? "");
  return old[3] === "@"
    ? { user, entry: { base: second, length: first, type }, swapped: { base: first, length: second, type } }
    : { user, entry: { base: first, length: spanLength(first, second), type }, swapped: null };
}

/** Bytes of a printed range; an end below its base wrapped round 64 bits, which sanitising reports. */
function spanLength(base: bigint, end: bigint): bigint {
  return end >= base ? end - base : end - base + (1n << 65n);
}

/** Which map of the log to read; see {@link firmwareMapFromDmesg}. */
export interface DmesgOptions {
  /**
   * `entries`: what firmware said. `userEntries`: the map after `memmap=` and `mem=` words, as the kernel printed it or,
   * where it did not, as the words of its command line make it. Default `entries`.
   */
  readonly list?: "entries" | "userEntries";
}

/** Returns whether a text has lines of a firmware map in any of the wordings, or of a UEFI memory map. */
export function isDmesg(text: string): boolean {
  return linesOf(text, 20_000).some((line) => mapLineOf(line) !== null || efiEntryOfLine(line) !== null);
}

/**
 * Returns the firmware map that a kernel log prints. A log that holds several boots gives the last one. A UEFI memory map is taken where
 * there is no E820 map, which the kernel makes of it. Throws `bad-text` when no line of a map is in it, or none of the list that was
 * asked for, `bad-firmware-map` when no entry is left after sanitising.
 */
export function firmwareMapFromDmesg(text: string, options: DmesgOptions = {}): FirmwareMap {
  let log = emptyLog();
  let inMap = false;
  for (const line of linesOf(text)) {
    const found = mapLineOf(line);
    if (found !== null) {
      if (!found.user && !inMap && startsOver(log, found)) log = emptyLog();
      inMap = !found.user;
      if (found.entry !== null) (found.user ? log.user : log.firmware).push(found);
      continue;
    }
    if (BOOT_START.test(line) && log.firmware.length > 0) log = emptyLog();
    const described = efiEntryOfLine(line);
    if (described !== null) {
      if (log.efi.length > 0 && described.base <= (log.efi[0]?.base ?? 0n)) log.efi.length = 0;
      log.efi.push(described);
      continue;
    }
    inMap &&= line.trim() === "";
    readFacts(line, log.facts);
    if (log.commandLine === "") log.commandLine = COMMAND_LINE.exec(line)?.[1] ?? "";
  }
  if (log.firmware.length + log.user.length + log.efi.length === 0)
    throw new MachineError("bad-text", "The text has no line of a BIOS-e820 map", { lines: text.split("\n").length });
  return requireEntries(mapOf(log, options.list ?? "entries"));
}

interface Log {
  readonly firmware: MapLine[];
  readonly user: MapLine[];
  /** Lines of a UEFI memory map, the last one printed. */
  readonly efi: RawEntry[];
  readonly facts: LogFacts;
  commandLine: string;
}

function emptyLog(): Log {
  return { firmware: [], user: [], efi: [], facts: emptyFacts(), commandLine: "" };
}

/** Whether a line after other lines begins the map of another boot: it is where the map so far began, or below. */
function startsOver(log: Log, line: MapLine): boolean {
  const first = log.firmware[0]?.entry;
  if (line.entry === null || first === undefined || first === null) return false;
  return line.entry.base <= first.base;
}

/**
 * The entries of map lines. Kernels with `@` printed the bytes first; lists of the other order are about as old. The order
 * under which less has to be put right is taken, the kernels' own when both are as good.
 */
function entriesOf(lines: readonly MapLine[]): RawEntry[] {
  const kernels = lines.flatMap(({ entry }) => (entry === null ? [] : [entry]));
  const swapped = lines.flatMap((line) => line.swapped ?? line.entry ?? []);
  const isSwapped = sanitiseEntries(swapped).changes.length < sanitiseEntries(kernels).changes.length;
  return isSwapped ? swapped : kernels;
}

function mapOf(log: Log, list: "entries" | "userEntries"): FirmwareMap {
  const { facts } = log;
  const firmware = log.firmware.length > 0 ? entriesOf(log.firmware) : log.efi;
  if (list === "entries") return firmwareMapOf(firmware, facts);
  if (log.user.length > 0) return firmwareMapOf(entriesOf(log.user), facts);
  const words = memoryWordsOf(log.commandLine);
  if (words.length === 0)
    throw new MachineError("bad-text", "The log has no second map, and its command line no memmap= or mem= word", {
      commandLine: log.commandLine,
    });
  return firmwareMapOf(applyMemoryWords(firmware, words), facts);
}
