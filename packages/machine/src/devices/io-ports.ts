/**
 * The I/O port space of x86: 65,536 byte-wide ports, apart from memory. Ports that nobody has read as all ones.
 */
import { MachineError } from "../errors.ts";

/** A device that answers I/O ports. `port` is the absolute port number. */
export interface PortDevice {
  /** Returns `size` (1, 2 or 4) bytes of `port`, unsigned. */
  readPort(port: number, size: number): number;
  /** Takes the low `size` bytes of `value`. */
  writePort(port: number, size: number, value: number): void;
}

interface PortRange {
  readonly start: number;
  readonly end: number;
  readonly owner: string;
  readonly device: PortDevice;
}

/** One past the highest port. */
export const PORT_LIMIT = 0x10000;

/** The port space of a machine. Look-up is O(1): one table entry a port. */
export class IoPorts {
  readonly #ranges: PortRange[] = [];
  /** Index of the range that owns a port, plus 1; 0: nobody. */
  readonly #owner = new Uint16Array(PORT_LIMIT);

  /** Gives `count` ports from `start` on to `device`. Throws `double-claim` when one of them is taken, naming both. */
  claim(start: number, count: number, owner: string, device: PortDevice): void {
    if (!Number.isInteger(start) || start < 0 || !(count > 0) || start + count > PORT_LIMIT)
      throw new MachineError("bad-argument", `No range of ports: ${count} from ${start}`, { start, count, owner });
    for (let port = start; port < start + count; port++) {
      const taken = this.#ranges[this.#owner[port]! - 1];
      if (taken !== undefined)
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
    this.#ranges.push({ start, end: start + count, owner, device });
    this.#owner.fill(this.#ranges.length, start, start + count);
  }

  /** Takes all ports of `device` away from it. */
  release(device: PortDevice): void {
    for (const range of this.#ranges) if (range.device === device) this.#owner.fill(0, range.start, range.end);
  }

  #deviceAt(port: number): PortDevice | null {
    return this.#ranges[this.#owner[port & 0xffff]! - 1]?.device ?? null;
  }

  /** Reads `size` (1, 2 or 4) bytes: IN. Splits into bytes where the device's range ends within. */
  read(port: number, size: number): number {
    const device = this.#deviceAt(port);
    if (size === 1 || device === this.#deviceAt(port + size - 1))
      return device === null ? 2 ** (8 * size) - 1 : device.readPort(port & 0xffff, size);
    let value = 0;
    for (let at = size - 1; at >= 0; at--) value = value * 256 + this.read(port + at, 1);
    return value;
  }

  /** Writes `size` (1, 2 or 4) bytes: OUT. */
  write(port: number, size: number, value: number): void {
    const device = this.#deviceAt(port);
    if (size === 1 || device === this.#deviceAt(port + size - 1)) device?.writePort(port & 0xffff, size, value);
    else for (let at = 0; at < size; at++) this.write(port + at, 1, Math.floor(value / 2 ** (8 * at)) & 0xff);
  }
}
