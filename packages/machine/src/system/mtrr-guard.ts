/**
 * Watches that MTRRs are changed as the manual demands, on all CPUs together:
 *
 *   1  interrupts off               5  MTRRs off (E = 0)         9  CR0.CD = 0
 *   2  all CPUs have arrived        6  change the registers     10  all CPUs have finished, with equal registers
 *   3  CR0.CD = 1, NW = 0; WBINVD   7  MTRRs on (E = 1)         11  interrupts on
 *   4  flush the TLB                8  WBINVD; flush the TLB
 *
 * A step left out is an `update-sequence` error that names the CPU and the step. What counts as a flush of the TLB leaves no
 * translation behind: clearing CR4.PGE, or with PGE off MOV to CR3 without its bit 63, INVPCID of type 3; type 2 always. The
 * first one must reach every PCID; the second need reach the current PCID only, for the others have held none since.
 *
 * Watched is what goes through {@link MtrrGuard.write} and {@link MtrrGuard.loadAll}. Assigning to a CPU's `mtrrs` directly, as
 * firmware does before anyone runs, goes past the guard; only {@link MtrrGuard.requireEqual} (step 10) sees CPUs that differ.
 *
 * Source: Intel SDM volume 3A, MTRR Considerations in MP Systems.
 */
import type { Cpu } from "../cpu/cpu.ts";
import { CR0_CD, CR0_NW, CR4_PGE } from "../cpu/registers.ts";
import { MachineError } from "../errors.ts";
import { MtrrRegisters } from "../mtrr/registers.ts";
import type { Snapshotted } from "./snapshotted.ts";

/** How far one CPU is in the sequence. */
export interface MtrrProgress {
  /** Its caches were flushed since the last step that demands it. */
  readonly cachesFlushed: boolean;
  /** Its TLB was flushed since the last step that demands it. */
  readonly tlbFlushed: boolean;
  /** Its registers were changed, if only switched off. */
  readonly written: boolean;
}

type Progress = { -readonly [K in keyof MtrrProgress]: MtrrProgress[K] };

const has = (word: number, bit: number): boolean => Math.floor(word / bit) % 2 === 1;

/** What a CPU tells its guard. */
export interface CacheGuard {
  /** The CPU flushed its TLB, with no global translation left: that of every PCID, or else of the current one. */
  tlbFlushed(cpu: Cpu, everyPcid: boolean): void;
  /** The CPU wrote back and invalidated its caches. */
  cachesFlushed(cpu: Cpu): void;
  /** CR0 is about to change; throws `update-sequence` when it must not. */
  cacheControl(cpu: Cpu, before: number, after: number): void;
}

/** The guard of a machine's MTRRs. */
export class MtrrGuard implements CacheGuard, Snapshotted<readonly MtrrProgress[]> {
  readonly #cpus: readonly Cpu[];
  readonly #progress: readonly Progress[];

  /** Creates a guard and puts it in charge of every CPU. */
  constructor(cpus: readonly Cpu[]) {
    this.#cpus = cpus;
    this.#progress = cpus.map(() => ({ cachesFlushed: false, tlbFlushed: false, written: false }));
    for (const cpu of cpus) cpu.guard = this;
  }

  /** Snapshotted: how far each CPU is. */
  saveState(): readonly MtrrProgress[] {
    return this.#progress.map((progress) => ({ ...progress }));
  }

