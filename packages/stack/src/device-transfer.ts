/**
 * Devices that move bytes by themselves, put to work for programs: what a driver does around its device. A bus master transfers straight into a program's pages,
 * through stand-ins where it cannot reach them; an ISA channel through a buffer of its own, which lies where the controller can count.
 */
import { programIsaDma, writeScatterGatherList } from "@pagewright/machine";
import type { BusMaster, IoPorts, IsaDma, IsaDirection } from "@pagewright/machine";
import { SpaceMemory } from "@pagewright/vmm";
import type { AddressSpace, BufferObject, Refusal, StuckFrame, TransferDirection, VirtAddr } from "@pagewright/vmm";
import { StackError } from "./errors.ts";
import type { Stack } from "./stack.ts";

/** Bytes of a scatter-gather descriptor. */
const DESCRIPTOR_BYTES = 16;
/** The ISA bus has 24 address lines, and a controller's counter wraps at 64 KiB, a 16-bit channel's at 128 KiB. */
const ISA_LIMIT = 2 ** 24;
const ISA_BOUNDARY = 2 ** 16;

/** What a device moved. */
export interface DeviceTransfer {
  /** Bytes. */
  readonly bytes: number;
  /** Ranges of physical memory that it was told. */
  readonly segments: number;
  /** Pages out of its reach, which went through stand-ins. */
  readonly bounced: number;
}

/** A bus master writes `content` into a program's memory: a disk's read. Or why it cannot; then nothing was transferred. */
export function receiveInto(
  stack: Stack,
  device: BusMaster,
  space: AddressSpace,
  address: VirtAddr,
  content: Uint8Array,
): DeviceTransfer | Refusal {
  return master(stack, device, space, address, content, "from-device");
}

/** A bus master fills `into` from a program's memory: a disk's write. Or why it cannot; then nothing was transferred. */
export function sendFrom(
  stack: Stack,
  device: BusMaster,
  space: AddressSpace,
  address: VirtAddr,
  into: Uint8Array,
): DeviceTransfer | Refusal {
  return master(stack, device, space, address, into, "to-device");
}

/** Pins the program's pages, lists them for the device, starts it, and lets go. */
function master(
  stack: Stack,
  device: BusMaster,
  space: AddressSpace,
  address: VirtAddr,
  bytes: Uint8Array,
  direction: TransferDirection,
): DeviceTransfer | Refusal {
  const { vmm, machine } = stack;
  const below = 2 ** device.addressBits;
  const transfer = vmm.beginTransfer(space, address, bytes.length, direction, { below });
  if (typeof transfer === "string") return transfer;
  const { bounced } = transfer;
  const segments = transfer.segments.map((segment) => ({ address: segment.address, length: segment.bytes }));
  const list = vmm.allocateDmaBuffer({ bytes: segments.length * DESCRIPTOR_BYTES, below });
  if (!list.ok) {
    transfer.cancel();
    return "no-memory";
  }
  writeScatterGatherList(machine.memory, list.buffer.address, segments);
  const moved =
    direction === "from-device"
      ? device.toMemory(list.buffer.address, bytes)
      : device.fromMemory(list.buffer.address, bytes);
  transfer.complete();
  list.buffer.close();
  return { bytes: moved.bytes, segments: segments.length, bounced };
}

/** The devices behind an ISA DMA controller. */
export interface IsaBus {
  /** The ports at which it is programmed. */
  readonly ports: IoPorts;
  /** The controller. */
  readonly controller: IsaDma;
}

/** A channel of the ISA DMA controller with the buffer that its transfers go through. Ends with {@link close}. */
export class IsaChannel {
  /** Where the controller reads and writes: below 16 MiB, within 64 KiB (128 KiB on channels 5 to 7). */
  readonly buffer: BufferObject;
  readonly #stack: Stack;
  readonly #bus: IsaBus;
  readonly #channel: number;

  /** A channel over a buffer; see {@link openIsaChannel}. */
  constructor(stack: Stack, bus: IsaBus, channel: number, buffer: BufferObject) {
    this.#stack = stack;
    this.#bus = bus;
    this.#channel = channel;
    this.buffer = buffer;
  }

  /** The device on the channel writes `content` into a program's memory. Returns how many bytes arrived: fewer where the program may not store to all of it. */
  receiveInto(space: AddressSpace, address: VirtAddr, content: Uint8Array): number {
    const moved = this.#run(content, "device-to-memory");
    const bytes = new Uint8Array(moved);
    this.#stack.machine.memory.readBytes(this.buffer.address, bytes);
    return new SpaceMemory(space).copyIn(address, bytes);
  }

  /** The device on the channel fills `into` from a program's memory. Returns how many bytes it got; 0: the program's memory cannot be read. */
  sendFrom(space: AddressSpace, address: VirtAddr, into: Uint8Array): number {
    if (new SpaceMemory(space).copyOut(address, into) < into.length) return 0;
    this.#stack.machine.memory.writeBytes(this.buffer.address, into);
    return this.#run(into, "memory-to-device");
  }

  /** Gives the buffer back. */
  close(): void {
    this.buffer.close();
  }

  #run(bytes: Uint8Array, direction: IsaDirection): number {
    if (bytes.length > this.buffer.size)
      throw new StackError("transfer-too-long", "A transfer is not longer than the channel's buffer.", {
        bytes: bytes.length,
        buffer: this.buffer.size,
      });
    const { ports, controller } = this.#bus;
    programIsaDma(ports, this.#channel, this.buffer.address, bytes.length, direction);
    return controller.transfer(this.#channel, bytes)?.bytes ?? 0;
  }
}

/** Why there is no buffer for a channel: frames in the way that cannot move are named. */
export interface IsaRefusal {
  /** The reason, in a word. */
  readonly reason: string;
  /** Frames that stay where they are. */
  readonly stuck: readonly StuckFrame[];
}

/** Makes a channel with a buffer of up to 64 KiB (128 KiB on channels 5 to 7); pages in the way are moved. */
export function openIsaChannel(stack: Stack, bus: IsaBus, channel: number, bytes: number): IsaChannel | IsaRefusal {
  const boundary = channel > 4 ? 2 * ISA_BOUNDARY : ISA_BOUNDARY;
  const grant = stack.vmm.allocateDmaBuffer({ bytes, below: ISA_LIMIT, boundary });
  return grant.ok ? new IsaChannel(stack, bus, channel, grant.buffer) : { reason: grant.reason, stuck: grant.stuck };
}
