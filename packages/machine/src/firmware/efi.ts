/**
 * Reads a UEFI memory map: an array of descriptors whose size the firmware tells, because it may grow.
 *
 * ```
 *  0        4        8                16               24               32               40
 *  ├────────┼────────┼────────────────┼────────────────┼────────────────┼────────────────┤
 *  │ type   │ (pad)  │ physical start │ virtual start  │ pages of 4 KiB │ attributes     │
 *  └────────┴────────┴────────────────┴────────────────┴────────────────┴────────────────┘
 * ```
 *
 * Source: UEFI Specification 2.10, "Boot Services", GetMemoryMap.
 */
import { MachineError } from "../errors.ts";
import {
  E820_ACPI,
  E820_NVS,
  E820_PERSISTENT,
  E820_RESERVED,
  E820_SOFT_RESERVED,
  E820_UNUSABLE,
  E820_USABLE,
} from "./entry.ts";
import type { RawEntry } from "./entry.ts";

/** Bytes of the smallest descriptor. */
const LEAST_DESCRIPTOR = 40;

/** Attribute bit EFI_MEMORY_SP: kept for a special purpose. */
const SPECIAL_PURPOSE = 0x40000n;

/**
 * E820 numbers of the UEFI types 0 to 15, after ExitBootServices: loader and boot-services memory is usable then. Memory
 * that is not yet accepted (15) counts as reserved.
 */
const E820_OF_EFI: readonly number[] = [
  E820_RESERVED, // reserved
  E820_USABLE, // loader code
  E820_USABLE, // loader data
  E820_USABLE, // boot services code
  E820_USABLE, // boot services data
  E820_RESERVED, // runtime services code
  E820_RESERVED, // runtime services data
  E820_USABLE, // conventional
  E820_UNUSABLE, // unusable
  E820_ACPI, // ACPI reclaim
  E820_NVS, // ACPI NVS
  E820_RESERVED, // memory-mapped I/O
  E820_RESERVED, // memory-mapped I/O port space
  E820_RESERVED, // PAL code
  E820_PERSISTENT, // persistent
  E820_RESERVED, // unaccepted
];

/** Returns the E820 number of a UEFI type under the attributes of its descriptor, after ExitBootServices. */
export function e820OfEfi(efiType: number, attributes: bigint): number {
  const type = E820_OF_EFI[efiType] ?? E820_RESERVED;
  return type === E820_USABLE && (attributes & SPECIAL_PURPOSE) !== 0n ? E820_SOFT_RESERVED : type;
}

/**
 * Returns the entries of a UEFI memory map. `bytes` holds whole descriptors of `descriptorSize` bytes (40 or more; UEFI
 * firmware of today says 48), or `bad-firmware-map`.
 */
export function entriesFromEfi(bytes: Uint8Array, descriptorSize: number): RawEntry[] {
  if (!Number.isInteger(descriptorSize) || descriptorSize < LEAST_DESCRIPTOR || bytes.length % descriptorSize !== 0)
    throw new MachineError(
      "bad-firmware-map",
      `${bytes.length} bytes are no whole number of UEFI descriptors of ${descriptorSize} bytes`,
      {
        length: bytes.length,
        descriptorSize,
      },
    );
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length / descriptorSize }, (_, index) => {
    const at = index * descriptorSize;
    return {
      base: view.getBigUint64(at + 8, true),
      length: view.getBigUint64(at + 24, true) << 12n,
      type: e820OfEfi(view.getUint32(at, true), view.getBigUint64(at + 32, true)),
    };
  });
}
