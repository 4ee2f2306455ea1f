/**
 * A CPU that is as unhelpful as the manual allows: it keeps translations as long as it may, takes in translations that nobody
 * asked for, and faults on stale rights at once. Every use of a translation that the tables no longer give is reported
 * with the access that went wrong and the entry that was changed without a flush; a translation that a walk has just made from a
 * stale paging-structure entry is none the better for being new.
 *
 * A use of a stale translation is a bug only if the operating system relied on the change; between the change of an entry and
 * the end of its shootdown it is allowed. So a report says whether an invalidation of the translation came afterwards (`flushed`):
 * a report that never gets one is a forgotten flush.
 */
import {
  ACCESS_KIND,
  ACCESS_READ,
  ACCESS_USER,
  ACCESS_WRITE,
  TRANSLATED,
  Walk,
  walkExact,
} from "@pagewright/x86-paging";
import { MachineError } from "../errors.ts";
import type { SeededRandom } from "../system/random.ts";
import type { Snapshotted } from "../system/snapshotted.ts";
import { FRAME_BYTES, formatAddress } from "../units.ts";
import type { Pfn, VirtAddr, Vpn } from "../units.ts";
import type { Cpu } from "./cpu.ts";
import type { Mmu } from "./mmu.ts";
import type { MmuObserver } from "./mmu-ports.ts";
import { FLAG_DIRTY, FLAG_GLOBAL } from "./tlb-array.ts";
import type { TlbGeometry } from "./tlb-geometry.ts";
import { leafLevelOf, pageAt, TranslationWays } from "./translation-ways.ts";
import type { EntryChange, TranslationWaysState } from "./translation-ways.ts";

/** A TLB that forgets next to nothing by itself: what an adversary needs. */
export const ETERNAL_TLB: TlbGeometry = {
  name: "eternal",
  data: { "4K": { sets: 4096, ways: 16 }, "2M": { sets: 64, ways: 16 }, "1G": { sets: 4, ways: 16 } },
  code: { "4K": { sets: 1024, ways: 16 }, "2M": { sets: 64, ways: 16 } },
  second: { shared: null, "1G": null },
  structures: { pml4: 256, pdpt: 256, pd: 1024 },
  replacement: "oldest",
};

/** One use of a translation that the tables no longer give. */
export interface StaleUse {
  /** The CPU. */
  readonly cpu: number;
  /** The PCID in force. */
  readonly pcid: number;
  /** Whether the translation was global: then no flush of a PCID drops it. */
  readonly global: boolean;
  /** Level of the leaf that it was made from: 1 (4K) … 3 (1G). */
  readonly level: number;
  /** First byte of the 4K page. */
  readonly page: VirtAddr;
  /** What was attempted. */
  readonly access: "read" | "write" | "fetch";
  /** What is wrong: another frame, an access that is no longer allowed, or a dirty bit that is not set. */
  readonly wrong: "frame" | "rights" | "dirty";
  /** The frame that the TLB gave. */
  readonly stale: Pfn;
  /** The frame that the tables give, −1 when they give none. */
  readonly current: Pfn;
  /** The entry that was changed and not flushed; null when no entry on the old way differs, or it was stale before anybody watched. */
  readonly change: EntryChange | null;
  /** Whether the translation was invalidated on this CPU afterwards. */
  flushed: boolean;
}

/** What an adversary does. */
export interface AdversaryOptions {
  /** `throw`: `stale-translation` at the first stale use; `collect`: keep reports. Default `throw`. */
  readonly onStale?: "throw" | "collect";
  /** Chance of taking in another page's translation after each walk, 0 … 1. Default 0.25. */
  readonly speculation?: number;
}

/** What an adversary knows, as plain data. */
export interface AdversaryState {
  /** Stale uses so far. */
  readonly reports: readonly StaleUse[];
  /** The entries from which translations were made. */
  readonly ways: TranslationWaysState;
  /** Pages used lately. */
  readonly recent: readonly Vpn[];
}

const REMEMBERED = 64;

const ACCESS_NAMES = ["read", "write", "fetch"] as const;

/** Watches one CPU; see the top of this file. */
export class Adversary implements MmuObserver, Snapshotted<AdversaryState> {
  /** Stale uses so far. */
  readonly reports: StaleUse[] = [];
  readonly #cpu: Cpu;
  readonly #random: SeededRandom;
  readonly #throws: boolean;
  readonly #speculation: number;
  readonly #ways = new TranslationWays();
  readonly #recent: Vpn[] = [];
  readonly #walk = new Walk();
  #busy = false;
  #speculating = false;

  /** Attaches to `cpu`, whose short way is closed from now on. What its TLB holds counts as made from the tables as they are now. */
  constructor(cpu: Cpu, random: SeededRandom, options: AdversaryOptions = {}) {
    this.#cpu = cpu;
    this.#random = random;
    this.#throws = (options.onStale ?? "throw") === "throw";
    this.#speculation = options.speculation ?? 0.25;
    this.#ways.seed(cpu.mmu);
    cpu.mmu.observer = this;
    cpu.mmu.spuriousFaults = true;
    cpu.shortcuts = false;
  }

  /** Lets the CPU go again. */
  detach(): void {
    this.#cpu.mmu.observer = null;
    this.#cpu.mmu.spuriousFaults = false;
    this.#cpu.shortcuts = true;
  }

