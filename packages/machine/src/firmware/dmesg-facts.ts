/**
 * What a Linux kernel log says of a machine's memory beside the map, in the wordings of kernels from 2.6 on:
 *
 * ```
 *  SRAT: Node 0 PXM 0 [mem 0x100000000-0x57fffffff] hotplug       end inclusive; also behind "ACPI: "
 *  SRAT: Node 0 PXM 0 0-a0000                                     older: end exclusive; the node's range so far in some kernels
 *  SRAT: Node 0 PXM 0 [0,a0000)                                   end exclusive
 *  MTRR default type: uncachable
 *    0 base 0000000000 mask FF80000000 write-back                 the registers, as the kernel found them
 *  reg00: base=0x000000000 (0MB), size=2048MB: write-back         /proc/mtrr, old and new
 *  reg 0, base: 0GB, range: 2GB, type WB                          mtrr_cleanup: before, then after "New variable MTRRs"
 * ```
 */
import { MIB, PHYSICAL_LIMIT } from "../units.ts";
import type { AffinityRange } from "./entry.ts";
import type { FirmwareMtrr } from "./firmware-map.ts";

/** Facts read so far. */
export interface LogFacts {
  /** NUMA ranges, as printed: they may overlap. */
  readonly affinity: AffinityRange[];
  /** Variable MTRRs, each once. */
  readonly mtrrs: FirmwareMtrr[];
  /** The default type, or null where the log does not say. */
  mtrrDefault: string | null;
}

/** Returns no facts. */
export function emptyFacts(): LogFacts {
  return { affinity: [], mtrrs: [], mtrrDefault: null };
}

const SRAT =
  /\bSRAT: Node (\d+) PXM \d+ (?:\[mem 0x([0-9a-f]+)-0x([0-9a-f]+)\]|\[?([0-9a-f]+)[-,]([0-9a-f]+)\)?)(?:\s+(.*))?$/i;
const MTRR_DEFAULT = /\bMTRR default type:\s*([\w-]+)/i;
const MTRR_LINE = /(?:^|\s)\d+ base (?:0x)?([0-9a-f]+) mask (?:0x)?([0-9a-f]+) ([\w-]+)\s*$/i;
const PROC_MTRR = /\breg\d+:\s*base=0x([0-9a-f]+).*size=\s*(\d+)([KMGT]?)B(?:, count=\d+)?:\s*([\w-]+)/i;
const CLEANUP_LINE = /\breg \d+, base: (\d+)([KMGT])B, range: (\d+)([KMGT])B, type (\w+)/;
const CLEANED_UP = /\bNew variable MTRRs\b/;

const UNIT: Readonly<Record<string, number>> = { K: 1024, M: MIB, G: 1024 * MIB, T: 2 ** 20 * MIB, "": 1 };
const sized = (digits: string | undefined, unit: string | undefined): number =>
  Number(digits) * (UNIT[(unit ?? "").toUpperCase()] ?? 1);

const hex = (digits: string | undefined): bigint => BigInt(`0x${digits ?? "0"}`);

/** The names of types in `mtrr_cleanup` lines. */
const SHORT_NAMES: Readonly<Record<string, string>> = {
  UC: "uncachable",
  WC: "write-combining",
  WT: "write-through",
  WP: "write-protect",
  WB: "write-back",
};

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

function mtrrOf(line: string): FirmwareMtrr | null {
  const listed = MTRR_LINE.exec(line);
  if (listed !== null) {
    const mask = hex(listed[2]);
    return mask === 0n ? null : { base: Number(hex(listed[1])), length: Number(mask & -mask), type: listed[3] ?? "" };
  }
  const proc = PROC_MTRR.exec(line);
  if (proc !== null) return { base: Number(hex(proc[1])), length: sized(proc[2], proc[3]), type: proc[4] ?? "" };
  const cleanup = CLEANUP_LINE.exec(line);
  if (cleanup === null) return null;
  return {
    base: sized(cleanup[1], cleanup[2]),
    length: sized(cleanup[3], cleanup[4]),
    type: SHORT_NAMES[cleanup[5] ?? ""] ?? cleanup[5] ?? "",
  };
}

/** Reads what one line says into `facts`. */
export function readFacts(line: string, facts: LogFacts): void {
  const range = affinityOf(line);
  if (range !== null) facts.affinity.push(range);
  if (CLEANED_UP.test(line)) facts.mtrrs.length = 0;
  const register = mtrrOf(line);
  const isKnown = ({ base, length, type }: FirmwareMtrr): boolean =>
    base === register?.base && length === register.length && type === register.type;
  if (register !== null && !facts.mtrrs.some(isKnown)) facts.mtrrs.push(register);
  facts.mtrrDefault ??= MTRR_DEFAULT.exec(line)?.[1] ?? null;
}
