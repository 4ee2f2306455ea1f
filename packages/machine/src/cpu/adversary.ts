/**
 * A CPU that is as unhelpful as the manual allows: it keeps translations as long as it may, takes in translations that nobody
 * asked for, and faults on stale rights at once. Every use of a translation that the tables no longer give is reported
 * with the access that went wrong and the entry that was changed without a flush.
 *
 * A use of a stale translation is a bug only if the operating system relied on the change; between the change of an entry and
 * the end of its shootdown it is allowed. So a report says whether an invalidation of the page came afterwards (`flushed`):
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
import type { Pfn, PhysAddr, VirtAddr, Vpn } from "../units.ts";
import type { Cpu } from "./cpu.ts";
import type { Mmu } from "./mmu.ts";
import type { MmuObserver } from "./mmu-ports.ts";
import { FLAG_DIRTY } from "./tlb-array.ts";
import type { TlbGeometry } from "./tlb-geometry.ts";

/** A TLB that forgets next to nothing by itself: what an adversary needs. */
export const ETERNAL_TLB: TlbGeometry = {
  name: "eternal",
  data: { "4K": { sets: 4096, ways: 16 }, "2M": { sets: 64, ways: 16 }, "1G": { sets: 4, ways: 16 } },
  code: { "4K": { sets: 1024, ways: 16 }, "2M": { sets: 64, ways: 16 } },
  second: { shared: null, "1G": null },
  structures: { pml4: 256, pdpt: 256, pd: 1024 },
  replacement: "oldest",
};

/** An entry that was changed while a translation made from it stayed in the TLB. */
export interface EntryChange {
  /** Level of the entry: 1 (page table) … 5. */
  readonly level: number;
  /** Its physical address. */
  readonly address: PhysAddr;
  /** Its value when the translation was made. */
  readonly before: bigint;
  /** Its value when the translation was used. */
  readonly after: bigint;
}

/** One use of a translation that the tables no longer give. */
export interface StaleUse {
  /** The CPU. */
  readonly cpu: number;
  /** First byte of the page. */
  readonly page: VirtAddr;
  /** What was attempted. */
  readonly access: "read" | "write" | "fetch";
  /** What is wrong: another frame, an access that is no longer allowed, or a dirty bit that is not set. */
  readonly wrong: "frame" | "rights" | "dirty";
  /** The frame that the TLB gave. */
  readonly stale: Pfn;
  /** The frame that the tables give, −1 when they give none. */
  readonly current: Pfn;
  /** The entry that was changed and not flushed; null when no entry on the old way differs. */
  readonly change: EntryChange | null;
  /** Whether the page was invalidated on this CPU afterwards. */
  flushed: boolean;
}

/** What an adversary does. */
export interface AdversaryOptions {
  /** `throw`: `stale-translation` at the first stale use; `collect`: keep reports. Default `throw`. */
  readonly onStale?: "throw" | "collect";
  /** Chance of taking in another page's translation after each walk, 0 … 1. Default 0.25. */
  readonly speculation?: number;
}

interface Path {
  readonly levels: readonly { level: number; address: PhysAddr; low: number; high: number }[];
}

/** What an adversary knows, as plain data. */
export interface AdversaryState {
  /** Stale uses so far. */
  readonly reports: readonly StaleUse[];
  /** By PCID and page: the entries from which the translation was made. */
  readonly paths: ReadonlyMap<string, Path>;
  /** Pages used lately. */
  readonly recent: readonly Vpn[];
}

const REMEMBERED = 64;
/** A and D may change without a flush. */
const IGNORED = 0x60;

const ACCESS_NAMES = ["read", "write", "fetch"] as const;

/** Watches one CPU; see the top of this file. */
export class Adversary implements MmuObserver, Snapshotted<AdversaryState> {
  /** Stale uses so far. */
  readonly reports: StaleUse[] = [];
  readonly #cpu: Cpu;
  readonly #random: SeededRandom;
  readonly #throws: boolean;
  readonly #speculation: number;
  readonly #paths = new Map<string, Path>();
  readonly #recent: Vpn[] = [];
  readonly #walk = new Walk();
  #busy = false;