  /** Snapshotted: reports, and what it remembers of translations. */
  saveState(): AdversaryState {
    return {
      reports: this.reports.map((report) => ({ ...report })),
      ways: this.#ways.save(),
      recent: [...this.#recent],
    };
  }

  /** Snapshotted: reports, and what it remembered of translations. */
  restoreState({ reports, ways, recent }: AdversaryState): void {
    this.reports.splice(0, this.reports.length, ...reports.map((report) => ({ ...report })));
    this.#ways.restore(ways);
    this.#recent.splice(0, this.#recent.length, ...recent);
  }

  /** Returns the stale uses whose translation was never invalidated on this CPU afterwards: forgotten flushes. */
  forgotten(): readonly StaleUse[] {
    return this.reports.filter((report) => !report.flushed);
  }

  /** Takes in up to `count` translations of pages used before, as speculation may at any moment. Returns how many. */
  speculate(count: number): number {
    let done = 0;
    for (let i = 0; i < count && this.#recent.length > 0; i++) {
      const near = this.#recent[this.#random.below(this.#recent.length)] ?? 0;
      const vpn = near + (this.#random.chance(0.5) ? 0 : this.#random.below(3) - 1);
      // As user mode would, or as the kernel: under SMAP the two take in different pages.
      const access = ACCESS_READ + (this.#random.chance(0.5) ? ACCESS_USER : 0);
      this.#speculating = true;
      if (this.#cpu.mmu.prefetch(vpn, access)) done++;
      this.#speculating = false;
    }
    return done;
  }

  #walkNow(mmu: Mmu, vpn: Vpn, access: number): number {
    const low = (vpn & 0xfffff) * FRAME_BYTES;
    return walkExact(mmu.state, mmu.memory, low, Math.floor(vpn / 2 ** 20) >>> 0, access, this.#walk);
  }

  /** Remembers the entries from which a translation was made, and compares it where an access made it, not speculation. */
  filled(mmu: Mmu, vpn: Vpn, access: number, exact: Walk | null): void {
    this.#ways.made(mmu, vpn, exact);
    if (!this.#speculating) this.#compare(mmu, vpn, access);
    if (this.#recent.length < REMEMBERED) this.#recent.push(vpn);
    else this.#recent[this.#random.below(REMEMBERED)] = vpn;
    if (this.#busy || !this.#random.chance(this.#speculation)) return;
    const speculating = this.#speculating;
    this.#busy = true;
    const { pfn, flags } = mmu.tlb;
    this.speculate(2);
    mmu.tlb.pfn = pfn;
    mmu.tlb.flags = flags;
    this.#speculating = speculating;
    this.#busy = false;
  }

  /** Compares a translation that the TLB gave with what the tables give. */
  hit(mmu: Mmu, vpn: Vpn, access: number): void {
    this.#compare(mmu, vpn, access);
  }

  #compare(mmu: Mmu, vpn: Vpn, access: number): void {
    const { pfn, flags } = mmu.tlb;
    const code = this.#walkNow(mmu, vpn, access);
    const current = code === TRANSLATED ? this.#walk.pfn : -1;
    const write = (access & ACCESS_KIND) === ACCESS_WRITE;
    const lostDirty = write && current === pfn && (flags & FLAG_DIRTY) !== 0 && (this.#walk.low & 0x40) === 0;
    if (current === pfn && !lostDirty) return;
    const report: StaleUse = {
      cpu: this.#cpu.id,
      pcid: mmu.asid,
      global: (flags & FLAG_GLOBAL) !== 0,
      level: leafLevelOf(flags),
      page: vpn * FRAME_BYTES,
      access: ACCESS_NAMES[access & ACCESS_KIND] ?? "read",
      wrong: lostDirty ? "dirty" : current < 0 ? "rights" : "frame",
      stale: pfn,
      current,
      change: this.#ways.changeOf(mmu, vpn, lostDirty),
      flushed: false,
    };
    this.reports.push(report);
    if (this.#throws) throw new MachineError("stale-translation", sentence(report), { ...report });
  }

  /** Remembers an entry that a walk read: what is cached of it is used later without being read again. */
  entryRead(mmu: Mmu, table: Pfn, offset: number, vpn: Vpn, level: number): void {
    this.#ways.read(mmu, vpn, level, table, offset);
  }

  /** Marks earlier reports of translations that an invalidation drops as flushed. */
  invalidated(_mmu: Mmu, vpn: Vpn, asid: number, globals: boolean): void {
    for (const report of this.reports) {
      const { global, level, page, pcid } = report;
      const isOfPage = Number.isNaN(vpn) || pageAt(page / FRAME_BYTES, level) === pageAt(vpn, level);
      if (isOfPage && (global ? globals : asid < 0 || asid === pcid)) report.flushed = true;
    }
    this.#ways.invalidated(vpn, asid, globals);
  }
}

function sentence(report: StaleUse): string {
  const { change } = report;
  const now = report.current < 0 ? "no longer allow it" : `give frame 0x${report.current.toString(16)}`;
  const cause =
    change === null
      ? "no entry on its way differs"
      : `the level-${change.level} entry at ${formatAddress(change.address)} was changed from 0x${change.before.toString(16)} to 0x${change.after.toString(16)} and not flushed`;
  return `CPU ${report.cpu}: ${report.access} of page ${formatAddress(report.page)} used a stale translation to frame 0x${report.stale.toString(16)}; the tables ${report.wrong === "dirty" ? "have no dirty bit" : now}; ${cause}`;
}
