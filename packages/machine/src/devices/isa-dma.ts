/**
 * The ISA DMA controller of a PC/AT: two 8237A chips and the page registers beside them. It transfers real bytes, reaches
 * 24-bit addresses only, and, as the chip has a 16-bit address counter, wraps within its 64 KiB page (128 KiB on the
 * 16-bit channels) when a driver programs a buffer across the boundary.
 *
 * ```
 *  channels 0–3, bytes:   address = page[23:16] ‖ counter[15:0]
 *  channels 4–7, words:   address = page[23:17] ‖ counter[15:0] ‖ 0
 *
 *  ports      00–0f  chip 1, every port        c0–de  chip 2, every second port
 *             87 83 81 82  pages 0–3           8f 8b 89 8a  pages 4–7
 * ```
 *
 * Source: Intel 8237A data sheet; the PC/AT page registers. Not modelled: memory-to-memory transfers, compressed timing.
 */
import { MachineError } from "../errors.ts";
import type { PhysicalMemory } from "../memory/physical-memory.ts";
import type { Snapshotted } from "../system/snapshotted.ts";
import type { PhysAddr } from "../units.ts";
import type { IoPorts, PortDevice } from "./io-ports.ts";

/** Port of the page register of each channel. */
const PAGE_PORTS = [0x87, 0x83, 0x81, 0x82, 0x8f, 0x8b, 0x89, 0x8a] as const;

/** Direction bits of a mode register, as seen from memory. */
const MODE_WRITE_MEMORY = 1 << 2;
const MODE_READ_MEMORY = 2 << 2;
const MODE_DIRECTION = 3 << 2;
const MODE_AUTO_INITIALISE = 1 << 4;
const MODE_DECREMENT = 1 << 5;
const MODE_CASCADE = 3 << 6;

/** Command register: the whole chip is switched off. */
const COMMAND_DISABLE = 1 << 2;

/** How a transfer that a device asked for ended. */
export interface IsaTransfer {
  /** Bytes that were moved. */
  readonly bytes: number;
  /** Whether the channel's count ran out (the TC line). */
  readonly terminalCount: boolean;
  /** Physical address of the first byte. */
  readonly first: PhysAddr;
  /** How often the address counter wrapped within its page: each is a driver's bug. */
  readonly wraps: number;
}

/** The controller's registers as plain data, by channel and by chip. */
export interface IsaDmaState {
  /** Base address, address, base count, count, by channel. */
  readonly counters: readonly Uint16Array[];
  /** Page and mode, by channel; command, status, mask and flip-flop, by chip. */
  readonly registers: readonly Uint8Array[];
  /** See {@link IsaDma.wraps}. */
  readonly wraps: number;
}

/** The DMA controller. Channel 4 carries chip 1's cascade and never transfers. */
export class IsaDma implements PortDevice, Snapshotted<IsaDmaState> {
  readonly #memory: PhysicalMemory;
  readonly #baseAddress = new Uint16Array(8);
  readonly #address = new Uint16Array(8);
  readonly #baseCount = new Uint16Array(8);
  readonly #count = new Uint16Array(8);
  readonly #page = new Uint8Array(8);
  readonly #mode = new Uint8Array(8);
  /** Per chip: command, status (low four bits TC), mask, byte pointer flip-flop. */
  readonly #command = new Uint8Array(2);
  readonly #status = new Uint8Array(2);
  readonly #mask = new Uint8Array(2).fill(0xf);
  readonly #flipFlop = new Uint8Array(2);
  #wraps = 0;

  /** Creates the controller, all channels masked, and claims its ports. */
  constructor(memory: PhysicalMemory, ports: IoPorts) {
    this.#memory = memory;
    ports.claim(0x00, 0x10, "isa-dma", this);
    ports.claim(0xc0, 0x20, "isa-dma", this);
    for (const port of PAGE_PORTS) ports.claim(port, 1, "isa-dma", this);
  }

  #counters(): readonly Uint16Array[] {
    return [this.#baseAddress, this.#address, this.#baseCount, this.#count];
  }

  #registers(): readonly Uint8Array[] {
    return [this.#page, this.#mode, this.#command, this.#status, this.#mask, this.#flipFlop];
  }

  /** Snapshotted: all registers. */
  saveState(): IsaDmaState {
    return {
      counters: this.#counters().map((counter) => counter.slice()),
      registers: this.#registers().map((register) => register.slice()),
      wraps: this.#wraps,
    };
  }

