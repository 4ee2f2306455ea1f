/**
 * A firmware map: everything that a machine's firmware, ACPI tables and PCI configuration said about its physical
 * address space, validated. It is plain data; `PhysicalMap` is what a machine runs on.
 */
import { MachineError } from "../errors.ts";
import type { AffinityRange, FirmwareEntry, RawEntry } from "./entry.ts";
import { sanitiseEntries } from "./sanitise.ts";
import type { MapChange } from "./sanitise.ts";
import type { PhysAddr } from "../units.ts";

/** A variable MTRR as a kernel prints it. */
export interface FirmwareMtrr {
  /** First byte. */
  readonly base: PhysAddr;
  /** Bytes, a power of two. */
  readonly length: number;
  /** `uncachable`, `write-combining`, `write-through`, `write-protect` or `write-back`. */
  readonly type: string;
}

/** A base address register of a PCI function as it was found. */
export interface FirmwareBar {
  /** Bus, device and function: `00:01.0`. */
  readonly device: string;
  /** The register's number, 0–5 (6: expansion ROM). */
  readonly region: number;
  /** First byte. */
  readonly base: PhysAddr;
  /** Bytes. */
  readonly length: number;
  /** 32 or 64. */
  readonly width: number;
  /** Whether the window is prefetchable. */
  readonly prefetchable: boolean;
  /** Whether decoding was off. */
  readonly disabled: boolean;
}

/** The range that a PCI bridge forwards. */
export interface BridgeWindow {
  /** Bus, device and function of the bridge. */
  readonly device: string;
  /** First byte. */
  readonly base: PhysAddr;
  /** One past the last byte. */
  readonly end: PhysAddr;
  /** Whether it is the prefetchable window. */
  readonly prefetchable: boolean;
}

/** A validated firmware map. */
export interface FirmwareMap {
  /** The machine's name, or an empty string. */
  readonly name: string;
  /** The entries as found, in input order. */
  readonly raw: readonly RawEntry[];
  /** The entries, sanitised: sorted and disjoint. */
  readonly entries: readonly FirmwareEntry[];
  /** What sanitising changed. */
  readonly changes: readonly MapChange[];
  /** SRAT ranges, disjoint; empty where the machine has one node. */
  readonly affinity: readonly AffinityRange[];
  /** The default memory type in the machine's MTRRs, or null where unknown. */
  readonly mtrrDefault: string | null;
  /** The machine's own variable MTRRs. */
  readonly mtrrs: readonly FirmwareMtrr[];
  /** PCI BARs. */
  readonly bars: readonly FirmwareBar[];
  /** Windows of PCI bridges. */
  readonly bridgeWindows: readonly BridgeWindow[];
}

/** Facts that a {@link FirmwareMap} may have beside its entries. */
export type FirmwareFacts = Partial<Omit<FirmwareMap, "raw" | "entries" | "changes">>;

/**
 * Returns NUMA ranges without what an earlier one has: some kernels print the whole of what they know of a node each time, and
 * an SRAT may name memory twice. The first that names it has it.
 */
function disjoint(ranges: readonly AffinityRange[]): readonly AffinityRange[] {
  const out: AffinityRange[] = [];
  for (const range of ranges) {
    let parts = [range];
    for (const { base, end } of out)
      parts = parts.flatMap((part) =>
        [
          { ...part, end: Math.min(part.end, base) },
          { ...part, base: Math.max(part.base, end) },
        ].filter((one) => one.base < one.end),
      );
    out.push(...parts);
  }
  return out;
}

/** Returns the firmware map of `raw` entries and other facts; entries are sanitised, with a report, NUMA ranges made disjoint. */
export function firmwareMapOf(raw: readonly RawEntry[], facts: FirmwareFacts = {}): FirmwareMap {
  const { entries, changes } = sanitiseEntries(raw);
  return {
    name: facts.name ?? "",
    raw,
    entries,
    changes,
    affinity: disjoint(facts.affinity ?? []),
    mtrrDefault: facts.mtrrDefault ?? null,
    mtrrs: facts.mtrrs ?? [],
    bars: facts.bars ?? [],
    bridgeWindows: facts.bridgeWindows ?? [],
  };
}

/** Returns the map; throws `bad-firmware-map`, naming what was dropped first, unless an entry survived sanitising. */
export function requireEntries(map: FirmwareMap): FirmwareMap {
  if (map.entries.length > 0) return map;
  const [dropped] = map.changes;
  const why = dropped === undefined ? "" : `: ${dropped.message}`;
  throw new MachineError("bad-firmware-map", `The map has no entry with any bytes${why}`, { raw: map.raw.length });
}
