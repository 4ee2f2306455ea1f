/**
 * The configuration space of a PCI function: 256 bytes, most of them read-only, whose header tells what it is and where
 * its windows lie.
 *
 * ```
 *        type 0 (endpoint)                      type 1 (bridge)
 *  00    device ‖ vendor                        device ‖ vendor
 *  04    status ‖ command                       status ‖ command
 *  08    class ‖ revision                       class ‖ revision
 *  0c    BIST ‖ header type ‖ …                 … header type = 1 …
 *  10    BAR 0                                  BAR 0
 *  14    BAR 1                                  BAR 1
 *  18    BAR 2                                  … subordinate ‖ secondary ‖ primary bus
 *  1c    BAR 3                                  … I/O limit ‖ I/O base
 *  20    BAR 4                                  memory limit ‖ memory base           (16 bits each: address 31:20)
 *  24    BAR 5                                  prefetchable limit ‖ base            (low bits 1: 64-bit)
 *  28    …                                      prefetchable base, upper 32 bits
 *  2c    subsystem                              prefetchable limit, upper 32 bits
 *  30    expansion ROM                          I/O limit ‖ base, upper 16 bits
 * ```
 *
 * Source: PCI Local Bus Specification 3.0, "Configuration Space"; PCI-to-PCI Bridge Architecture Specification 1.2.
 */

/** Bytes of the configuration space. */
export const CONFIG_BYTES = 256;

/** Offsets of the header's registers. */
export const CONFIG = {
  id: 0x00,
  command: 0x04,
  classRevision: 0x08,
  headerType: 0x0e,
  bar0: 0x10,
  busNumbers: 0x18,
  ioWindow: 0x1c,
  memoryWindow: 0x20,
  prefetchWindow: 0x24,
  prefetchBaseUpper: 0x28,
  prefetchLimitUpper: 0x2c,
  ioWindowUpper: 0x30,
} as const;

/** Bits of the command register. */
export const COMMAND = { io: 1, memory: 2, busMaster: 4 } as const;

/** Low bits of a BAR. */
export const BAR = { io: 1, type64: 4, prefetchable: 8, memoryMask: 0xfffffff0, ioMask: 0xfffffffc } as const;

/** Configuration space with a write mask per bit: what a mask leaves out is read-only. */
export class ConfigSpace {
  readonly #words = new Uint32Array(CONFIG_BYTES / 4);
  readonly #writable = new Uint32Array(CONFIG_BYTES / 4);

  /** Returns a copy of all registers. */
  save(): Uint32Array {
    return this.#words.slice();
  }

  /** Puts saved registers back, read-only ones too. */
  restore(words: Uint32Array): void {
    this.#words.set(words);
  }

  /** Sets a register and which of its bits software may change. `offset` is a multiple of 4. */
  define(offset: number, value: number, writable = 0): void {
    this.#words[offset / 4] = value;
    this.#writable[offset / 4] = writable;
  }

  /** Returns the 32-bit register at `offset`, a multiple of 4. */
  word(offset: number): number {
    return this.#words[offset / 4] ?? 0xffffffff;
  }

  /** Returns `size` (1, 2 or 4) bytes at `offset`, which is a multiple of `size`. */
  read(offset: number, size: number): number {
    const word = this.word(offset & ~3);
    return size === 4 ? word : (word >>> ((offset & 3) * 8)) & (2 ** (8 * size) - 1);
  }

  /** Stores the writable bits of `size` (1, 2 or 4) bytes at `offset`. Returns whether the register changed. */
  write(offset: number, size: number, value: number): boolean {
    const index = offset >>> 2;
    const shift = (offset & 3) * 8;
    const lane = size === 4 ? 0xffffffff : ((2 ** (8 * size) - 1) << shift) >>> 0;
    const mask = (this.#writable[index] ?? 0) & lane;
    const before = this.#words[index] ?? 0;
    const after = ((before & ~mask) | ((value << shift) & mask)) >>> 0;
    this.#words[index] = after;
    return after !== before;
  }
}