  /** Snapshotted: all registers. */
  restoreState(state: IsaDmaState): void {
    this.#counters().forEach((counter, at) => {
      counter.set(state.counters[at] ?? []);
    });
    this.#registers().forEach((register, at) => {
      register.set(state.registers[at] ?? []);
    });
    this.#wraps = state.wraps;
  }

  /** How often an address counter wrapped within its page since the machine was made. */
  get wraps(): number {
    return this.#wraps;
  }

  /** PortDevice: reads a register. */
  readPort(port: number, _size: number): number {
    const page = PAGE_PORTS.indexOf(port as (typeof PAGE_PORTS)[number]);
    if (page >= 0) return this.#page[page]!;
    const { chip, register } = this.#decode(port);
    if (register < 8) return this.#readCounter(chip, register);
    if (register !== 8) return 0;
    const status = this.#status[chip]!;
    this.#status[chip] = status & 0xf0;
    return status;
  }

  /** PortDevice: writes a register. */
  writePort(port: number, _size: number, value: number): void {
    const byte = value & 0xff;
    const page = PAGE_PORTS.indexOf(port as (typeof PAGE_PORTS)[number]);
    if (page >= 0) {
      this.#page[page] = byte;
      return;
    }
    const { chip, register } = this.#decode(port);
    if (register < 8) this.#writeCounter(chip, register, byte);
    else this.#writeControl(chip, register, byte);
  }

  #decode(port: number): { chip: 0 | 1; register: number } {
    return port < 0x10 ? { chip: 0, register: port } : { chip: 1, register: (port - 0xc0) >>> 1 };
  }

  #readCounter(chip: 0 | 1, register: number): number {
    const channel = chip * 4 + (register >>> 1);
    const value = (register & 1) === 0 ? this.#address[channel]! : this.#count[channel]!;
    return this.#toggle(chip) === 0 ? value & 0xff : value >>> 8;
  }

  #writeCounter(chip: 0 | 1, register: number, byte: number): void {
    const channel = chip * 4 + (register >>> 1);
    const [base, current] = (register & 1) === 0 ? [this.#baseAddress, this.#address] : [this.#baseCount, this.#count];
    const value = this.#toggle(chip) === 0 ? (base[channel]! & 0xff00) | byte : (base[channel]! & 0xff) | (byte << 8);
    base[channel] = value;
    current[channel] = value;
  }

  /** Returns which byte is next (0 low, 1 high) and moves on to the other. */
  #toggle(chip: 0 | 1): number {
    const next = this.#flipFlop[chip]!;
    this.#flipFlop[chip] = next ^ 1;
    return next;
  }

  #writeControl(chip: 0 | 1, register: number, byte: number): void {
    switch (register) {
      case 8:
        this.#command[chip] = byte;
        break;
      case 10:
        if ((byte & 4) === 0) this.#mask[chip] = this.#mask[chip]! & ~(1 << (byte & 3));
        else this.#mask[chip] = this.#mask[chip]! | (1 << (byte & 3));
        break;
      case 11:
        this.#mode[chip * 4 + (byte & 3)] = byte;
        break;
      case 12:
        this.#flipFlop[chip] = 0;
        break;
      case 13:
        this.#reset(chip);
        break;
      case 14:
        this.#mask[chip] = 0;
        break;
      case 15:
        this.#mask[chip] = byte & 0xf;
        break;
      default:
        break;
    }
  }

  #reset(chip: 0 | 1): void {
    this.#command[chip] = 0;
    this.#status[chip] = 0;
    this.#flipFlop[chip] = 0;
    this.#mask[chip] = 0xf;
  }

  /**
   * A device on `channel` (0–3 bytes, 5–7 words) asks for its transfer: moves bytes between `bytes` and memory until
   * the channel's count or `bytes` runs out. The direction is the one programmed: a write to memory takes from `bytes`,
   * a read fills it, verify moves nothing. Returns null when the channel is masked, off, or in cascade mode.
   *
   * Throws `bad-argument` for a channel that does not exist or an odd number of bytes on a 16-bit channel.
   */
  transfer(channel: number, bytes: Uint8Array): IsaTransfer | null {
    requireChannel(channel);
    const wide = channel > 4;
    if (wide && bytes.length % 2 !== 0)
      throw new MachineError("bad-argument", `Channel ${channel} moves words, not ${bytes.length} bytes`, { channel });
    const chip = wide ? 1 : 0;
    const blocked = (this.#mask[chip]! & (1 << (channel & 3))) !== 0 || (this.#command[chip]! & COMMAND_DISABLE) !== 0;
    if (blocked || (this.#mode[channel]! & MODE_CASCADE) === MODE_CASCADE) return null;
    return this.#run(channel, chip, wide ? 2 : 1, bytes);
  }

  #run(channel: number, chip: 0 | 1, unit: 1 | 2, bytes: Uint8Array): IsaTransfer {
    const mode = this.#mode[channel]!;
    const step = (mode & MODE_DECREMENT) === 0 ? 1 : -1;
    const first = this.#busAddress(channel, unit);
    const wrapsBefore = this.#wraps;
    let moved = 0;
    let done = false;
    while (!done && moved < bytes.length) {
      this.#move(this.#busAddress(channel, unit), mode & MODE_DIRECTION, bytes.subarray(moved, moved + unit));
      moved += unit;
      done = this.#count[channel]! === 0;
      this.#count[channel] = this.#count[channel]! - 1;
      const next = this.#address[channel]! + step;
      if (!done && (next < 0 || next > 0xffff)) this.#wraps++;
      this.#address[channel] = next;
    }
    if (done) this.#finish(channel, chip, mode);
    return { bytes: moved, terminalCount: done, first, wraps: this.#wraps - wrapsBefore };
  }

  #busAddress(channel: number, unit: 1 | 2): PhysAddr {
    const page = this.#page[channel]!;
    return unit === 1
      ? page * 0x10000 + this.#address[channel]!
      : (page & 0xfe) * 0x10000 + this.#address[channel]! * 2;
  }

  #move(address: PhysAddr, direction: number, unit: Uint8Array): void {
    if (direction === MODE_WRITE_MEMORY) this.#memory.writeBytes(address, unit);
    else if (direction === MODE_READ_MEMORY) this.#memory.readBytes(address, unit);
  }

  #finish(channel: number, chip: 0 | 1, mode: number): void {
    this.#status[chip] = this.#status[chip]! | (1 << (channel & 3));
    if ((mode & MODE_AUTO_INITIALISE) === 0) this.#mask[chip] = this.#mask[chip]! | (1 << (channel & 3));
    else {
      this.#address[channel] = this.#baseAddress[channel]!;
      this.#count[channel] = this.#baseCount[channel]!;
    }
  }
}

