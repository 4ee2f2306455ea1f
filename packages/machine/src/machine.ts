/**
 * A machine: a physical address map, the memory behind it, CPUs with virtual time and interrupts between them, and a
 * scheduler that interleaves them by a seed. The same options and the same program give the same run.
 */
import { Adversary, ETERNAL_TLB } from "./cpu/adversary.ts";
import type { AdversaryOptions } from "./cpu/adversary.ts";
import { Cpu } from "./cpu/cpu.ts";
import { LONG_MODE } from "./cpu/registers.ts";
import type { Registers } from "./cpu/registers.ts";
import { ROOMY_TLB } from "./cpu/tlb-geometry.ts";
import type { TlbGeometry } from "./cpu/tlb-geometry.ts";
import { MachineError } from "./errors.ts";
import type { PhysicalMap } from "./map/physical-map.ts";
import { PhysicalMemory } from "./memory/physical-memory.ts";
import type { MemoryOptions } from "./memory/memory-ports.ts";
import { PAT_RESET } from "./mtrr/pat.ts";
import { MtrrRegisters } from "./mtrr/registers.ts";
import { RankedMemory } from "./power/ranked-memory.ts";
import { CostMeter } from "./system/cost-meter.ts";
import { VirtualClock } from "./system/clock.ts";
import { DEFAULT_COSTS } from "./system/costs.ts";
import type { Costs, Distances } from "./system/costs.ts";
import type { EventSink } from "./system/events.ts";
import { Interrupts } from "./system/interrupts.ts";
import { LastLevelCache } from "./system/last-level-cache.ts";
import type { CacheShape } from "./system/last-level-cache.ts";
import { MtrrGuard } from "./system/mtrr-guard.ts";
import { MemoryImage } from "./system/memory-image.ts";
import { Parts } from "./system/parts.ts";
import { Scheduler } from "./system/scheduler.ts";
import type { Snapshotted } from "./system/snapshotted.ts";

/** How time is charged; see {@link MachineOptions}. */
export interface TimingOptions {
  /** Costs that differ from {@link DEFAULT_COSTS}. */
  readonly costs?: Partial<Costs>;
  /** The last-level cache that all CPUs share. Default: none. */
  readonly cache?: CacheShape;
  /** Distances between nodes. Default: all nodes are as near. */
  readonly distances?: Distances;
  /** The node of each CPU. Default: all on node 0. */
  readonly cpuNodes?: readonly number[];
  /**
   * Bytes of a memory rank, a power of two: every access of a CPU that goes to memory counts for the rank of its address in
   * {@link Machine.ranks}, and waits until it is awake. Default: nobody counts.
   */
  readonly rankBytes?: number;
}

/** How a {@link Machine} is made. */
export interface MachineOptions extends MemoryOptions {
  /** The physical address map. */
  readonly map: PhysicalMap;
  /** Number of logical CPUs, ≥ 1. Default 1. */
  readonly cpus?: number;
  /** TLB of each CPU. Default: {@link ROOMY_TLB}, under an adversary {@link ETERNAL_TLB}. */
  readonly tlb?: TlbGeometry;
  /** Width of physical addresses, 36 … 52. Default 52. */
  readonly physicalBits?: number;
  /** Registers that CPUs start with. Default: {@link LONG_MODE}. */
  readonly registers?: Registers;
  /** Seed of everything that chance decides. Default 1. */
  readonly seed?: number;
  /** Charges every access on the virtual clock. Slower: no access takes the short way. Default: time is not charged. */
  readonly timing?: TimingOptions;
  /** Makes every CPU as unhelpful as the manual allows, to find forgotten flushes. Default: not. Excludes `timing`. */
  readonly adversary?: AdversaryOptions;
}

/** Throws `bad-argument` unless the table is square, its diagonal 10 and nothing nearer than that. */
function requireDistances(distances: Distances): void {
  distances.forEach((row, from) => {
    const isSound =
      row.length === distances.length && row.every((distance, to) => (from === to ? distance === 10 : distance >= 10));
    if (!isSound)
      throw new MachineError("bad-argument", `Node ${from} has no sound distances: ${row.join(" ")}`, { from, row });
  });
}

/**
 * A machine: a physical map, the memory behind it, CPUs with MMU and TLB, virtual time, interrupts between the CPUs, and a scheduler that
 * interleaves programs on them by a seed. The same options and the same program give the same run.
 */
export class Machine {
  /** Who answers at which physical address. */
  readonly map: PhysicalMap;
  /** The bytes behind it. */
  readonly memory: PhysicalMemory;
  /** The logical CPUs, by number. */
  readonly cpus: readonly Cpu[];
  /** Virtual time. */
  readonly clock: VirtualClock;
  /** Interrupts between CPUs. */
  readonly interrupts: Interrupts;
  /** Who runs when. */
  readonly scheduler: Scheduler;
  /** Watches changes of MTRRs. */
  readonly mtrrs: MtrrGuard;
  /** The last-level cache, or null. */
  readonly cache: LastLevelCache | null;
  /** Power states and energy of memory ranks, or null without `timing.rankBytes`. */
  readonly ranks: RankedMemory | null;
  /** What charges each CPU; empty without `timing`. */
  readonly meters: readonly CostMeter[];
  /** What watches each CPU's translations; empty without `adversary`. */
  readonly adversaries: readonly Adversary[];
  /** Everything that a snapshot holds, by name; see {@link Machine.attach}. */
  readonly parts: Parts = new Parts();
  readonly #registers: Registers;
  #sink: EventSink | null = null;

