/**
 * A device that masters the bus: it reads a scatter-gather list from memory and moves bytes by itself. Its address lines
 * end at `addressBits`, so that a buffer above its reach lands, as in real machines, at the address with the upper bits
 * cut off.
 *
 * One descriptor, 16 bytes, little-endian:
 *
 * ```
 *  0        4        8        12       16
 *  ├────────┼────────┼────────┼────────┤
 *  │ addr lo│ addr hi│ length │ flags  │   flags bit 0: last descriptor of the list
 *  └────────┴────────┴────────┴────────┘
 * ```
 */
import { MachineError } from "../errors.ts";
import type { PhysicalMemory } from "../memory/physical-memory.ts";
import { formatAddress } from "../units.ts";
import type { PhysAddr } from "../units.ts";

/** Bytes of a descriptor. */
export const DESCRIPTOR_BYTES = 16;

/** Flag of the last descriptor of a list. */
export const DESCRIPTOR_LAST = 1;

/** A piece of memory, in bytes. */
export interface MemorySegment {
  /** First byte. */
  readonly address: PhysAddr;
  /** Bytes, at least 1. */
  readonly length: number;
}

/** How a transfer of a {@link BusMaster} ended. */
export interface BusTransfer {
  /** Bytes that were moved. */
  readonly bytes: number;
  /** Descriptors that were read. */
  readonly descriptors: number;
  /** Segments whose address lost bits on the device's address lines: each is a driver's bug. */
  readonly truncated: number;
}

/** Writes a scatter-gather list into memory, as a driver does. Returns its bytes. */
export function writeScatterGatherList(
  memory: PhysicalMemory,
  at: PhysAddr,
  segments: readonly MemorySegment[],
): number {
  const words = new Uint32Array(segments.length * (DESCRIPTOR_BYTES / 4));
  segments.forEach(({ address, length }, index) => {
    words[index * 4] = address >>> 0;
    words[index * 4 + 1] = Math.floor(address / 2 ** 32);
    words[index * 4 + 2] = length;
    words[index * 4 + 3] = index === segments.length - 1 ? DESCRIPTOR_LAST : 0;
  });
  memory.writeBytes(at, new Uint8Array(words.buffer));
  return words.byteLength;
}

/** A DMA engine that masters the bus: it reads a scatter-gather list from memory and moves the bytes itself, as far as its address lines reach; beyond them it wraps, as hardware does. */
export class BusMaster {
  /** Width of its address lines, in bits. */
  readonly addressBits: number;
  /** Most descriptors that it follows in one list; a list without an end stops here. */
  readonly maxDescriptors: number;
  readonly #memory: PhysicalMemory;

  /** Creates an engine whose address lines have `addressBits` bits, 16 to 52. */
  constructor(memory: PhysicalMemory, addressBits: number, maxDescriptors = 4096) {
    if (!Number.isInteger(addressBits) || addressBits < 16 || addressBits > 52)
      throw new MachineError("bad-argument", `A bus master has 16 to 52 address lines, not ${addressBits}`, {
        addressBits,
      });
    this.#memory = memory;
    this.addressBits = addressBits;
    this.maxDescriptors = maxDescriptors;
  }

  /** Moves `bytes` into the memory that the list at `list` describes. */
  toMemory(list: PhysAddr, bytes: Uint8Array): BusTransfer {
    return this.#run(list, bytes, (address, part) => {
      this.#memory.writeBytes(address, part);
    });
  }

  /** Fills `into` from the memory that the list at `list` describes. */
  fromMemory(list: PhysAddr, into: Uint8Array): BusTransfer {
    return this.#run(list, into, (address, part) => {
      this.#memory.readBytes(address, part);
    });
  }

  #run(list: PhysAddr, bytes: Uint8Array, move: (address: PhysAddr, part: Uint8Array) => void): BusTransfer {
    const descriptor = new Uint32Array(DESCRIPTOR_BYTES / 4);
    const raw = new Uint8Array(descriptor.buffer);
    let done = 0;
    let descriptors = 0;
    let truncated = 0;
    while (descriptors < this.maxDescriptors) {
      this.#memory.readBytes(this.#onTheWire(list + descriptors * DESCRIPTOR_BYTES), raw);
      descriptors++;
      const address = descriptor[0]! + (descriptor[1]! & 0xfffff) * 2 ** 32;
      const reached = this.#onTheWire(address);
      if (reached !== address) truncated++;
      const length = Math.min(descriptor[2]!, bytes.length - done, 2 ** this.addressBits - reached);
      move(reached, bytes.subarray(done, done + length));
      done += length;
      if ((descriptor[3]! & DESCRIPTOR_LAST) !== 0 || done >= bytes.length) break;
    }
    return { bytes: done, descriptors, truncated };
  }

  /** The part of an address that the device's lines carry. */
  #onTheWire(address: PhysAddr): PhysAddr {
    const limit = 2 ** this.addressBits;
    return address - Math.floor(address / limit) * limit;
  }

  /** Returns whether the device can reach all of `[address, address + length)`; drivers ask before they need a bounce buffer. */
  reaches(address: PhysAddr, length: number): boolean {
    return address >= 0 && address + length <= 2 ** this.addressBits;
  }

  /** Throws `device-misuse` when the device cannot reach the segment; the message names its limit. */
  requireReach({ address, length }: MemorySegment): void {
    if (!this.reaches(address, length))
      throw new MachineError(
        "device-misuse",
        `${length} bytes at ${formatAddress(address)} are beyond the device's ${this.addressBits} address bits`,
        { address, length, addressBits: this.addressBits },
      );
  }
}
