/**
 * A PCI-to-PCI bridge: header type 1. It passes an access down only when the address lies in one of its windows, so a BAR
 * outside them is deaf however well it is programmed.
 */
import type { PhysAddr } from "../units.ts";
import { COMMAND, CONFIG, ConfigSpace } from "./pci-config.ts";
import type { PciIdentity } from "./pci-function.ts";

/** Kinds of window that a bridge has. */
export type BridgeWindowKind = "memory" | "prefetchable" | "io";

/** Granularity of memory windows, bytes. */
export const BRIDGE_GRANULE: number = 2 ** 20;

/** Granularity of the I/O window, ports. */
export const BRIDGE_IO_GRANULE = 4096;

/** A bridge. All windows start closed (base above limit). */
export class PciBridge {
  /** What it is. */
  readonly identity: PciIdentity;
  /** Its configuration space. */
  readonly config: ConfigSpace = new ConfigSpace();
  /** Called when a window, a bus number or the command register changed; set by the bus. */
  onChange: () => void = () => undefined;

  /** Creates a bridge with a 64-bit prefetchable window and a 32-bit I/O window. */
  constructor(name: string, vendor = 0x1b36, device = 0x0001) {
    this.identity = { name, vendor, device, classCode: 0x060400 };
    this.config.define(CONFIG.id, vendor + device * 0x10000);
    this.config.define(CONFIG.command, 0, COMMAND.io | COMMAND.memory | COMMAND.busMaster);
    this.config.define(CONFIG.classRevision, 0x06040000);
    this.config.define(0x0c, 0x0001_0000, 0xff);
    this.config.define(CONFIG.busNumbers, 0, 0x00ffffff);
    this.config.define(CONFIG.ioWindow, 0x01f1, 0xf0f0);
    this.config.define(CONFIG.memoryWindow, 0x0000_fff0, 0xfff0_fff0);
    this.config.define(CONFIG.prefetchWindow, 0x0001_fff1, 0xfff0_fff0);
    this.config.define(CONFIG.prefetchBaseUpper, 0, 0xffffffff);
    this.config.define(CONFIG.prefetchLimitUpper, 0, 0xffffffff);
    this.config.define(CONFIG.ioWindowUpper, 0, 0xffffffff);
  }

  /** Reads configuration space. */
  readConfig(offset: number, size: number): number {
    return this.config.read(offset, size);
  }

  /** Writes configuration space. */
  writeConfig(offset: number, size: number, value: number): void {
    if (this.config.write(offset, size, value)) this.onChange();
  }

  /** The bus behind the bridge. */
  get secondary(): number {
    return this.config.read(CONFIG.busNumbers + 1, 1);
  }

  /** The highest bus behind the bridge. */
  get subordinate(): number {
    return this.config.read(CONFIG.busNumbers + 2, 1);
  }

  /** Returns a window as `[start, end)` in bytes (or ports), or null when it is closed or switched off. */
  window(kind: BridgeWindowKind): { start: PhysAddr; end: PhysAddr } | null {
    const bit = kind === "io" ? COMMAND.io : COMMAND.memory;
    if ((this.config.word(CONFIG.command) & bit) === 0) return null;
    const { base, limit } = this.#raw(kind);
    return base > limit ? null : { start: base, end: limit };
  }

  #raw(kind: BridgeWindowKind): { base: number; limit: number } {
    if (kind === "io") {
      const upper = this.config.word(CONFIG.ioWindowUpper);
      const base = (this.config.read(CONFIG.ioWindow, 1) & 0xf0) * 0x100 + (upper & 0xffff) * 0x10000;
      const limit = (this.config.read(CONFIG.ioWindow + 1, 1) & 0xf0) * 0x100 + (upper >>> 16) * 0x10000;
      return { base, limit: limit + BRIDGE_IO_GRANULE };
    }
    const offset = kind === "memory" ? CONFIG.memoryWindow : CONFIG.prefetchWindow;
    const low = (this.config.read(offset, 2) & 0xfff0) * 0x10000;
    const high = (this.config.read(offset + 2, 2) & 0xfff0) * 0x10000;
    const is64 = kind === "prefetchable";
    const base = low + (is64 ? this.config.word(CONFIG.prefetchBaseUpper) * 2 ** 32 : 0);
    const limit = high + (is64 ? this.config.word(CONFIG.prefetchLimitUpper) * 2 ** 32 : 0);
    return { base, limit: limit + BRIDGE_GRANULE };
  }

  /** Programs a window as firmware does; `start` and `end` are rounded outwards to the bridge's granularity. */
  openWindow(kind: BridgeWindowKind, start: PhysAddr, end: PhysAddr): void {
    if (kind === "io") {
      const last = end - 1;
      this.writeConfig(
        CONFIG.ioWindow,
        2,
        (Math.floor(start / 0x100) & 0xf0) + (Math.floor(last / 0x100) & 0xf0) * 0x100,
      );
      this.writeConfig(CONFIG.ioWindowUpper, 4, Math.floor(start / 0x10000) + Math.floor(last / 0x10000) * 0x10000);
      return;
    }
    const offset = kind === "memory" ? CONFIG.memoryWindow : CONFIG.prefetchWindow;
    const first = Math.floor(start / BRIDGE_GRANULE);
    const last = Math.floor((end - 1) / BRIDGE_GRANULE);
    this.writeConfig(offset, 2, (first & 0xfff) * 0x10);
    this.writeConfig(offset + 2, 2, (last & 0xfff) * 0x10);
    if (kind !== "prefetchable") return;
    this.writeConfig(CONFIG.prefetchBaseUpper, 4, Math.floor(first / 0x1000));
    this.writeConfig(CONFIG.prefetchLimitUpper, 4, Math.floor(last / 0x1000));
  }
}
