/**
 * The layers, assembled: a machine, its frames, a virtual memory manager with the machine's page tables, and processors that
 * fault into it.
 */
import { CR4_PCIDE, CR4_SMAP, CR4_SMEP, LONG_MODE, Machine, PAT_LINUX } from "@pagewright/machine";
import type {
  AdversaryOptions,
  Cpu,
  FaultHandler,
  FrameRange,
  MtrrRegisters,
  Pfn,
  PhysicalMap,
  Registers,
  TimingOptions,
  TlbGeometry,
  VirtAddr,
} from "@pagewright/machine";
import { Pmm } from "@pagewright/pmm";
import type { PmmOptions } from "@pagewright/pmm";
import { FrameReserve, Vmm } from "@pagewright/vmm";
import type { AddressSpace, Compressor, FaultOutcome, FrameWindow, VmmOptions } from "@pagewright/vmm";
import { CompressedPool } from "@pagewright/vmm/swap";
import { CpuTlbControl, X86FaultHandler, X86System } from "@pagewright/vmm/x86";
import { MODE_4_LEVEL } from "@pagewright/x86-paging";
import type { PagingMode } from "@pagewright/x86-paging";
import { StackError } from "./errors.ts";
import { FrameLedger, LedgerFrames, LedgerRuns, LedgerWindow } from "./frame-ledger.ts";
import { firmwareMtrrs, MtrrMemoryTypes } from "./memory-types.ts";
import { PoolFrames } from "./pool-frames.ts";
import { ProcessorCalls } from "./processor-calls.ts";

/** 64-bit paging in which the kernel neither runs nor touches user pages by accident. */
const GUARDED_LONG_MODE: Registers = { ...LONG_MODE, cr4: LONG_MODE.cr4 + CR4_SMEP + CR4_SMAP };

/** Spaces whose translations a processor keeps at once: as many as in Linux (TLB_NR_DYN_ASIDS). */
const CONTEXTS = 6;

/** Frames that only reclaim may take: for compressed pages and for tables of 2M pages that are split. */
const RESERVED_FRAMES = 16;

/** What `createStack` is told of the manager: everything that the layers below do not decide. */
export type ManagerSettings = Omit<
  VmmOptions,
  "frames" | "window" | "tables" | "tlb" | "spaceSwitch" | "special" | "pressure" | "reserve"
>;

/** Compressed memory as the first swap tier, in front of the stores of `swap`, or alone. */
export interface CompressedTier {
  /** Frames that it may have at once. They come out of `residentLimit`: what it takes, resident pages have less. */
  readonly limitFrames: number;
  /** Pages that it can hold; as many as the first store of `swap`, or the first stores if several are first, if absent. */
  readonly slots?: number;
  /** The compressor; vmm's default if absent. */
  readonly compressor?: Compressor;
}

/** How a stack is made. */
export interface StackOptions extends ManagerSettings {
  /** The machine's physical address map. */
  readonly map: PhysicalMap;
  /** Logical processors, ≥ 1 (default 1). */
  readonly cpus?: number;
  /** Translation look-aside buffers of each processor; the machine's default if absent. */
  readonly translationBuffers?: TlbGeometry;
  /** Compressed swap; none if absent. */
  readonly compressed?: CompressedTier;
  /** Root entry, 256 to 510, through which the running space's tables are reached; absent: through windows, as all other frames. */
  readonly recursiveSlot?: number;
  /** Bytes of a rank, which can sleep by itself, a power of two; one rank for each node if absent. */
  readonly rankBytes?: number;
  /** Settings of the frame allocator: room for memory that is plugged in later, its nodes, cache colours … */
  readonly pmm?: Omit<PmmOptions, "ranges">;
  /** MTRRs of all processors; what firmware would leave for the map if absent. */
  readonly mtrrs?: MtrrRegisters;
  /** Spaces whose translations a processor keeps at once, by PCIDs; 6 by default, 0: PCIDs are off. */
  readonly contexts?: number;
  /** Charges every access, page fault, invalidation and interrupt on the machine's clock; not charged if absent. */
  readonly timing?: TimingOptions;
  /** Makes every processor as unhelpful as the manual allows; excludes `timing`. */
  readonly adversary?: AdversaryOptions;
  /** Seed of what chance decides in the machine. */
  readonly seed?: number;
}

