/**
 * What an operating system does to PCI: find the functions, learn the size of each BAR by the probe protocols that real
 * systems use, and give every BAR a place in the holes of the physical map, behind bridges within their windows.
 */
import { MachineError } from "../errors.ts";
import type { AddressWindow } from "../map/claims.ts";
import { hexOf } from "../units.ts";
import type { PhysAddr } from "../units.ts";
import { BAR, COMMAND, CONFIG } from "./pci-config.ts";
import type { PciBridge } from "./pci-bridge.ts";

/** Access to one function's configuration space. */
export interface ConfigAccess {
  /** Reads `size` bytes. */
  readConfig(offset: number, size: number): number;
  /** Writes `size` bytes. */
  writeConfig(offset: number, size: number, value: number): void;
}

/** What probing says of a BAR. */
export interface ProbedBar {
  /** Number of its first register. */
  readonly index: number;
  /** Kind, from the type bits. */
  readonly kind: "memory32" | "memory64" | "io";
  /** Bytes or ports; 0 for a register that is not there. */
  readonly size: number;
  /** Prefetchable bit. */
  readonly prefetchable: boolean;
  /** The address it held before, and holds again. */
  readonly address: PhysAddr;
}

/**
 * The value that is written to learn a size: Linux and most others write all ones; OpenBSD writes ones into the address
 * bits only. Both halves of a 64-bit BAR are written as two dwords.
 */
export const PROBE_VALUE = { allOnes: 0xffffffff, addressBits: 0xfffffff0 } as const;

/** Size encoded by the address bits that stuck, within a register of 32 or 64 bits; 0 when none did. */
function sizeOf(low: number, high: number, is64: boolean): number {
  if (low !== 0) return (low & -low) >>> 0;
  return is64 && high !== 0 ? ((high & -high) >>> 0) * 2 ** 32 : 0;
}

/**
 * Returns the BAR whose first register is number `index` (0 to 5), leaving it as it was. Decoding is switched off while the
 * BAR holds the probe value, as the specification asks, so that the device is nowhere it should not be.
 */
export function probeBar(config: ConfigAccess, index: number, value: number = PROBE_VALUE.allOnes): ProbedBar {
  const register = CONFIG.bar0 + index * 4;
  const command = config.readConfig(CONFIG.command, 2);
  config.writeConfig(CONFIG.command, 2, command & ~(COMMAND.io | COMMAND.memory));
  const low = config.readConfig(register, 4);
  const is64 = (low & BAR.io) === 0 && (low & 6) === BAR.type64;
  const high = is64 ? config.readConfig(register + 4, 4) : 0;
  config.writeConfig(register, 4, value);
  const lowAfter = config.readConfig(register, 4);
  config.writeConfig(register, 4, low);
  let highAfter = 0;
  if (is64) {
    config.writeConfig(register + 4, 4, 0xffffffff);
    highAfter = config.readConfig(register + 4, 4);
    config.writeConfig(register + 4, 4, high);
  }
  config.writeConfig(CONFIG.command, 2, command);
  const isIo = (low & BAR.io) !== 0 || (lowAfter & BAR.io) !== 0;
  const mask = isIo ? BAR.ioMask : BAR.memoryMask;
  return {
    index,
    kind: isIo ? "io" : is64 ? "memory64" : "memory32",
    size: sizeOf((lowAfter & mask) >>> 0, highAfter, is64),
    prefetchable: !isIo && (low & BAR.prefetchable) !== 0,
    address: ((low & mask) >>> 0) + high * 2 ** 32,
  };
}

/** Returns all BARs of an endpoint that exist, in register order. */
export function probeBars(config: ConfigAccess, value: number = PROBE_VALUE.allOnes): ProbedBar[] {
  const out: ProbedBar[] = [];
  for (let index = 0; index < 6; index++) {
    const bar = probeBar(config, index, value);
    if (bar.size > 0) out.push(bar);
    if (bar.kind === "memory64") index++;
  }
  return out;
}

/** Writes a BAR: both dwords of a 64-bit one, with decoding off in between. Throws `unaligned` and `bad-argument`. */
export function writeBar(config: ConfigAccess, bar: ProbedBar, address: PhysAddr): void {
  const offset = address - Math.floor(address / bar.size) * bar.size;
  if (offset !== 0)
    throw new MachineError("unaligned", `A BAR of ${bar.size} bytes cannot start at ${hexOf(address)}`, {
      address,
      size: bar.size,
    });
  const limit = bar.kind === "io" ? 0x10000 : bar.kind === "memory32" ? 2 ** 32 : 2 ** 52;
  if (address <= 0 || address + bar.size > limit)
    throw new MachineError("bad-argument", `A ${bar.kind} BAR of ${bar.size} bytes cannot start at ${hexOf(address)}`, {
      address,
      size: bar.size,
      kind: bar.kind,
    });
  const register = CONFIG.bar0 + bar.index * 4;
  const command = config.readConfig(CONFIG.command, 2);
  config.writeConfig(CONFIG.command, 2, command & ~(COMMAND.io | COMMAND.memory));
  config.writeConfig(register, 4, address >>> 0);
  if (bar.kind === "memory64") config.writeConfig(register + 4, 4, Math.floor(address / 2 ** 32));
  config.writeConfig(CONFIG.command, 2, command);
}

/**
 * Returns the windows within which a BAR may be placed: everywhere on bus 0; behind bridges the intersection of theirs. A
 * BAR that is not prefetchable never goes into a prefetchable window (a bridge may read ahead there); a prefetchable one
 * may use either. A 32-bit BAR is kept below 4 GiB.
 */
export function windowsFor(bar: ProbedBar, bridges: readonly PciBridge[]): AddressWindow[] {
  const limit = bar.kind === "memory64" ? 2 ** 52 : 2 ** 32;
  let windows: AddressWindow[] = [{ start: 2 ** 20, end: limit }];
  for (const bridge of bridges) {
    const own = [bridge.window("memory"), bar.prefetchable ? bridge.window("prefetchable") : null];
    windows = windows.flatMap((outer) =>
      own.flatMap((inner) => {
        if (inner === null) return [];
        const start = Math.max(outer.start, inner.start);
        const end = Math.min(outer.end, inner.end);
        return start < end ? [{ start, end }] : [];
      }),
    );
  }
  return windows;
}
