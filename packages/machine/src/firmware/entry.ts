import type { PhysAddr } from "../units.ts";

/**
 * The E820 types, as firmware reports them and Linux prints them.
 *
 * | type | is | may be used as RAM |
 * |---|---|---|
 * | 1 | usable | yes |
 * | 2 | reserved | no |
 * | 3 | ACPI data | after ACPI is read |
 * | 4 | ACPI NVS | no |
 * | 5 | unusable (bad memory) | no |
 * | 7 | persistent memory | no |
 * | 12 | persistent memory, older firmware and `memmap=n!m` | no |
 *
 * Source: Advanced Configuration and Power Interface Specification 6.5, 15.1 and table 15.4.
 */
export const E820_USABLE = 1;
/** Reserved by firmware or hardware. */
export const E820_RESERVED = 2;
/** ACPI tables; usable once they are read. */
export const E820_ACPI = 3;
/** ACPI non-volatile storage; must be preserved over sleep. */
export const E820_NVS = 4;
/** Memory in which errors were found. */
export const E820_UNUSABLE = 5;
/** Persistent memory. */
export const E820_PERSISTENT = 7;
/** Persistent memory as older firmware and the word `memmap=size!start` name it. */
export const E820_LEGACY_PERSISTENT = 12;
/** The E820 number that Linux prints as "soft reserved": memory that EFI sets apart for a special purpose. */
export const E820_SOFT_RESERVED = 0xefffffff;

/** One range of a sanitised firmware map: `[base, end)` with its E820 type. */
export interface FirmwareEntry {
  /** First byte. */
  readonly base: PhysAddr;
  /** One past the last byte. */
  readonly end: PhysAddr;
  /** E820 number. */
  readonly type: number;
}

/**
 * One range as it was found, before anything is known to be right about it: `base` and `length` as 64-bit
 * quantities, so that a range that wraps can be told.
 */
export interface RawEntry {
  /** First byte, `[0, 2^64)`. */
  readonly base: bigint;
  /** Bytes, ≥ 0; `base + length` may exceed 2^64. */
  readonly length: bigint;
  /** E820 number. */
  readonly type: number;
}

/** One range of a node's memory, from the ACPI SRAT. */
export interface AffinityRange {
  /** The node, numbered from 0 as the operating system does. */
  readonly node: number;
  /** First byte. */
  readonly base: PhysAddr;
  /** One past the last byte. */
  readonly end: PhysAddr;
  /** Whether memory may be plugged in here while the machine runs. */
  readonly hotPluggable: boolean;
  /** Whether memory here is non-volatile. */
  readonly nonVolatile: boolean;
}

/** Returns the name that Linux prints for an E820 type. */
export function typeName(type: number): string {
  switch (type) {
    case E820_USABLE:
      return "usable";
    case E820_RESERVED:
      return "reserved";
    case E820_ACPI:
      return "ACPI data";
    case E820_NVS:
      return "ACPI NVS";
    case E820_UNUSABLE:
      return "unusable";
    case E820_PERSISTENT:
      return "persistent (type 7)";
    case E820_LEGACY_PERSISTENT:
      return "persistent (type 12)";
    default:
      return `type ${type}`;
  }
}