  /** Snapshotted: how far each CPU was. */
  restoreState(state: readonly MtrrProgress[]): void {
    this.#progress.forEach((progress, cpu) => {
      Object.assign(progress, state[cpu]);
    });
  }

  #of(cpu: Cpu): Progress {
    return this.#progress[cpu.id] ?? { cachesFlushed: false, tlbFlushed: false, written: false };
  }

  #demand(holds: boolean, cpu: Cpu, step: string): void {
    if (!holds)
      throw new MachineError("update-sequence", `CPU ${cpu.id} changes MTRRs, but ${step}`, { cpu: cpu.id, step });
  }

  /** See {@link CacheGuard}. */
  tlbFlushed(cpu: Cpu, everyPcid: boolean): void {
    const progress = this.#of(cpu);
    if (has(cpu.registers.cr0, CR0_CD) && (everyPcid || progress.written)) progress.tlbFlushed = true;
  }

  /** See {@link CacheGuard}. */
  cachesFlushed(cpu: Cpu): void {
    if (has(cpu.registers.cr0, CR0_CD)) this.#of(cpu).cachesFlushed = true;
  }

  /** See {@link CacheGuard}. */
  cacheControl(cpu: Cpu, before: number, after: number): void {
    const [wasOff, isOff] = [has(before, CR0_CD), has(after, CR0_CD)];
    if (wasOff === isOff) return;
    const progress = this.#of(cpu);
    if (!isOff && progress.written) {
      this.#demand(cpu.mtrrs.enabled, cpu, "MTRRs are still off when caches go on");
      this.#demand(progress.cachesFlushed, cpu, "caches were not flushed after the change");
      this.#demand(progress.tlbFlushed, cpu, "the TLB was not flushed after the change");
    }
    if (!isOff && this.#cpus.every((one) => one === cpu || !has(one.registers.cr0, CR0_CD))) this.requireEqual();
    progress.cachesFlushed = false;
    progress.tlbFlushed = false;
    progress.written = false;
  }

  /**
   * Changes one CPU's registers, if it is at the step where that is allowed: with MTRRs on, only to switch them off (step 5);
   * then as often as it takes, until a change switches them on again. Throws `update-sequence`, and then nothing has changed.
   */
  write(cpu: Cpu, change: (registers: MtrrRegisters) => void): void {
    const progress = this.#of(cpu);
    const { cr0 } = cpu.registers;
    const { cachesFlushed, tlbFlushed, written } = progress;
    this.#demand(!cpu.interruptsEnabled, cpu, "its interrupts are on");
    this.#demand(has(cr0, CR0_CD) && !has(cr0, CR0_NW), cpu, "its caches are on (CR0.CD must be 1, CR0.NW 0)");
    this.#demand(written || cachesFlushed, cpu, "it has not flushed its caches since it switched them off");
    this.#demand(written || tlbFlushed, cpu, "it has not flushed its TLB since it switched caches off");
    for (const other of this.#cpus)
      this.#demand(has(other.registers.cr0, CR0_CD), cpu, `CPU ${other.id} has not arrived: its caches are on`);
    const off = new MtrrRegisters(cpu.mtrrs.variable.length);
    off.copyFrom(cpu.mtrrs);
    off.enabled = false;
    const trial = new MtrrRegisters(cpu.mtrrs.variable.length);
    trial.copyFrom(cpu.mtrrs);
    change(trial);
    this.#demand(!cpu.mtrrs.enabled || trial.equals(off), cpu, "its MTRRs are on (clear E first)");
    cpu.mtrrs.copyFrom(trial);
    progress.written = true;
    progress.cachesFlushed = false;
    progress.tlbFlushed = false;
  }

  /** Throws `update-sequence` unless all CPUs have equal registers. */
  requireEqual(): void {
    const [first, ...rest] = this.#cpus;
    for (const cpu of rest)
      if (first !== undefined && !cpu.mtrrs.equals(first.mtrrs))
        throw new MachineError("update-sequence", `CPUs ${first.id} and ${cpu.id} have different MTRRs`, {
          first: first.id,
          second: cpu.id,
        });
  }

  /** Loads `registers` into every CPU by the whole sequence, as an operating system's rendezvous does. */
  loadAll(registers: MtrrRegisters): void {
    const before = this.#cpus.map((cpu) => ({
      interrupts: cpu.interruptsEnabled,
      cr0: cpu.registers.cr0,
      cr4: cpu.registers.cr4,
    }));
    for (const cpu of this.#cpus) {
      cpu.interruptsEnabled = false;
      const { cr0, cr4 } = cpu.registers;
      cpu.writeCr0((has(cr0, CR0_CD) ? cr0 : cr0 + CR0_CD) - (has(cr0, CR0_NW) ? CR0_NW : 0));
      cpu.wbinvd();
      if (has(cr4, CR4_PGE)) cpu.writeCr4(cr4 - CR4_PGE);
      else cpu.invpcid(2, 0, 0);
    }
    for (const cpu of this.#cpus) {
      this.write(cpu, (own) => (own.enabled = false));
      this.write(cpu, (own) => {
        own.copyFrom(registers);
      });
      cpu.wbinvd();
      cpu.flushTlb();
    }
    this.#cpus.forEach((cpu, at) => {
      const saved = before[at];
      if (saved === undefined) return;
      cpu.writeCr0(saved.cr0);
      cpu.writeCr4(saved.cr4);
      cpu.interruptsEnabled = saved.interrupts;
    });
  }
}