/** A machine, its frames, a virtual memory manager with the machine's page tables, and processors that fault into it, put together; see {@link createStack}. */
export class Stack implements FaultHandler {
  /** Memory and processors. */
  readonly machine: Machine;
  /** Frames. */
  readonly pmm: Pmm;
  /** The RAM that {@link Stack.pmm} manages. */
  readonly managed: FrameRange[];
  /** Frames that a hypervisor has; see BalloonDriver. */
  readonly lent: Set<number> = new Set();
  /** Spaces, objects, reclaim. */
  readonly vmm: Vmm;
  /** Which frames are handed out, and which had their bytes replaced since. */
  readonly ledger: FrameLedger;
  /** Compressed swap and the frames that it has, or null. */
  readonly pool: CompressedPool | null;
  readonly poolFrames: PoolFrames;
  /** Page tables of all spaces, and the kernel's windows. */
  readonly tables: X86System;
  /** Invalidation on all processors. */
  readonly control: CpuTlbControl;
  readonly #faults: X86FaultHandler;
  /** Processors that run programs: the tasks whose stalls are counted. */
  readonly #active: Set<number> = new Set();
  /** Number of the processor that runs now: whose windows and TLB the kernel uses. */
  #running: number = 0;

  /** Assembles the layers; see {@link createStack}. */
  constructor(options: StackOptions) {
    const {
      map,
      cpus,
      translationBuffers,
      compressed,
      contexts = CONTEXTS,
      timing,
      adversary,
      seed,
      mtrrs,
      recursiveSlot,
      rankBytes,
      pmm,
      ...settings
    } = options;
    const cr4 = GUARDED_LONG_MODE.cr4 + (contexts > 0 ? CR4_PCIDE : 0);
    this.machine = new Machine({
      map,
      registers: { ...GUARDED_LONG_MODE, cr4 },
      ...(timing === undefined ? {} : { timing }),
      ...(adversary === undefined ? {} : { adversary }),
      ...(seed === undefined ? {} : { seed }),
      ...(cpus === undefined ? {} : { cpus }),
      ...(translationBuffers === undefined ? {} : { tlb: translationBuffers }),
    });
    this.managed = map.frameRanges(rankBytes === undefined ? {} : { rankBytes });
    this.pmm = new Pmm({ ...pmm, ranges: this.managed });
    if (this.pmm.totalFrames === 0) {
      const low = this.pmm.stats().totalFrames;
      const message = `The map has no usable frame above the low zone (16 MiB as a rule), which is kept for devices: ${low} below it`;
      throw new StackError("no-memory", message, { low });
    }
    this.ledger = new FrameLedger();
    const reserve = new FrameReserve(this.pmm, RESERVED_FRAMES);
    const frames = new LedgerFrames(reserve, this.ledger);
    const { cpus: processors, memory } = this.machine;
    for (const cpu of processors) cpu.pat.program(PAT_LINUX);
    this.machine.mtrrs.loadAll(mtrrs ?? firmwareMtrrs(map));
    const current = (): number => this.#running;
    this.tables = new X86System({
      cpus: processors,
      current,
      bootMemory: memory,
      frames,
      supervisorGuards: true,
      ...(recursiveSlot === undefined ? {} : { recursiveSlot }),
    });
    const calls = new ProcessorCalls(this.machine, () => this.vmm.core.yieldPoint("wait"));
    const call = calls.call.bind(calls);
    this.control = new CpuTlbControl(processors, current, this.tables.kernel.root, { contexts, call });
    const window = new LedgerWindow(this.tables.windows, this.ledger);
    this.poolFrames = new PoolFrames(frames, (grown) => (this.vmm.core.residentLimit -= grown));
    const stores = settings.swap ?? [];
    this.pool =
      compressed === undefined
        ? null
        : this.#makePool(
            compressed,
            window,
            stores.length === 0 ? undefined : [stores[0] ?? []].flat().reduce((sum, store) => sum + store.slots, 0),
          );
    const { tables, control, pool } = this;
    const swap = pool === null ? {} : { swap: [pool, ...stores] };
    const ports = { frames, window, tables, tlb: control, spaceSwitch: control, pressure: reserve, reserve };
    const nodes = timing?.cpuNodes;
    const numa =
      nodes === undefined
        ? {}
        : { currentNode: () => nodes[this.#running] ?? 0, nodeOf: (pfn: Pfn) => this.#nodeOf(pfn) };
    this.vmm = new Vmm({
      ...numa,
      clock: this.machine.clock,
      memoryTypes: new MtrrMemoryTypes(this.machine),
      ...settings,
      ...swap,
      ...ports,
      special: new LedgerRuns(this.pmm, this.ledger),
    });
    this.#faults = new X86FaultHandler(this.vmm, control);
    for (const cpu of processors) cpu.faultHandler = this;
  }

  #makePool(tier: CompressedTier, window: FrameWindow, slotsBehind: number | undefined): CompressedPool {
    const slots = tier.slots ?? slotsBehind;
    if (slots === undefined)
      throw new StackError("no-slots", "Compressed memory with nothing behind it needs its number of slots.", {});
    return new CompressedPool({ ...tier, slots, frames: this.poolFrames, window });
  }