function requireChannel(channel: number): void {
  if (!Number.isInteger(channel) || channel < 0 || channel > 7 || channel === 4)
    throw new MachineError("bad-argument", `There is no ISA DMA channel ${channel} for devices`, { channel });
}

/** Which way {@link programIsaDma} lets bytes go. */
export type IsaDirection = "device-to-memory" | "memory-to-device";

/**
 * Programs a channel through its ports as a driver does: mask, mode (single transfer), address, page, count, unmask.
 *
 * `address` is in bytes and `length` in bytes, at least 1 unit. The chip's limits are *not* checked: an address above
 * 16 MiB loses its upper bits and a buffer across a 64 KiB boundary wraps, as on the real chip. Throws `bad-argument` for a
 * channel that does not exist.
 */
export function programIsaDma(
  ports: IoPorts,
  channel: number,
  address: PhysAddr,
  length: number,
  direction: IsaDirection,
): void {
  requireChannel(channel);
  const wide = channel > 4;
  const control = wide ? 0xc0 : 0;
  const shift = wide ? 1 : 0;
  const local = channel & 3;
  const counter = wide ? Math.floor(address / 2) : address;
  const count = (wide ? length / 2 : length) - 1;
  const mode = 0x40 + local + (direction === "device-to-memory" ? MODE_WRITE_MEMORY : MODE_READ_MEMORY);
  const registerPort = (register: number): number => control + (register << shift);
  ports.write(registerPort(10), 1, 4 + local);
  ports.write(registerPort(12), 1, 0);
  ports.write(registerPort(11), 1, mode);
  ports.write(registerPort(local * 2), 1, counter & 0xff);
  ports.write(registerPort(local * 2), 1, Math.floor(counter / 256) & 0xff);
  ports.write(PAGE_PORTS[channel] ?? 0, 1, Math.floor(address / 0x10000) & 0xff);
  ports.write(registerPort(local * 2 + 1), 1, count & 0xff);
  ports.write(registerPort(local * 2 + 1), 1, Math.floor(count / 256) & 0xff);
  ports.write(registerPort(10), 1, local);
}
