/**
 * Charges one CPU for what it does: translations, page-table reads, cache hits and misses, distances between nodes. While a
 * meter is attached every access takes the CPU's slow path, so that every one is seen.
 */
import type { Cpu } from "../cpu/cpu.ts";
import type { Mmu } from "../cpu/mmu.ts";
import type { MmuObserver } from "../cpu/mmu-ports.ts";
import { transferSize } from "../cpu/slow-path.ts";
import { FOUND_SECOND } from "../cpu/tlb.ts";
import { LINE_BYTES } from "../devices/write-combining.ts";
import type { PhysicalMap } from "../map/physical-map.ts";
import { isMemory } from "../map/region.ts";
import type { RankedMemory } from "../power/ranked-memory.ts";
import { FRAME_BYTES } from "../units.ts";
import type { Pfn, PhysAddr } from "../units.ts";
import type { VirtualClock } from "./clock.ts";
import type { Costs, Distances } from "./costs.ts";
import type { LastLevelCache } from "./last-level-cache.ts";
import type { Snapshotted } from "./snapshotted.ts";

/** What a meter needs to know. */
export interface CostMeterOptions {
  /** Costs in ns. */
  readonly costs: Costs;
  /** The node of this CPU. */
  readonly node: number;
  /** Distances between nodes; without them every node is as near. */
  readonly distances: Distances | null;
  /** The cache in front of memory, shared between CPUs; null: every access goes to memory. */
  readonly cache: LastLevelCache | null;
  /** The ranks behind the cache, told of every access to memory; null: nobody counts energy. */
  readonly ranks: RankedMemory | null;
}

/** Figures of a meter. */
export interface CostStats {
  /** Virtual time charged, in ns. */
  readonly nanoseconds: number;
  /** Accesses to memory of the own node. */
  readonly localAccesses: number;
  /** Accesses to memory of other nodes. */
  readonly remoteAccesses: number;
  /** Accesses that the cache answered. */
  readonly cachedAccesses: number;
  /** Accesses to devices and holes. */
  readonly uncachedAccesses: number;
}

/** Charges one CPU in virtual time for translations, page-table reads, cache hits and misses, and distances between nodes; see {@link Costs}. */
export class CostMeter implements MmuObserver, Snapshotted<CostStats> {
  readonly #cpu: Cpu;
  readonly #map: PhysicalMap;
  readonly #clock: VirtualClock;
  readonly #options: CostMeterOptions;
  #nanoseconds = 0;
  #local = 0;
  #remote = 0;
  #cached = 0;
  #uncached = 0;

  /** Attaches to `cpu`. */
  constructor(cpu: Cpu, map: PhysicalMap, clock: VirtualClock, options: CostMeterOptions) {
    this.#cpu = cpu;
    this.#map = map;
    this.#clock = clock;
    this.#options = options;
    cpu.mmu.observer = this;
    cpu.meter = this;
    cpu.shortcuts = false;
  }

  /** Lets the CPU go again. */
  detach(): void {
    this.#cpu.mmu.observer = null;
    this.#cpu.meter = null;
    this.#cpu.shortcuts = true;
  }

  /** Charges `ns`. */
  spend(ns: number): void {
    this.#nanoseconds += ns;
    this.#clock.spend(this.#cpu.id, ns);
  }

  /** Charges an access to the line at `address`. */
  access(address: PhysAddr): void {
    const { cache, costs } = this.#options;
    const region = this.#map.find(address);
    if (region === undefined || !isMemory(region.kind)) {
      this.#uncached++;
      this.spend(costs.uncached);
      return;
    }
    if (cache?.access(address) === true) {
      this.#cached++;
      this.spend(costs.cacheHit);
      return;
    }
    const { distances, node, ranks } = this.#options;
    const distance = distances?.[node]?.[Math.max(region.node, 0)] ?? 10;
    if (distance === 10) this.#local++;
    else this.#remote++;
    this.spend((costs.memory * distance) / 10 + (ranks === null ? 0 : ranks.access(address)));
  }

  /** Charges a bulk operation on the `count` bytes at `address`: each line of memory that it touches, each transfer of a device. */
  transfer(address: PhysAddr, count: number): void {
    const region = this.#map.find(address);
    const byLines = region !== undefined && isMemory(region.kind);
    const end = address + count;
    for (let at = address; at < end;) {
      this.access(at);
      at += byLines ? LINE_BYTES - (at & (LINE_BYTES - 1)) : transferSize(at & 3, end - at);
    }
  }

  /** Charges a page fault. */
  pageFault(): void {
    this.spend(this.#options.costs.pageFault);
  }

  /** Charges a second-level TLB hit; a first-level one is hidden behind the access itself. */
  hit(_mmu: Mmu, _vpn: number, _access: number, found: number): void {
    if (found === FOUND_SECOND) this.spend(this.#options.costs.secondTlb);
  }

  /** Charges a read of a paging-structure entry. */
  entryRead(_mmu: Mmu, table: Pfn, offset: number): void {
    this.access(table * FRAME_BYTES + offset);
  }

  /** Nothing beyond the reads. */
  filled(): void {
    // The entries read were charged one by one.
  }

  /** Charges an invalidation: of a page, or of more. */
  invalidated(_mmu: Mmu, vpn: number): void {
    const { costs } = this.#options;
    this.spend(Number.isNaN(vpn) ? costs.writeCr3 : costs.invlpg);
  }

  /** Snapshotted: the figures. */
  saveState(): CostStats {
    return this.stats();
  }

  /** Snapshotted: the figures. */
  restoreState(stats: CostStats): void {
    this.#nanoseconds = stats.nanoseconds;
    this.#local = stats.localAccesses;
    this.#remote = stats.remoteAccesses;
    this.#cached = stats.cachedAccesses;
    this.#uncached = stats.uncachedAccesses;
  }

  /** Returns the figures. */
  stats(): CostStats {
    return {
      nanoseconds: this.#nanoseconds,
      localAccesses: this.#local,
      remoteAccesses: this.#remote,
      cachedAccesses: this.#cached,
      uncachedAccesses: this.#uncached,
    };
  }
}
