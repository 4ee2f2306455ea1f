/**
 * The I/O port space of x86: 65,536 byte-wide ports, apart from memory. Ports that nobody has read as all ones.
 */
import { invariant, MachineError } from "../errors.ts";
import { Names } from "../system/names.ts";
import type { Snapshotted } from "../system/snapshotted.ts";

/** A device that answers I/O ports. `port` counts from the `origin` of the claim: 0 for the absolute port number. */
export interface PortDevice {
  /** Returns `size` (1, 2 or 4) bytes of `port`, unsigned. */
  readPort(port: number, size: number): number;
  /** Takes the low `size` bytes of `value`. */
  writePort(port: number, size: number, value: number): void;
}

/** Ports that a device has. */
export interface PortRange {
  /** First port. */
  readonly start: number;
  /** One past the last port. */
  readonly end: number;
  /** Who claimed them. */
  readonly owner: string;
  /** The port that the device knows as 0. */
  readonly origin: number;
  /** Who answers. */
  readonly device: PortDevice;
}

/** Port ranges as plain data: the device by name; null where a range was released. */
export type IoPortsState = readonly ((Omit<PortRange, "device"> & { readonly device: string }) | null)[];

/** One past the highest port. */
export const PORT_LIMIT = 0x10000;

/** The port space of a machine. Look-up is O(1): one table entry a port. */
export class IoPorts implements Snapshotted<IoPortsState> {
  /** The names by which snapshots know devices: that of the first claim's owner. */
  readonly devices: Names<PortDevice> = new Names<PortDevice>("port device");
  /** Ranges by number; null: the number is free. */
  #ranges: (PortRange | null)[] = [];
  /** Index of the range that owns a port, plus 1; 0: nobody. */
  readonly #owner = new Uint16Array(PORT_LIMIT);

  /**
   * Gives `count` ports from `start` on to `device`, which is handed port numbers less `origin`. Throws `double-claim` when
   * one of them is taken, naming both. Returns the range, for {@link IoPorts.release}.
   */
  claim(start: number, count: number, owner: string, device: PortDevice, origin = 0): PortRange {
    if (!Number.isInteger(start) || start < 0 || !(count > 0) || start + count > PORT_LIMIT)
      throw new MachineError("bad-argument", `No range of ports: ${count} from ${start}`, { start, count, owner });
    for (let port = start; port < start + count; port++) {
      const taken = this.#ranges[this.#owner[port]! - 1];
      if (taken !== undefined && taken !== null)
        throw new MachineError(
          "double-claim",
          `${owner} claims port 0x${port.toString(16)}, which ${taken.owner} has`,
          {
            owner,
            port,
            other: taken.owner,
          },
        );
    }
    this.devices.add(device, owner);
    const range: PortRange = { start, end: start + count, owner, origin, device };
    const free = this.#ranges.indexOf(null);
    const number = free < 0 ? this.#ranges.length : free;
    this.#ranges[number] = range;
    this.#owner.fill(number + 1, start, start + count);
    return range;
  }

  /** Takes a range away from its device; throws `bad-argument` when it is not claimed. */
  release(range: PortRange): void {
    const number = this.#owner[range.start]! - 1;
    const held = this.#ranges[number];
    if (held?.start !== range.start || held.end !== range.end || held.device !== range.device)
      throw new MachineError("bad-argument", `Ports 0x${range.start.toString(16)} of ${range.owner} are not claimed`, {
        start: range.start,
        end: range.end,
        owner: range.owner,
      });
    this.#ranges[number] = null;
    this.#owner.fill(0, range.start, range.end);
  }

  /** Returns the range that has a port, or null. */
  rangeAt(port: number): PortRange | null {
    return this.#ranges[this.#owner[port & 0xffff]! - 1] ?? null;
  }

  /** Reads `size` (1, 2 or 4) bytes: IN. Splits into bytes where the device's range ends within. */
  read(port: number, size: number): number {
    const range = this.rangeAt(port);
    if (size === 1 || range === this.rangeAt(port + size - 1))
      return range === null ? 2 ** (8 * size) - 1 : range.device.readPort((port & 0xffff) - range.origin, size);
    let value = 0;
    for (let at = size - 1; at >= 0; at--) value = value * 256 + this.read(port + at, 1);
    return value;
  }

  /** Writes `size` (1, 2 or 4) bytes: OUT. */
  write(port: number, size: number, value: number): void {
    const range = this.rangeAt(port);
    if (size === 1 || range === this.rangeAt(port + size - 1))
      range?.device.writePort((port & 0xffff) - range.origin, size, value);
    else for (let at = 0; at < size; at++) this.write(port + at, 1, Math.floor(value / 2 ** (8 * at)) & 0xff);
  }

  /** Snapshotted: who has which ports. */
  saveState(): IoPortsState {
    return this.#ranges.map((range) =>
      range === null ? null : { ...range, device: this.devices.nameOf(range.device) ?? range.owner },
    );
  }

  /** Snapshotted: every device that has ports must be known here. */
  mismatch(state: IoPortsState): string | null {
    return this.devices.mismatch(state.filter((range) => range !== null).map((range) => range.device));
  }

  /** Snapshotted: gives the ports back to those who had them. */
  restoreState(state: IoPortsState): void {
    this.#ranges = state.map((range) =>
      range === null ? null : { ...range, device: this.devices.find(range.device) },
    );
    this.#owner.fill(0);
    this.#ranges.forEach((range, number) => {
      if (range !== null) this.#owner.fill(number + 1, range.start, range.end);
    });
  }

  /** Throws `broken-invariant` unless every port's owner has it. */
  check(): void {
    this.#owner.forEach((owner, port) => {
      const range = this.#ranges[owner - 1];
      const holds = owner === 0 || (range !== undefined && range !== null && port >= range.start && port < range.end);
      invariant(holds, `port 0x${port.toString(16)} belongs to who claimed it`);
    });
  }
}
