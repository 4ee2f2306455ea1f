/**
 * Invalidation on the processors of a machine, and the switch of address spaces, which decides who has to be told.
 *
 * Without process-context identifiers a change of CR3 drops everything but global translations, so only processors that run in a space now can
 * hold its translations; the kernel's (asid 0, global) may be anywhere.
 */
import type { AddressSpaceSwitch, TlbControl } from "../ports.ts";
import { PAGE_SIZE } from "../units.ts";
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
  /** Interrupts spared: the processor drops the space when it comes by. */
  deferred: number;
}

/** Invalidates by INVLPG and by reloading CR3. */
export class CpuTlbControl implements TlbControl, AddressSpaceSwitch {
  /** What invalidation cost. */
  readonly stats: TlbControlStats = { pages: 0, spaces: 0, interrupts: 0, deferred: 0 };
  readonly #cpus: readonly KernelCpu[];
  readonly #current: () => number;
  /** Space that each processor runs in, −1 before the first. */
  readonly #asids: Int32Array;
  /** Root that each processor runs on. */
  readonly #roots: Float64Array;
  readonly #kernelRoot: number;
  /** Spaces that a processor has still to drop, each with everything of it. */
  readonly #owed: Set<number>[];
  /** Ticket up to which each processor owes nothing. */
  readonly #passed: Float64Array;
  #ticket = 0;

  /** Control of these processors; `current` tells which one runs. */
  constructor(cpus: readonly KernelCpu[], current: () => number, kernelRoot: number) {
    this.#cpus = cpus;
    this.#current = current;
    this.#asids = new Int32Array(cpus.length).fill(-1);
    this.#roots = new Float64Array(cpus.length).fill(kernelRoot);
    this.#kernelRoot = kernelRoot;
    this.#owed = cpus.map(() => new Set());
    this.#passed = new Float64Array(cpus.length);
  }

  /** The space that a processor runs in, −1 for none. */
  spaceOn(cpu: number): number {
    return this.#asids[cpu]!;
  }

  /** See {@link AddressSpaceSwitch.activate}. */
  activate(root: number, asid: number, cpu: number): void {
    this.#asids[cpu] = asid;
    this.#roots[cpu] = root;
    this.#cpus[cpu]?.writeCr3(...rootWords(root));
    this.#owed[cpu]?.clear(); // A change of CR3 has dropped everything.
    this.#passed[cpu] = this.#ticket;
  }

  /** A processor passes a quiescent point (a timer tick, the idle loop, a system call): it drops what it owes. */
  quiesce(cpu: number): void {
    const owed = this.#owed[cpu];
    if (owed !== undefined && owed.size > 0) {
      for (const asid of owed) this.#on(cpu, asid, NONE, -1);
      owed.clear();
    }
    this.#passed[cpu] = this.#ticket;
  }

  /** See {@link TlbControl.later}: this processor at once, others that run in the space when they pass a quiescent point. The kernel's never. */
  later(asid: number, vpns: Float64Array, count: number): boolean {
    if (asid === 0) return false;
    const here = this.#current();
    this.#ticket++;
    for (let cpu = 0; cpu < this.#cpus.length; cpu++) {
      if (cpu === here) {
        if (this.#asids[cpu] === asid) this.#on(cpu, asid, vpns, count);
      } else if (this.#asids[cpu] === asid) {
        this.#owed[cpu]?.add(asid);
        this.stats.deferred++;
      }
    }
    return true;
  }

  /** See {@link AddressSpaceSwitch.retire}. */
  retire(asid: number): void {
    for (let cpu = 0; cpu < this.#cpus.length; cpu++)
      if (this.#asids[cpu] === asid) this.activate(this.#kernelRoot, -1, cpu);
  }

  /** See {@link TlbControl.invalidate}. */
  invalidate(asid: number, vpns: Float64Array, count: number): void {
    this.#on(this.#current(), asid, vpns, count);
  }

  /** See {@link TlbControl.shootdown}. */
  shootdown(asid: number, vpns: Float64Array, count: number): void {
    const here = this.#current();
    for (let cpu = 0; cpu < this.#cpus.length; cpu++) {
      if (asid !== 0 && this.#asids[cpu] !== asid) continue;
      if (cpu !== here) this.stats.interrupts++;
      this.#on(cpu, asid, vpns, count);
    }
    this.#ticket++;
  }

  /** See {@link TlbControl.ticket}. */
  ticket(): number {
    return this.#ticket;
  }

  /** See {@link TlbControl.quiesced}. Processors that owe nothing are not waited for. */
  quiesced(): number {
    let passed = this.#ticket;
    for (let cpu = 0; cpu < this.#cpus.length; cpu++)
      if ((this.#owed[cpu]?.size ?? 0) > 0) passed = Math.min(passed, this.#passed[cpu]!);
    return passed;
  }

  #on(cpu: number, asid: number, vpns: Float64Array, count: number): void {
    const target = this.#cpus[cpu];
    if (target === undefined) return;
    if (count < 0) {
      this.stats.spaces++;
      if (asid === 0) target.invpcid(2, 0, 0);
      else target.writeCr3(...rootWords(this.#roots[cpu]!));
      return;
    }
    this.stats.pages += count;
    for (let at = 0; at < count; at++) target.invlpg(vpns[at]! * PAGE_SIZE);
  }
}

const NONE = new Float64Array(0);