  /** Attaches to `cpu`, whose short way is closed from now on. */
  constructor(cpu: Cpu, random: SeededRandom, options: AdversaryOptions = {}) {
    this.#cpu = cpu;
    this.#random = random;
    this.#throws = (options.onStale ?? "throw") === "throw";
    this.#speculation = options.speculation ?? 0.25;
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
      paths: new Map(this.#paths),
      recent: [...this.#recent],
    };
  }

  /** Snapshotted: reports, and what it remembered of translations. */
  restoreState({ reports, paths, recent }: AdversaryState): void {
    this.reports.splice(0, this.reports.length, ...reports.map((report) => ({ ...report })));
    this.#paths.clear();
    for (const [key, path] of paths) this.#paths.set(key, path);
    this.#recent.splice(0, this.#recent.length, ...recent);
  }

  /** Returns the stale uses whose page was never invalidated on this CPU afterwards: forgotten flushes. */
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
      if (this.#cpu.mmu.prefetch(vpn, access)) done++;
    }
    return done;
  }

  #key(mmu: Mmu, vpn: Vpn): string {
    return `${mmu.asid}:${vpn}`;
  }

  #walkNow(mmu: Mmu, vpn: Vpn, access: number): number {
    const low = (vpn & 0xfffff) * FRAME_BYTES;
    return walkExact(mmu.state, mmu.memory, low, Math.floor(vpn / 2 ** 20) >>> 0, access, this.#walk);
  }

  /** Remembers the entries from which a translation was made. */
  filled(mmu: Mmu, vpn: Vpn, access: number): void {
    const walk = this.#walk;
    this.#walkNow(mmu, vpn, access);
    const levels: Path["levels"][number][] = [];
    for (let level = mmu.state.mode.depth; level >= Math.max(walk.level, 1); level--)
      levels.push({
        level,
        address: walk.tables[level]! * FRAME_BYTES + walk.indices[level]! * 8,
        low: walk.lows[level]!,
        high: walk.highs[level]!,
      });
    this.#paths.set(this.#key(mmu, vpn), { levels });
    if (this.#recent.length < REMEMBERED) this.#recent.push(vpn);
    else this.#recent[this.#random.below(REMEMBERED)] = vpn;
    if (this.#busy || !this.#random.chance(this.#speculation)) return;
    this.#busy = true;
    const { pfn, flags } = mmu.tlb;
    this.speculate(2);
    mmu.tlb.pfn = pfn;
    mmu.tlb.flags = flags;
    this.#busy = false;
  }

  /** Compares a translation that the TLB gave with what the tables give. */
  hit(mmu: Mmu, vpn: Vpn, access: number): void {
    const { pfn, flags } = mmu.tlb;
    const code = this.#walkNow(mmu, vpn, access);
    const current = code === TRANSLATED ? this.#walk.pfn : -1;
    const write = (access & ACCESS_KIND) === ACCESS_WRITE;
    const lostDirty = write && current === pfn && (flags & FLAG_DIRTY) !== 0 && (this.#walk.low & 0x40) === 0;
    if (current === pfn && !lostDirty) return;
    const report: StaleUse = {
      cpu: this.#cpu.id,
      page: vpn * FRAME_BYTES,
      access: ACCESS_NAMES[access & ACCESS_KIND] ?? "read",
      wrong: lostDirty ? "dirty" : current < 0 ? "rights" : "frame",
      stale: pfn,
      current,
      change: this.#changeOf(mmu, vpn, lostDirty),
      flushed: false,
    };
    this.reports.push(report);
    if (this.#throws) throw new MachineError("stale-translation", sentence(report), { ...report });
  }

  /** The first entry on the way of the old translation that is not what it was. */
  #changeOf(mmu: Mmu, vpn: Vpn, dirty: boolean): EntryChange | null {
    const path = this.#paths.get(this.#key(mmu, vpn));
    for (const { level, address, low, high } of path?.levels ?? []) {
      const nowLow = mmu.memory.read(address, 4);
      const nowHigh = mmu.memory.read(address + 4, 4);
      const same = ((nowLow ^ low) & (dirty ? ~0x20 : ~IGNORED)) === 0 && nowHigh === high;
      if (!same) return { level, address, before: wordOf(low, high), after: wordOf(nowLow, nowHigh) };
    }
    return null;
  }

  /** Nothing to note: reads of entries are right by definition. */
  entryRead(): void {
    // A walk reads memory as it is.
  }

  /** Marks earlier reports of the page as flushed. */
  invalidated(mmu: Mmu, vpn: Vpn): void {
    for (const report of this.reports)
      if (Number.isNaN(vpn) || report.page === vpn * FRAME_BYTES) report.flushed = true;
    if (Number.isNaN(vpn)) this.#paths.clear();
    else this.#paths.delete(this.#key(mmu, vpn));
  }
}

function wordOf(low: number, high: number): bigint {
  return BigInt(high) * 2n ** 32n + BigInt(low);
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
