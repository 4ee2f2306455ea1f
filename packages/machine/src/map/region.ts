import type { PhysAddr } from "../units.ts";

/**
 * What a range of the physical address space is.
 *
 * | kind | is | bytes are kept by |
 * |---|---|---|
 * | `ram` | memory that the operating system may use | the machine |
 * | `rom` | memory that ignores writes | the machine |
 * | `acpi` | ACPI tables: RAM, usable after they are read | the machine |
 * | `nvs` | ACPI non-volatile storage: RAM, to be preserved | the machine |
 * | `persistent` | non-volatile memory | the machine, or a file |
 * | `mmio` | a device's registers or memory | the device |
 * | `reserved` | kept back by firmware, nobody knows for what | the machine |
 * | `faulty` | RAM with known errors | the machine |
 * | `absent` | a place where memory may be plugged in | nobody: reads as all ones |
 */
export type RegionKind = "ram" | "rom" | "acpi" | "nvs" | "persistent" | "mmio" | "reserved" | "faulty" | "absent";

/** How the processor may cache a range, by wish of whoever described it. */
export type Cacheability = "write-back" | "write-through" | "write-combining" | "write-protect" | "uncachable";

/**
 * A device whose registers or memory lie in the physical address space. Offsets count from the first byte of its region.
 * A device may move (a BAR is reprogrammed) without noticing.
 */
export interface MmioDevice {
  /** Returns `size` (1, 2 or 4) bytes at `offset`, little-endian, as an unsigned number. */
  read(offset: number, size: number): number;
  /** Stores the low `size` (1, 2 or 4) bytes of `value` at `offset`. */
  write(offset: number, size: number, value: number): void;
  /** Takes a burst of a whole line from a write-combining buffer; absent: it arrives as 32-bit writes. */
  writeBurst?(offset: number, bytes: Uint8Array): void;
}

/** The properties of a region, apart from its place. */
export interface RegionTraits {
  /** What it is. */
  readonly kind: RegionKind;
  /** NUMA node, or −1 where it has none. */
  readonly node: number;
  /** Whether contents survive a power cycle. */
  readonly nonVolatile: boolean;
  /** Whether it may be plugged in or removed while the machine runs. */
  readonly hotPluggable: boolean;
  /** How it should be cached. */
  readonly cacheability: Cacheability;
  /** Who described or claimed it: `firmware`, `memmap=`, a device's name. */
  readonly owner: string;
  /** E820 number, or 0 for ranges that are not from firmware. */
  readonly e820: number;
  /** The device that answers accesses of an `mmio` region; null: reads as all ones, writes are lost. */
  readonly device: MmioDevice | null;
}

/** A range of the flattened map: `[start, end)` with its traits. */
export interface Region extends RegionTraits {
  /** First byte. */
  readonly start: PhysAddr;
  /** One past the last byte. */
  readonly end: PhysAddr;
  /** Where the bytes are kept: `start`, or the target's address when this is a view through an alias. */
  readonly backing: PhysAddr;
  /** Where the first byte of the node that made this region lies; a device's offsets count from here. */
  readonly origin: PhysAddr;
}

/** Kinds whose bytes the machine keeps. */
export function isMemory(kind: RegionKind): boolean {
  return kind !== "mmio" && kind !== "absent";
}

/** Returns traits with defaults for what is not given: no node, volatile, fixed, write-back for memory. */
export function traitsOf(kind: RegionKind, owner: string, more: Partial<RegionTraits> = {}): RegionTraits {
  return {
    kind,
    owner,
    node: more.node ?? -1,
    nonVolatile: more.nonVolatile ?? (kind === "rom" || kind === "persistent"),
    hotPluggable: more.hotPluggable ?? kind === "absent",
    cacheability: more.cacheability ?? (isMemory(kind) ? "write-back" : "uncachable"),
    e820: more.e820 ?? 0,
    device: more.device ?? null,
  };
}
