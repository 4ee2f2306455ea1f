/**
 * What `map --json` says of MTRRs: the minimal sets for a map, and how a machine's own registers fit it.
 */
import { E820_ACPI, E820_NVS, E820_USABLE } from "../firmware/entry.ts";
import type { FirmwareMap } from "../firmware/firmware-map.ts";
import { gapsWithin } from "../map/summary.ts";
import { GIB, hexOf, MIB } from "../units.ts";
import { typeOfKernelName } from "./memory-type.ts";
import type { MemoryType } from "./memory-type.ts";
import { isBlock, maskOf, MtrrRegisters } from "./registers.ts";
import type { TypedRange, VariableRange } from "./registers.ts";
import { mtrrNeeds, synthesiseMtrrs } from "./synthesis.ts";
import type { MtrrStrictness } from "./synthesis.ts";

/** A variable MTRR as JSON: the naturally aligned block that it covers, numbers as `0x` and hex digits. */
export interface MtrrRegisterReport {
  /** `WB` or `UC`. */
  readonly type: MemoryType;
  /** First byte, a multiple of `length`. */
  readonly base: string;
  /** Bytes, a power of two. */
  readonly length: string;
  /** The mask for 52-bit addresses. */
  readonly mask52: string;
}

/** A set of registers as JSON. */
export interface MtrrSetReport {
  /** How many registers; the proven minimum. */
  readonly count: number;
  /** One optimum. */
  readonly registers: readonly MtrrRegisterReport[];
}

/** The sets for one strictness. */
export interface MtrrSetsReport {
  /** Default UC, WB registers only. */
  readonly defaultUC_WBonly: MtrrSetReport;
  /** Default UC, WB and UC registers. */
  readonly defaultUC_WBandUC: MtrrSetReport;
  /** Default WB, UC registers only. */
  readonly defaultWB_UCholes: MtrrSetReport;
}

/** The `mtrr` field of the report on a map. */
export interface MtrrReport {
  /** UC: what is in no entry. */
  readonly lenient: MtrrSetsReport;
  /** UC: whatever is no memory. */
  readonly strict: MtrrSetsReport;
}

function setReport(ranges: readonly VariableRange[] | null): MtrrSetReport {
  const registers = (ranges ?? []).map(({ type, base, length }) => ({
    type,
    base: hexOf(base),
    length: hexOf(length),
    mask52: hexOf(maskOf(length)),
  }));
  return { count: registers.length, registers };
}

function setsReport(map: FirmwareMap, strictness: MtrrStrictness): MtrrSetsReport {
  const needs = mtrrNeeds(map, strictness);
  return {
    defaultUC_WBonly: setReport(synthesiseMtrrs(needs, { defaultType: "UC", types: ["WB"] })),
    defaultUC_WBandUC: setReport(synthesiseMtrrs(needs, { defaultType: "UC", types: ["WB", "UC"] })),
    defaultWB_UCholes: setReport(synthesiseMtrrs(needs, { defaultType: "WB", types: ["UC"] })),
  };
}

/** Returns the minimal register sets for a map. */
export function reportMtrrs(map: FirmwareMap): MtrrReport {
  return { lenient: setsReport(map, "lenient"), strict: setsReport(map, "strict") };
}

/** How a machine's own registers fit its map. */
export interface RealMtrrReport {
  /** Registers in use. */
  readonly registers: number;
  /** The default type, or null where unknown (taken as UC). */
  readonly default: MemoryType | null;
  /** Bytes of RAM (type 1) above 1 MiB that are not WB. */
  readonly ramBytesNotWB: number;
  /** Bytes in no entry, between 1 MiB and the larger of 4 GiB and the end of RAM, that are WB. */
  readonly unlistedBytesWB: number;
  /** RAM that is not WB. */
  readonly ramNotWB: readonly TypedRange[];
  /** Holes that are WB. */
  readonly unlistedWB: readonly TypedRange[];
}

/** Returns a machine's own registers, as its kernel printed them; a register that is no block is left out. */
export function registersOf(map: FirmwareMap): MtrrRegisters {
  const registers = new MtrrRegisters(Math.max(map.mtrrs.length, 8));
  registers.defaultType = typeOfKernelName(map.mtrrDefault ?? "uncachable") ?? "UC";
  map.mtrrs.forEach(({ base, length, type }, index) => {
    const known = typeOfKernelName(type);
    if (known !== undefined && isBlock(base, length)) registers.setVariable(index, { base, length, type: known });
  });
  return registers;
}

/** Checks a machine's own registers against its map; null where the map has none. */
export function validateMtrrs(map: FirmwareMap): RealMtrrReport | null {
  if (map.mtrrs.length === 0 && map.mtrrDefault === null) return null;
  const registers = registersOf(map);
  const ram = map.entries.filter((entry) => entry.type === E820_USABLE);
  const memory = map.entries.filter(({ type }) => type === E820_USABLE || type === E820_ACPI || type === E820_NVS);
  const limit = Math.max(4 * GIB, ...memory.map((entry) => entry.end));
  const of = (
    spans: readonly { base: number; end: number }[],
    wrong: (type: MemoryType | null) => boolean,
  ): TypedRange[] =>
    spans
      .map(({ base, end }) => ({ base: Math.max(base, MIB), end }))
      .filter(({ base, end }) => end > base)
      .flatMap(({ base, end }) => registers.typesIn(base, end).filter((range) => wrong(range.type)));
  const bytes = (ranges: readonly TypedRange[]): number =>
    ranges.reduce((sum, range) => sum + range.end - range.start, 0);
  const ramNotWB = of(ram, (type) => type !== "WB");
  const unlistedWB = of(gapsWithin(map.entries, MIB, limit), (type) => type === "WB");
  return {
    registers: registers.ranges.length,
    default: map.mtrrDefault === null ? null : registers.defaultType,
    ramBytesNotWB: bytes(ramNotWB),
    unlistedBytesWB: bytes(unlistedWB),
    ramNotWB,
    unlistedWB,
  };
}