  /** Uses RAM that was plugged in. Throws pmm's `no-table` where it lies beyond what the allocator can note, see `PmmOptions`. */
  manage(range: FrameRange): void {
    this.pmm.addRange(range);
    this.managed.push(range);
  }

  /** The NUMA node of a managed frame, −1 of any other. */
  #nodeOf(pfn: Pfn): number {
    for (const { start, end, node } of this.managed) if (pfn >= start && pfn < end) return node;
    return -1;
  }

  /** Resolves a processor's page fault; the machine calls this. */
  pageFault(cpu: Cpu, va: VirtAddr, error: number): boolean {
    return this.as(cpu.id, () => {
      this.control.quiesce(cpu.id);
      return this.#faults.pageFault(cpu, va, error);
    });
  }

  /**
   * What the latest page fault came to. `pending`: the access can be made again when the space's `pending` has settled; `vmm.pressure.stalls.during(pending)` awaits it and
   * counts the wait as a stall.
   */
  get lastFault(): FaultOutcome {
    return this.#faults.outcome;
  }

  /** Lets a processor run in a space, in user mode, and returns it. */
  enter(space: AddressSpace, number: number = 0): Cpu {
    const cpu = this.machine.cpus[number];
    if (cpu === undefined) throw new StackError("no-such-processor", `There is no processor ${number}`, { number });
    this.#running = number;
    if (this.control.spaceOn(number) !== space.asid) space.activate(number);
    else if (this.control.isResting(number)) this.control.resume(number);
    cpu.setCpl(3);
    if (!this.#active.has(number)) {
      if (this.#active.size > 0) this.vmm.pressure.stalls.activate(); // The manager counts one task from the start.
      this.#active.add(number);
    }
    return cpu;
  }

  /** Lets a processor idle, or stay in the kernel, until it is to {@link enter} a space again: nobody has to interrupt it meanwhile. */
  rest(number: number): void {
    this.control.rest(number);
    if (this.#active.delete(number) && this.#active.size > 0) this.vmm.pressure.stalls.retire();
  }

  /** Does kernel work as a processor: its windows are used, and its translations need no interrupt. Returns what the work returns. */
  as<T>(number: number, work: () => T): T {
    const before = this.#running;
    this.#running = number;
    try {
      return work();
    } finally {
      this.#running = before;
    }
  }

  /** A processor's timer ticks: it drops the translations that others left it to drop. */
  tick(number: number): void {
    this.control.quiesce(number);
  }

  /** The paging mode that its processors are in. */
  get mode(): PagingMode {
    const [cpu] = this.machine.cpus;
    return cpu === undefined ? MODE_4_LEVEL : cpu.mmu.state.mode;
  }

  /** Walks every layer's own state; throws the error of the layer whose invariant is broken. */
  check(): void {
    this.machine.check();
    this.pmm.check();
    this.vmm.check();
    this.pool?.check();
  }
}

/**
 * Returns a machine with its frames and its memory manager, ready for spaces. Throws a {@link StackError}: `no-memory` for a map without a usable frame above
 * the low zone, `no-slots` for compressed memory alone without its number of slots; and what the layers throw of their own options.
 */
export function createStack(options: StackOptions): Stack {
  return new Stack(options);
}
