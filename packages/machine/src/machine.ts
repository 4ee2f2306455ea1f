/**
 * A machine: a physical address map, the memory behind it, CPUs, and a virtual clock. Deterministic.
 */
import { Cpu } from "./cpu/cpu.ts";
import { LONG_MODE } from "./cpu/registers.ts";
import type { Registers } from "./cpu/registers.ts";
import { ROOMY_TLB } from "./cpu/tlb-geometry.ts";
import type { TlbGeometry } from "./cpu/tlb-geometry.ts";
import { MachineError } from "./errors.ts";
import type { PhysicalMap } from "./map/physical-map.ts";
import { PhysicalMemory } from "./memory/physical-memory.ts";
import type { MemoryOptions } from "./memory/physical-memory.ts";

/** How a {@link Machine} is made. */
export interface MachineOptions extends MemoryOptions {
  /** The physical address map. */
  readonly map: PhysicalMap;
  /** Number of logical CPUs, ≥ 1. Default 1. */
  readonly cpus?: number;
  /** TLB of each CPU. Default: {@link ROOMY_TLB}. */
  readonly tlb?: TlbGeometry;
  /** Width of physical addresses, 36 … 52. Default 52. */
  readonly physicalBits?: number;
  /** Registers that CPUs start with. Default: {@link LONG_MODE}. */
  readonly registers?: Registers;
}

/** A machine. */
export class Machine {
  /** Who answers at which physical address. */
  readonly map: PhysicalMap;
  /** The bytes behind it. */
  readonly memory: PhysicalMemory;
  /** The logical CPUs, by number. */
  readonly cpus: readonly Cpu[];

  /** Creates a machine that is switched on, with all CPUs in 64-bit paging (or as `registers` says). */
  constructor(options: MachineOptions) {
    const count = options.cpus ?? 1;
    if (!Number.isInteger(count) || count < 1)
      throw new MachineError("bad-argument", `A machine has at least one CPU, not ${count}`, { count });
    this.map = options.map;
    this.memory = new PhysicalMemory(options.map, options);
    const setup = {
      tlb: options.tlb ?? ROOMY_TLB,
      physicalBits: options.physicalBits ?? 52,
      registers: options.registers ?? LONG_MODE,
    };
    this.cpus = Array.from({ length: count }, (_, id) => new Cpu(id, this.memory, setup));
  }

  /** Throws `broken-invariant` unless map, memory and every CPU hold. */
  check(): void {
    this.map.check();
    this.memory.check();
    for (const cpu of this.cpus) cpu.check();
  }
}
