/**
 * Invalidation on the processors of a machine, and the switch of address spaces, which decides who has to be told.
 *
 * ```
 *  a change ──► log of the space, generation + 1
 *               ├─ processors that run in it       interrupted now, or (`later`) at their next quiescent point
 *               ├─ processors that rest in it      idle or in the kernel: when they come back; now, where tables are set free
 *               ├─ processors that have a context  when they switch to it again
 *               └─ all others                      hold nothing of it
 * ```
 * Whoever comes late reads in the log what it missed, and drops single pages or everything, whatever is cheaper. The kernel's translations (asid 0, global)
 * may be anywhere and are always dropped at once.
 */
import type { AddressSpaceSwitch, TlbControl } from "../ports.ts";
import { Contexts } from "../tlb/contexts.ts";
import { FlushLog } from "../tlb/flush-log.ts";
import { PAGE_SIZE, type Vpn } from "../units.ts";
import type { KernelCpu } from "./kernel-cpu.ts";
import { rootWords } from "./system.ts";

/** What invalidation cost. */
export interface TlbControlStats {
  /** Single pages invalidated, on any processor. */
  pages: number;
  /** Whole spaces invalidated, on any processor. */
  spaces: number;
  /** Processors interrupted from another one. */
  interrupts: number;
  /** Shootdowns that had to wait for at least one other processor. */
  rounds: number;
  /** Interrupts spared: the processor drops what it has to when it comes by. */
  deferred: number;
  /** Changes of space. */
  switches: number;
  /** Of these, those that found the space's translations still there. */
  kept: number;
}

/** Has every processor of `targets` do `work` and returns when all have; `from` is the one that asks. */
export type RemoteCall = (from: number, targets: readonly number[], work: (cpu: number) => void) => void;

/** Settings of {@link CpuTlbControl}. */
export interface TlbControlOptions {
  /** Spaces whose translations a processor keeps at once, by PCIDs 1, 2, …: CR4.PCIDE is set. Default 0: PCIDs are off. */
  readonly contexts?: number;
  /** How processors are interrupted. Default: they do the work at once, at no cost. */
  readonly call?: RemoteCall;
}

/** Beyond so many pages everything is dropped: a flush and refilling costs less, see flush-plan.ts. */
const CATCH_UP_PAGES = 64;
/** Bit 63 of CR3: translations of the new PCID stay. */
const KEEP = 2 ** 31;

/** Invalidates by INVLPG, INVPCID and CR3. */
export class CpuTlbControl implements TlbControl, AddressSpaceSwitch {
  /** What invalidation cost. */
  readonly stats: TlbControlStats = {
    pages: 0,
    spaces: 0,
    interrupts: 0,
    rounds: 0,
    deferred: 0,
    switches: 0,
    kept: 0,
  };
  /** How processors are interrupted. */
  call: RemoteCall;
  readonly #cpus: readonly KernelCpu[];
  readonly #current: () => number;
  /** Space that each processor runs in, −1 for the kernel's alone. */
  readonly #asids: Int32Array;
  /** Root that each processor runs on. */
  readonly #roots: Float64Array;
  /** Slot of {@link Contexts} that each processor runs in; meaningless without a space. */
  readonly #slots: Int32Array;
  /** 1: idle or in the kernel for long; it uses no user translation before it comes back. */
  readonly #resting: Uint8Array;
  /** Ticket of the oldest invalidation that was left to the processor, Infinity where it owes none. */
  readonly #owesSince: Float64Array;
  readonly #contexts: readonly Contexts[];
  /** By space; of those that a processor has been in. */
  readonly #logs: Map<number, FlushLog> = new Map();
  readonly #kernelRoot: number;
  readonly #missed: Float64Array = new Float64Array(CATCH_UP_PAGES);
  #ticket = 0;

  /** Control of these processors; `current` tells which one runs. */
  constructor(cpus: readonly KernelCpu[], current: () => number, kernelRoot: number, options: TlbControlOptions = {}) {
    this.#cpus = cpus;
    this.#current = current;
    this.#asids = new Int32Array(cpus.length).fill(-1);
    this.#roots = new Float64Array(cpus.length).fill(kernelRoot);
    this.#slots = new Int32Array(cpus.length);
    this.#resting = new Uint8Array(cpus.length);
    this.#owesSince = new Float64Array(cpus.length).fill(Infinity);
    this.#contexts = cpus.map(() => new Contexts(options.contexts ?? 0));
    this.#kernelRoot = kernelRoot;
    this.call = options.call ?? callAtOnce;
  }

  /** The space that a processor runs in, −1 for none. */
  spaceOn(cpu: number): number {
    return this.#asids[cpu]!;
  }

  /** Whether the processor is idle or stays in the kernel. */
  isResting(cpu: number): boolean {
    return this.#resting[cpu] === 1;
  }

