/**
 * Reads a firmware map out of a Linux kernel log, in all the wordings that kernels from 2.2 on have used:
 *
 * ```
 *  BIOS-e820: 0009fc00 @ 00000000 (usable)                                    2.2: bytes @ base
 *  BIOS-e820: 0000000000000000 - 000000000009fc00 (usable)                    2.4–3.3: end exclusive
 *  BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable              3.4 on: end inclusive
 *  BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff]  639 KB System RAM  newer names, sizes, [gap …] lines
 *  user: [mem …] usable                                                       the second map, after memmap=
 *  SRAT: Node 0 PXM 0 [mem 0x100000000-0x57fffffff] hotplug     older:  SRAT: Node 0 PXM 0 0-a0000
 *  MTRR default type: uncachable
 *    0 base 0000000000 mask FF80000000 write-back     also:  reg00: base=0x000000000 (0MB), size=2048MB: write-back
 * ```
 *
 * Time stamps, priorities and syslog prefixes before the words do not matter.
 */
import { MachineError } from "../errors.ts";
import type { AffinityRange, RawEntry } from "./entry.ts";
import {
  E820_ACPI,
  E820_LEGACY_PERSISTENT,
  E820_NVS,
  E820_PERSISTENT,
  E820_RESERVED,
  E820_UNUSABLE,
  E820_USABLE,
} from "./entry.ts";
import { firmwareMapOf } from "./firmware-map.ts";
import type { FirmwareMap, FirmwareMtrr } from "./firmware-map.ts";
import { applyMemoryWords, memoryWordsOf } from "./memmap.ts";
import { MIB, PHYSICAL_LIMIT } from "../units.ts";

/** The E820 number that Linux prints as "soft reserved": memory that EFI sets apart for a special purpose. */
export const E820_SOFT_RESERVED = 0xefffffff;

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

const RANGE = /\b(BIOS-\w+|user):\s*\[(mem|gap)\s+0x([0-9a-f]+)-0x([0-9a-f]+)\]\s*(.*)$/i;
const OLD_RANGE = /\b(BIOS-\w+|user):\s*([0-9a-f]{8,16}) (-|@) ([0-9a-f]{8,16}) \(([^)]+)\)/i;
const SIZE_COLUMN = /^[~\s]*\d[\d.,]*\s*[KMGTPE]?i?B\b\s*/;
const SRAT = /\bSRAT: Node (\d+) PXM \d+ (?:\[mem 0x([0-9a-f]+)-0x([0-9a-f]+)\]|([0-9a-f]+)-([0-9a-f]+))\s*(.*)$/i;
const MTRR_DEFAULT = /\bMTRR default type:\s*([\w-]+)/i;
const MTRR_LINE = /(?:^|\s)\d+ base (?:0x)?([0-9a-f]+) mask (?:0x)?([0-9a-f]+) ([\w-]+)\s*$/i;
const PROC_MTRR = /\breg\d+:\s*base=0x([0-9a-f]+).*size=\s*(\d+)([KMG]?)B(?:, count=\d+)?:\s*([\w-]+)/i;
const COMMAND_LINE = /(?:Kernel command line|Command line):\s*(.*)$/;

const LINE_END = /\r\n|\n|\r/;

const hex = (digits: string | undefined): bigint => BigInt(`0x${digits ?? "0"}`);

/** Returns the E820 number of a printed name; an unknown name counts as reserved, as firmware's unknown types do. */
function typeOf(name: string): number {
  const words = name.trim().toLowerCase();
  const known = TYPE_NAMES[words];
  if (known !== undefined) return known;
  const numbered = /type (\d+)/.exec(words);
  return numbered === null ? E820_RESERVED : Number(numbered[1]);
}

/** What one line says, if it is a line of the map. */
function entryOf(line: string): { user: boolean; entry: RawEntry | null } | null {
  const range = RANGE.exec(line);
  if (range !== null) {
    const user = range[1]?.toLowerCase() === "user";
    if (range[2]?.toLowerCase() === "gap") return { user, entry: null };
    const base = hex(range[3]);
    const type = typeOf((range[5] ?? "").replace(SIZE_COLUMN, ""));
    return { user, entry: { base, length: spanLength(base, hex(range[4]) + 1n), type } };
  }
  const old = OLD_RANGE.exec(line);
  if (old === null) return null;
  const user = old[1]?.toLowerCase() === "user";
  const [first, second] = [hex(old[2]), hex(old[4])];
  const type = typeOf(old[5] ?? "");
  return old[3] === "@"
    ? { user, entry: { base: second, length: first, type } }
    : { user, entry: { base: first, length: spanLength(first, second), type } };
}

