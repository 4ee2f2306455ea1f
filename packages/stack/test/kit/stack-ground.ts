/** The ground of the memory manager's model test as a whole stack: accesses by processors, tables and TLBs of a machine, frames of the allocator. */
import { physicalMapFromJson, type Cpu, type Machine } from "@pagewright/machine";
import type { Pmm } from "@pagewright/pmm";
import type { AddressSpace, FaultOutcome } from "@pagewright/vmm";
import { FlakySwap, type Coin } from "../../../vmm/test/model/flaky.ts";
import type { Access, Ground, WorldShape } from "../../../vmm/test/model/world.ts";
import { createStack, type Stack, type StackOptions } from "../../src/index.ts";

const CPUS = 2;
const PAGE = 4096;

/** A stack in which frames, runs of frames and swap fail when the coin says so. */
export class StackGround implements Ground {
  readonly stack: Stack;
  readonly vmm: Stack["vmm"];
  readonly memory: Ground["memory"];
  #accesses = 0;

  constructor(coin: Coin, shape: WorldShape, options: Partial<StackOptions>) {
    const map = physicalMapFromJson({ entries: [{ base: 0, length: shape.frames * PAGE, type: 1 }] });
    const { residentLimit, slots } = shape;
    const swap = [new FlakySwap(slots, coin)];
    this.stack = createStack({ map, cpus: CPUS, residentLimit, swap, ...options });
    this.vmm = this.stack.vmm;
    const { machine, pmm } = this.stack;
    makeFlaky(pmm, coin);
    this.memory = new Frames(machine, pmm);
  }

  otherFrames(): number {
    const { tables, poolFrames } = this.stack;
    return tables.tableFrames + [...tables.source.deposits].length + [...poolFrames.held].length;
  }

  /** Accesses by all processors, in turns of 3. */
  access(space: AddressSpace): Access {
    return new CpuAccess(this.stack, () => this.stack.enter(space, Math.floor(this.#accesses++ / 3) % CPUS));
  }
}

class CpuAccess implements Access {
  fault: FaultOutcome = "spurious";
  readonly #stack: Stack;
  readonly #enter: () => Cpu;

  constructor(stack: Stack, enter: () => Cpu) {
    this.#stack = stack;
    this.#enter = enter;
  }

  load32(address: number): number {
    const value = this.#enter().load32(address);
    if (value < 0) this.fault = this.#stack.lastFault;
    return value;
  }

  store32(address: number, value: number): boolean {
    const done = this.#enter().store32(address, value);
    if (!done) this.fault = this.#stack.lastFault;
    return done;
  }
}

/** Bytes and counts of frames, past windows and TLBs: looking changes nothing. */
class Frames {
  readonly #machine: Machine;
  readonly #pmm: Pmm;

  constructor(machine: Machine, pmm: Pmm) {
    this.#machine = machine;
    this.#pmm = pmm;
  }

  get totalFrames(): number {
    return this.#pmm.totalFrames;
  }

  get freeFrames(): number {
    return this.#pmm.freeFrames;
  }

  read(pfn: number, offset: number, into: Uint8Array): void {
    this.#machine.memory.readBytes(pfn * PAGE + offset, into);
  }

  write(pfn: number, offset: number, from: Uint8Array): void {
    this.#machine.memory.writeBytes(pfn * PAGE + offset, from);
  }
}

/** An allocator refuses frames and runs when the coin says so. */
function makeFlaky(pmm: Pmm, coin: Coin): void {
  const [take, takeMany, request] = [pmm.take.bind(pmm), pmm.takeMany.bind(pmm), pmm.request.bind(pmm)];
  pmm.take = (...hints) => (coin.fails() ? -1 : take(...hints));
  pmm.takeMany = (into, count, ...hints) => takeMany(into, coin.fails() ? Math.floor(count / 2) : count, ...hints);
  pmm.request = (wanted) => (coin.fails() ? { ok: false, reason: "too-large" } : request(wanted));
}