  /** Creates a machine that is switched on, with all CPUs in 64-bit paging (or as `registers` says). */
  constructor(options: MachineOptions) {
    const count = options.cpus ?? 1;
    if (!Number.isInteger(count) || count < 1)
      throw new MachineError("bad-argument", `A machine has at least one CPU, not ${count}`, { count });
    if (options.timing !== undefined && options.adversary !== undefined)
      throw new MachineError("bad-argument", "A CPU has one observer: timing and adversary exclude each other");
    const { map, timing, physicalBits = 52 } = options;
    if (!Number.isInteger(physicalBits) || physicalBits < 36 || physicalBits > 52)
      throw new MachineError("bad-argument", `Physical addresses have 36 to 52 bits, not ${physicalBits}`, {
        physicalBits,
      });
    requireDistances(timing?.distances ?? []);
    this.map = map;
    this.memory = new PhysicalMemory(map, options);
    this.#registers = options.registers ?? LONG_MODE;
    const setup = {
      tlb: options.tlb ?? (options.adversary === undefined ? ROOMY_TLB : ETERNAL_TLB),
      physicalBits,
      registers: this.#registers,
    };
    this.cpus = Array.from({ length: count }, (_, id) => new Cpu(id, this.memory, setup));
    this.clock = new VirtualClock(count);
    const costs = { ...DEFAULT_COSTS, ...timing?.costs };
    this.interrupts = new Interrupts(count, this.clock, costs.ipi);
    this.scheduler = new Scheduler(this.cpus, this.clock, this.interrupts, options.seed ?? 1, this.parts);
    this.mtrrs = new MtrrGuard(this.cpus);
    this.cache = timing?.cache === undefined ? null : new LastLevelCache(timing.cache);
    this.ranks = timing?.rankBytes === undefined ? null : new RankedMemory(map, timing.rankBytes, this.clock);
    this.meters = timing === undefined ? [] : this.cpus.map((cpu) => this.#meter(cpu, costs, timing));
    const { adversary } = options;
    this.adversaries =
      adversary === undefined ? [] : this.cpus.map((cpu) => new Adversary(cpu, this.scheduler.random, adversary));
    this.#attachOwnParts();
  }

  /** What the machine itself is made of, in the order in which it is restored: the map before those who hold nodes of it. */
  #attachOwnParts(): void {
    const { parts } = this;
    parts.attach("map", this.map);
    parts.attach("memory", new MemoryImage(this.memory));
    parts.attach("clock", this.clock);
    parts.attach("interrupts", this.interrupts);
    parts.attach("mtrr guard", this.mtrrs);
    if (this.cache !== null) parts.attach("cache", this.cache);
    if (this.ranks !== null) parts.attach("rank power", this.ranks.power);
    for (const cpu of this.cpus) parts.attach(`cpu ${cpu.id}`, cpu);
    this.meters.forEach((meter, cpu) => parts.attach(`meter ${cpu}`, meter));
    this.adversaries.forEach((adversary, cpu) => parts.attach(`adversary ${cpu}`, adversary));
    parts.attach("scheduler", this.scheduler);
  }

  /**
   * Makes a device, or a task that can say where it stands, a part of this machine, so that snapshots hold it; returns it.
   * Attach `IoPorts` and `AddressClaims` before the devices that use them. Throws `double-claim` for a name that is taken.
   */
  attach<T extends Snapshotted>(name: string, part: T): T {
    return this.parts.attach(name, part);
  }

  #meter(cpu: Cpu, costs: Costs, timing: TimingOptions): CostMeter {
    return new CostMeter(cpu, this.map, this.clock, {
      costs,
      node: timing.cpuNodes?.[cpu.id] ?? 0,
      distances: timing.distances ?? null,
      cache: this.cache,
      ranks: this.ranks,
    });
  }

  /** Who is told of every event; null: nobody, at no cost. */
  get eventSink(): EventSink | null {
    return this.#sink;
  }

  /** Switches the event stream on or off. */
  set eventSink(sink: EventSink | null) {
    this.#sink = sink;
    for (const cpu of this.cpus)
      cpu.trace =
        sink === null
          ? null
          : (event) => {
              sink({ time: this.clock.now, cpu: cpu.id, ...event });
            };
  }

  /**
   * Power goes and comes back: RAM is lost, non-volatile memory is not, CPUs start anew with their first registers, PATs and
   * MTRRs; pending interrupts and tasks are gone. Devices are whoever made them's to reset (`BlockDevice.crash`).
   */
  powerCycle(): void {
    this.memory.powerCycle();
    for (const cpu of this.cpus) {
      cpu.reset(this.#registers);
      cpu.pat.program(PAT_RESET);
      cpu.mtrrs.restoreState(new MtrrRegisters(cpu.mtrrs.variable.length).saveState());
    }
    this.interrupts.clear();
    this.scheduler.clear();
    this.cache?.flush();
    this.#sink?.({ kind: "power-cycle", time: this.clock.now });
  }

  /** Throws `broken-invariant` unless map, memory and every CPU hold. */
  check(): void {
    this.map.check();
    this.memory.check();
    for (const cpu of this.cpus) cpu.check();
    this.clock.check();
    this.interrupts.check();
    this.scheduler.check();
    this.cache?.check();
    this.ranks?.power.check();
  }
}