/** Bytes of a printed range; an end below its base wrapped round 64 bits, which sanitising reports. */
function spanLength(base: bigint, end: bigint): bigint {
  return end >= base ? end - base : end - base + (1n << 65n);
}

function affinityOf(line: string): AffinityRange | null {
  const match = SRAT.exec(line);
  if (match === null) return null;
  const base = Number(hex(match[2] ?? match[4]));
  const end = Number(match[3] === undefined ? hex(match[5]) : hex(match[3]) + 1n);
  if (end > PHYSICAL_LIMIT || end <= base) return null;
  const flags = (match[6] ?? "").toLowerCase();
  return {
    node: Number(match[1]),
    base,
    end,
    hotPluggable: flags.includes("hotplug"),
    nonVolatile: flags.includes("non-volatile"),
  };
}

const UNIT: Readonly<Record<string, number>> = { K: 1024, M: MIB, G: 1024 * MIB, "": 1 };

function mtrrOf(line: string): FirmwareMtrr | null {
  const listed = MTRR_LINE.exec(line);
  if (listed !== null) {
    const mask = hex(listed[2]);
    return mask === 0n ? null : { base: Number(hex(listed[1])), length: Number(mask & -mask), type: listed[3] ?? "" };
  }
  const proc = PROC_MTRR.exec(line);
  if (proc === null) return null;
  const length = Number(proc[2]) * (UNIT[(proc[3] ?? "").toUpperCase()] ?? 1);
  return { base: Number(hex(proc[1])), length, type: proc[4] ?? "" };
}

/** Which map of the log to read; see {@link firmwareMapFromDmesg}. */
export interface DmesgOptions {
  /**
   * `entries`: what firmware said. `userEntries`: the map after `memmap=` and `mem=` words, as the kernel printed it or,
   * where it did not, as the words of its command line make it. Default `entries`.
   */
  readonly list?: "entries" | "userEntries";
}

/** Returns whether a text has lines of a firmware map in any of the wordings. */
export function isDmesg(text: string): boolean {
  return text.split(LINE_END, 20_000).some((line) => entryOf(line) !== null);
}

/**
 * Returns the firmware map that a kernel log prints. A log that holds several boots gives the last one. Throws `bad-text`
 * when no line of a map is in it, or none of the list that was asked for.
 */
export function firmwareMapFromDmesg(text: string, options: DmesgOptions = {}): FirmwareMap {
  let log = emptyLog();
  let inMap = false;
  for (const line of text.split(LINE_END)) {
    const found = entryOf(line);
    if (found !== null) {
      if (!found.user && !inMap && log.firmware.length > 0) log = emptyLog();
      inMap = !found.user;
      if (found.entry !== null) (found.user ? log.user : log.firmware).push(found.entry);
      continue;
    }
    if (/Linux version /.test(line) && log.firmware.length > 0) log = emptyLog();
    inMap &&= line.trim() === "";
    readFacts(line, log);
  }
  if (log.firmware.length + log.user.length === 0)
    throw new MachineError("bad-text", "The text has no line of a BIOS-e820 map", { lines: text.split("\n").length });
  return mapOf(log, options.list ?? "entries");
}

interface Log {
  readonly firmware: RawEntry[];
  readonly user: RawEntry[];
  readonly affinity: AffinityRange[];
  readonly mtrrs: FirmwareMtrr[];
  mtrrDefault: string | null;
  commandLine: string;
}

function emptyLog(): Log {
  return { firmware: [], user: [], affinity: [], mtrrs: [], mtrrDefault: null, commandLine: "" };
}

function readFacts(line: string, log: Log): void {
  const range = affinityOf(line);
  if (range !== null) log.affinity.push(range);
  const register = mtrrOf(line);
  if (register !== null) log.mtrrs.push(register);
  log.mtrrDefault ??= MTRR_DEFAULT.exec(line)?.[1] ?? null;
  if (log.commandLine === "") log.commandLine = COMMAND_LINE.exec(line)?.[1] ?? "";
}

function mapOf(log: Log, list: "entries" | "userEntries"): FirmwareMap {
  const facts = { affinity: log.affinity, mtrrs: log.mtrrs, mtrrDefault: log.mtrrDefault };
  if (list === "entries") return firmwareMapOf(log.firmware, facts);
  if (log.user.length > 0) return firmwareMapOf(log.user, facts);
  const words = memoryWordsOf(log.commandLine);
  if (words.length === 0)
    throw new MachineError("bad-text", "The log has no second map, and its command line no memmap= or mem= word", {
      commandLine: log.commandLine,
    });
  return firmwareMapOf(applyMemoryWords(log.firmware, words), facts);
}
