/**
 * A PCI function with base address registers (BARs). A BAR of size 2^n holds only the address bits n and above, so that
 * software which writes all ones reads back the size; nothing else in the device knows about sizing, and any mask that
 * software writes (0xffffffff, 0xfffffff0, one half of a 64-bit BAR at a time) gives what real hardware gives.
 */
import { MachineError } from "../errors.ts";
import type { MmioDevice } from "../map/region.ts";
import { isPowerOfTwo } from "../units.ts";
import type { PhysAddr } from "../units.ts";
import type { PortDevice } from "./io-ports.ts";
import { BAR, COMMAND, CONFIG, ConfigSpace } from "./pci-config.ts";

/** A BAR as the device's designer describes it. */
export type BarSpec = MemoryBarSpec | IoBarSpec;

/** A window of device memory or registers. */
export interface MemoryBarSpec {
  /** `memory32`: below 4 GiB, one register; `memory64`: anywhere, two registers. */
  readonly kind: "memory32" | "memory64";
  /** Bytes, a power of two from 16. */
  readonly size: number;
  /** Whether reads have no side effects, so that bridges may prefetch and merge. */
  readonly prefetchable?: boolean;
  /** Who answers. */
  readonly device: MmioDevice;
}

/** A window of I/O ports. */
export interface IoBarSpec {
  /** I/O ports. */
  readonly kind: "io";
  /** Ports, a power of two from 4 to 256. */
  readonly size: number;
  /** Who answers; it is handed offsets within the window. */
  readonly device: PortDevice;
}

/** What a function is. */
export interface PciIdentity {
  /** What maps and errors call it. */
  readonly name: string;
  /** Vendor number, 16 bits. */
  readonly vendor: number;
  /** Device number, 16 bits. */
  readonly device: number;
  /** Class code, 24 bits: base class, subclass, interface. */
  readonly classCode: number;
}

/** A BAR with its place among the registers. */
export interface Bar {
  /** Its description. */
  readonly spec: BarSpec;
  /** Number of its first register, 0 to 5. */
  readonly index: number;
  /** Offset of its first register. */
  readonly register: number;
}

/** The type bits of a BAR's low register. */
function typeBits(spec: BarSpec): number {
  if (spec.kind === "io") return BAR.io;
  return (spec.kind === "memory64" ? BAR.type64 : 0) + (spec.prefetchable === true ? BAR.prefetchable : 0);
}

/** An endpoint: header type 0. */
export class PciFunction {
  /** What it is. */
  readonly identity: PciIdentity;
  /** Its BARs in register order. */
  readonly bars: readonly Bar[];
  /** Its configuration space. */
  readonly config: ConfigSpace = new ConfigSpace();
  /** Called when a BAR or the command register changed; set by the bus. */
  onChange: () => void = () => undefined;

  /** Creates a function. Throws `bad-argument` for a BAR whose size is no power of two or when six registers do not suffice. */
  constructor(identity: PciIdentity, bars: readonly BarSpec[]) {
    this.identity = identity;
    this.config.define(CONFIG.id, identity.vendor + identity.device * 0x10000);
    this.config.define(CONFIG.command, 0, COMMAND.io | COMMAND.memory | COMMAND.busMaster);
    this.config.define(CONFIG.classRevision, identity.classCode * 0x100);
    this.config.define(0x0c, 0, 0xff);
    const placed: Bar[] = [];
    let index = 0;
    for (const spec of bars) {
      const registers = spec.kind === "memory64" ? 2 : 1;
      this.#requireSize(spec, index + registers);
      placed.push({ spec, index, register: CONFIG.bar0 + index * 4 });
      this.#defineBar(spec, CONFIG.bar0 + index * 4);
      index += registers;
    }
    this.bars = placed;
  }

  #requireSize(spec: BarSpec, registers: number): void {
    const least = spec.kind === "io" ? 4 : 16;
    const most = spec.kind === "io" ? 256 : spec.kind === "memory32" ? 2 ** 31 : 2 ** 51;
    if (!isPowerOfTwo(spec.size) || spec.size < least || spec.size > most || registers > 6)
      throw new MachineError(
        "bad-argument",
        `${this.identity.name} cannot have a ${spec.kind} BAR of ${spec.size} bytes`,
        {
          owner: this.identity.name,
          kind: spec.kind,
          size: spec.size,
          registers,
        },
      );
  }

  #defineBar(spec: BarSpec, register: number): void {
    const bits = typeBits(spec);
    const fixed = spec.kind === "io" ? ~BAR.ioMask : ~BAR.memoryMask;
    if (spec.kind !== "memory64") {
      this.config.define(register, bits, ((0x1_0000_0000 - spec.size) & ~fixed) >>> 0);
      return;
    }
    const low = spec.size >= 2 ** 32 ? 0 : ((0x1_0000_0000 - spec.size) & ~fixed) >>> 0;
    const high = spec.size > 2 ** 32 ? (0x1_0000_0000 - spec.size / 2 ** 32) >>> 0 : 0xffffffff;
    this.config.define(register, bits, low);
    this.config.define(register + 4, 0, high);
  }

  /** Reads configuration space. */
  readConfig(offset: number, size: number): number {
    return this.config.read(offset, size);
  }

  /** Writes configuration space; a changed BAR or command register moves or switches the windows at once. */
  writeConfig(offset: number, size: number, value: number): void {
    if (this.config.write(offset, size, value)) this.onChange();
  }

  /** Returns the address that a BAR holds now, in bytes (or the port, for I/O). */
  addressOf(bar: Bar): PhysAddr {
    const low = this.config.word(bar.register);
    if (bar.spec.kind === "io") return (low & BAR.ioMask) >>> 0;
    const high = bar.spec.kind === "memory64" ? this.config.word(bar.register + 4) : 0;
    return high * 2 ** 32 + ((low & BAR.memoryMask) >>> 0);
  }

  /** Returns whether a BAR's kind of access is switched on in the command register. */
  isDecoding(bar: Bar): boolean {
    const bit = bar.spec.kind === "io" ? COMMAND.io : COMMAND.memory;
    return (this.config.word(CONFIG.command) & bit) !== 0;
  }

  /** Returns whether the function may master the bus. */
  get isBusMaster(): boolean {
    return (this.config.word(CONFIG.command) & COMMAND.busMaster) !== 0;
  }
}
