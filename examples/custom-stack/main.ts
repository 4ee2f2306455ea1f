/**
 * A stack of one's own: a machine with 16 MiB of usable memory, 32 frames for resident pages, SIEVE for replacement,
 * swap in memory behind compressed memory, and, on top, a heap whose blocks live in virtual memory.
 */
import { GeneralHeap } from "@pagewright/heap";
import type { BlockMemory, RangeSource } from "@pagewright/heap";
import { PhysicalMap, firmwareMapFromJson } from "@pagewright/machine";
import type { Cpu } from "@pagewright/machine";
import { audit, createStack } from "@pagewright/stack";
import { MemorySwap } from "@pagewright/vmm";
import type { AddressSpace } from "@pagewright/vmm";
import { Sieve } from "@pagewright/vmm/policies";

const MIB = 2 ** 20;
const map = new PhysicalMap(firmwareMapFromJson({ entries: [{ base: 0, length: 32 * MIB, type: 1 }] }));
const stack = createStack({
  map,
  cpus: 2,
  residentLimit: 32,
  policy: new Sieve(4096),
  swap: [new MemorySwap(4096)],
  compressed: { limitFrames: 8 },
});

/** Regions of a space as a heap's memory: its bytes are reached through a processor, faults and all. */
class VirtualRanges implements RangeSource, BlockMemory {
  readonly #space: AddressSpace;
  readonly #cpu: Cpu;

  constructor(space: AddressSpace, cpu: Cpu) {
    this.#space = space;
    this.#cpu = cpu;
  }

  reserve(bytes: number, alignment: number): number {
    const address = this.#space.map({ bytes, alignment: Math.max(alignment, 4096), search: "bottom-up" });
    return typeof address === "number" ? address : -1;
  }

  release(address: number, bytes: number): void {
    this.#space.unmap(address, bytes);
  }

  fill(address: number, bytes: number, value: number): void {
    this.#cpu.fill(address, bytes, value);
  }

  copy(from: number, to: number, bytes: number): void {
    this.#cpu.bulk.move(from, to, bytes);
  }

  load32(address: number): number {
    return this.#cpu.load32(address) | 0;
  }

  store32(address: number, value: number): void {
    this.#cpu.store32(address, value);
  }
}

const space = stack.vmm.createSpace();
if (space === null) throw new Error("no memory for page tables");
const cpu = stack.enter(space, 1);
const heap = new GeneralHeap(new VirtualRanges(space, cpu));

// 500 records of 1,000 bytes: four times what fits into the frames.
const records = Array.from({ length: 500 }, (_, number) => {
  const record = heap.allocate(1000);
  cpu.store32(record, number);
  cpu.store32(record + 996, ~number);
  return record;
});
records.forEach((record, number) => number % 2 === 1 && heap.free(record));
const whole = records.every((record, number) => number % 2 === 1 || (cpu.load32(record) | 0) === number);
console.log(`250 records, all as they were stored: ${whole}`);
console.log(
  `resident and compressed pages keep to 32 frames: ${stack.vmm.residentPages + stack.poolFrames.held.size <= 33}`,
);
console.log(`pages were compressed: ${(stack.pool?.stats().packedPages ?? 0) > 0}`);
heap.check();

const { ok, problems } = audit(stack);
console.log(`audit: ${ok ? "clean" : problems.join("; ")}`);