  // ------------------------------------------------------------ switching

  /** See {@link AddressSpaceSwitch.activate}. */
  activate(root: number, asid: number, cpu: number): void {
    this.#asids[cpu] = asid;
    this.#roots[cpu] = root;
    this.#resting[cpu] = 0;
    this.#owesSince[cpu] = Infinity;
    this.stats.switches++;
    const contexts = this.#contexts[cpu];
    if (contexts === undefined) return;
    if (asid <= 0) {
      this.#load(cpu, 0, contexts.tagged); // Nothing but global translations is under the kernel's PCID.
      return;
    }
    const known = contexts.tagged ? contexts.find(asid) : -1;
    const slot = known < 0 ? contexts.claim(asid) : known;
    this.#slots[cpu] = slot;
    const log = this.#logOf(asid);
    const kept = known >= 0 && this.#dropMissed(cpu, contexts, slot, log);
    if (kept) this.stats.kept++;
    this.#load(cpu, contexts.pcidOf(slot), kept);
    contexts.reach(slot, log.generation);
  }

  /** Before a context is entered again: drops the pages that it missed. False: too many, or tables among them; the load has to drop all. */
  #dropMissed(cpu: number, contexts: Contexts, slot: number, log: FlushLog): boolean {
    const since = contexts.generationOf(slot);
    if (log.generation === since) return true;
    if (log.freedTables(since)) return false;
    const count = log.missed(since, this.#missed);
    if (count < 0) return false;
    const target = this.#cpus[cpu];
    const pcid = contexts.pcidOf(slot);
    for (let at = 0; at < count; at++) target?.invpcid(0, pcid, this.#missed[at]! * PAGE_SIZE);
    this.stats.pages += count;
    return true;
  }

  #load(cpu: number, pcid: number, keep: boolean): void {
    const [low, high] = rootWords(this.#roots[cpu]!);
    this.#cpus[cpu]?.writeCr3(low + pcid, keep ? high + KEEP : high);
  }

  /** See {@link AddressSpaceSwitch.retire}. */
  retire(asid: number): void {
    const here = this.#current();
    for (let cpu = 0; cpu < this.#cpus.length; cpu++) {
      if (this.#asids[cpu] !== asid) continue;
      const leave = (): void => {
        if (this.#asids[cpu] === asid) this.activate(this.#kernelRoot, -1, cpu);
      };
      if (cpu === here) leave();
      else this.#interrupt([cpu], leave);
    }
    for (const contexts of this.#contexts) contexts.forget(asid);
    this.#logs.delete(asid);
  }

  /** The processor is idle from now on, or stays in the kernel: it uses no user translation until {@link resume}. CR3 keeps the space. */
  rest(cpu: number): void {
    this.#resting[cpu] = 1;
    this.#owesSince[cpu] = Infinity;
  }

  /** The processor goes back to user mode: it drops what it missed. */
  resume(cpu: number): void {
    this.#resting[cpu] = 0;
    this.#catchUp(cpu);
  }

  // ------------------------------------------------------------ invalidating

  /** A processor passes a quiescent point (a timer tick, a fault, a system call): it drops what was left to it. One comparison if it owes nothing. */
  quiesce(cpu: number): void {
    if (this.#owesSince[cpu] !== Infinity) this.#catchUp(cpu);
  }

  /** See {@link TlbControl.invalidate}. */
  invalidate(asid: number, vpns: Float64Array, count: number): void {
    const here = this.#current();
    if (asid === 0) this.#dropGlobal(here, vpns, count);
    else if (this.#asids[here] === asid) this.#drop(here, vpns, count);
  }

  /** See {@link TlbControl.shootdown}. */
  shootdown(asid: number, vpns: Float64Array, count: number, freesTables: boolean = false): void {
    this.#ticket++;
    if (asid === 0) {
      this.#shootKernel(vpns, freesTables ? -1 : count);
      return;
    }
    this.#logs.get(asid)?.record(vpns, count, freesTables);
    const here = this.#current();
    const targets: number[] = [];
    for (let cpu = 0; cpu < this.#cpus.length; cpu++) {
      if (this.#asids[cpu] !== asid) continue;
      if (cpu === here) this.#catchUp(cpu);
      else if (this.#resting[cpu] === 1 && !freesTables) this.stats.deferred++;
      else targets.push(cpu);
    }
    this.#interrupt(targets, (cpu) => this.#catchUp(cpu));
  }

  #shootKernel(vpns: Float64Array, count: number): void {
    const here = this.#current();
    const others: number[] = [];
    for (let cpu = 0; cpu < this.#cpus.length; cpu++) if (cpu !== here) others.push(cpu);
    this.#dropGlobal(here, vpns, count);
    this.#interrupt(others, (cpu) => this.#dropGlobal(cpu, vpns, count));
  }

  /** See {@link TlbControl.later}: this processor at once, others that run in the space when they pass a quiescent point. The kernel's never. */
  later(asid: number, vpns: Float64Array, count: number): boolean {
    if (asid === 0) return false;
    const here = this.#current();
    this.#ticket++;
    this.#logs.get(asid)?.record(vpns, count, false);
    for (let cpu = 0; cpu < this.#cpus.length; cpu++) {
      if (this.#asids[cpu] !== asid) continue;
      if (cpu === here) this.#catchUp(cpu);
      else {
        this.stats.deferred++;
        if (this.#resting[cpu] === 0) this.#owesSince[cpu] = Math.min(this.#owesSince[cpu]!, this.#ticket);
      }
    }
    return true;
  }

  /** See {@link TlbControl.settle}. */
  settle(): void {
    const here = this.#current();
    const targets: number[] = [];
    for (let cpu = 0; cpu < this.#cpus.length; cpu++) {
      if (this.#owesSince[cpu] === Infinity) continue;
      if (cpu === here) this.#catchUp(cpu);
      else targets.push(cpu);
    }
    this.#interrupt(targets, (cpu) => this.#catchUp(cpu));
  }

  /** See {@link TlbControl.ticket}. */
  ticket(): number {
    return this.#ticket;
  }

  /** See {@link TlbControl.quiesced}. Processors that owe nothing are not waited for. */
  quiesced(): number {
    let passed = this.#ticket;
    for (const since of this.#owesSince) passed = Math.min(passed, since - 1);
    return passed;
  }

  /**
   * Whether a processor could use what it holds of a page under a PCID without dropping it first: false for contexts that missed its invalidation and are
   * not in use. For auditors.
   */
  mayUse(cpu: number, pcid: number, vpn: Vpn): boolean {
    const contexts = this.#contexts[cpu];
    const slot = contexts?.slotOf(pcid) ?? -1;
    if (contexts === undefined || slot < 0 || vpn < 0) return true;
    const asid = contexts.asidOf(slot);
    if (asid < 0) return false;
    const isCurrent = this.#asids[cpu] === asid;
    if (isCurrent && this.#resting[cpu] === 0) return true;
    const log = this.#logs.get(asid);
    return log !== undefined && (isCurrent || contexts.tagged) && !log.covers(contexts.generationOf(slot), vpn);
  }

  // ------------------------------------------------------------ on one processor

  #interrupt(targets: readonly number[], work: (cpu: number) => void): void {
    if (targets.length === 0) return;
    this.stats.rounds++;
    this.stats.interrupts += targets.length;
    this.call(this.#current(), targets, work);
  }

  /** Drops what the space that a processor is in has invalidated since the processor last did this. */
  #catchUp(cpu: number): void {
    this.#owesSince[cpu] = Infinity;
    const asid = this.#asids[cpu]!;
    const contexts = this.#contexts[cpu];
    if (asid <= 0 || contexts === undefined) return;
    const slot = this.#slots[cpu]!;
    const log = this.#logOf(asid);
    const since = contexts.generationOf(slot);
    if (log.generation === since) return;
    contexts.reach(slot, log.generation);
    const count = log.missed(since, this.#missed);
    // INVLPG drops what is cached of upper entries too; where no page is named, but a table went, everything has to go.
    this.#drop(cpu, this.#missed, count === 0 && log.freedTables(since) ? -1 : count);
  }

  /** Drops pages of the space that a processor is in, all of it where `count` is −1. */
  #drop(cpu: number, vpns: Float64Array, count: number): void {
    const target = this.#cpus[cpu];
    if (target === undefined) return;
    if (count >= 0) {
      this.stats.pages += count;
      for (let at = 0; at < count; at++) target.invlpg(vpns[at]! * PAGE_SIZE);
      return;
    }
    this.stats.spaces++;
    const contexts = this.#contexts[cpu];
    if (contexts?.tagged === true) target.invpcid(1, contexts.pcidOf(this.#slots[cpu]!), 0);
    else this.#load(cpu, 0, false);
  }

  /** Drops pages of the kernel's, everything under every PCID where `count` is −1. */
  #dropGlobal(cpu: number, vpns: Float64Array, count: number): void {
    if (count >= 0) {
      this.#drop(cpu, vpns, count);
      return;
    }
    this.stats.spaces++;
    this.#cpus[cpu]?.invpcid(2, 0, 0);
  }

  #logOf(asid: number): FlushLog {
    let log = this.#logs.get(asid);
    if (log === undefined) {
      log = new FlushLog();
      this.#logs.set(asid, log);
    }
    return log;
  }
}

/** Processors that can be interrupted at once, at no cost. */
function callAtOnce(_from: number, targets: readonly number[], work: (cpu: number) => void): void {
  for (const cpu of targets) work(cpu);
}
