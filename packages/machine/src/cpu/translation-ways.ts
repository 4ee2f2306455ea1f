/**
 * The entries from which one CPU has made its translations, as they read then: what an adversary names changes by.
 *
 *   above[PCID][level:page]   entries from the root down to one of that level, as the last walk that read it came to it
 *   made[PCID][level:page]    ways of the translations that may be in the TLB; global ones under {@link GLOBAL}
 *
 * A walk that starts at a cached paging-structure entry reads nothing above it. What stands above is what the walk that cached the entry
 * had come by, and every entry that is cached is read first: so `above` has it, however the tables look by now.
 */
import { ACCESS_FETCH, ACCESS_READ, ACCESS_USER, TRANSLATED, Walk, walkExact } from "@pagewright/x86-paging";
import { FRAME_BYTES } from "../units.ts";
import type { Pfn, PhysAddr, Vpn } from "../units.ts";
import type { Mmu } from "./mmu.ts";
import { FLAG_DIRTY, FLAG_GLOBAL, FLAG_LEVEL_SHIFT } from "./tlb-array.ts";

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

/** An entry as it read. */
interface Entry {
  readonly level: number;
  readonly address: PhysAddr;
  readonly low: number;
  readonly high: number;
}

/** The entries of one translation, from the root down. */
interface Way {
  /** First 4K frame of the page. */
  readonly frame: Pfn;
  readonly entries: readonly Entry[];
}

/** The ways that are remembered, as plain data. */
export interface TranslationWaysState {
  /** By PCID, level and page: the entries down to an upper entry. */
  readonly above: ReadonlyMap<number, ReadonlyMap<string, readonly Entry[]>>;
  /** By PCID (−1: global), level and page: ways of translations. */
  readonly made: ReadonlyMap<number, ReadonlyMap<string, readonly Way[]>>;
}

/** Where ways of global translations are, which every PCID uses. */
const GLOBAL = -1;
/** Ways kept of one page: data and instructions, and pieces of a large page, may have been taken in at different times. */
const WAYS = 4;
/** Accesses of which one succeeds wherever a page may be used at all. */
const SEEDING: readonly number[] = [ACCESS_READ, ACCESS_READ + ACCESS_USER, ACCESS_FETCH, ACCESS_FETCH + ACCESS_USER];
const ACCESSED = 0x20;
const DIRTY = 0x40;

/** The level of the leaf that a translation with these FLAG_ bits was made from: 1, 2 or 3. */
export function leafLevelOf(flags: number): number {
  return Math.floor(flags / 2 ** FLAG_LEVEL_SHIFT) % 4;
}

/** The number of the page of a leaf of `level` that holds the 4K page `vpn`, in units of such pages. */
export function pageAt(vpn: Vpn, level: number): number {
  return Math.floor(vpn / 512 ** (level - 1));
}

/** Remembers the entries behind the translations of one CPU; see the top of this file. */
export class TranslationWays {
  readonly #above = new Map<number, Map<string, readonly Entry[]>>();
  readonly #made = new Map<number, Map<string, readonly Way[]>>();
  /** The entries that the walk under way has come by. */
  #walked: readonly Entry[] = [];

  /** Notes that a walk for `vpn` reads the entry of `level` at byte `offset` of `table`. */
  read(mmu: Mmu, vpn: Vpn, level: number, table: Pfn, offset: number): void {
    const { asid, memory, state } = mmu;
    const address = table * FRAME_BYTES + offset;
    const isRoot = level === state.mode.depth;
    const before = isRoot ? [] : (this.#above.get(asid)?.get(nameOf(vpn, level + 1)) ?? []);
    const low = (memory.read(address, 4) | ACCESSED) >>> 0;
    this.#walked = [...before, { level, address, low, high: memory.read(address + 4, 4) }];
    if (level > 1) mapIn(this.#above, asid).set(nameOf(vpn, level), this.#walked);
  }

  /**
   * Notes that the translation of `vpn` that the MMU holds out was taken in: from the entries read last, or, where `exact` is given, from
   * those of that walk.
   */
  made(mmu: Mmu, vpn: Vpn, exact: Walk | null): void {
    const { flags, pfn } = mmu.tlb;
    const level = leafLevelOf(flags);
    const walked = exact === null ? this.#walked : entriesOf(mmu, exact);
    const dirty = (flags & FLAG_DIRTY) === 0 ? 0 : DIRTY;
    const entries = walked.map((entry, at) =>
      at === walked.length - 1 ? { ...entry, low: (entry.low | dirty) >>> 0 } : entry,
    );
    const way: Way = { frame: pfn - (vpn - pageAt(vpn, level) * 512 ** (level - 1)), entries };
    const ways = mapIn(this.#made, scopeOf(mmu));
    const others = (ways.get(nameOf(vpn, level)) ?? []).filter((other) => !isSame(other, way));
    ways.set(nameOf(vpn, level), [way, ...others.slice(0, WAYS - 1)]);
  }

  /**
   * Takes over what `mmu` held before anybody watched: each translation and cached upper entry, of the PCID in force or global, that the
   * tables give as they are now, with the entries that give it. Of others nobody knows from what they were made.
   */
  seed(mmu: Mmu): void {
    const { tlb, structures } = mmu;
    const { pfn, flags } = tlb;
    const walk = new Walk();
    tlb.forEach((first, _pages, frame, asid, held) => {
      if (asid !== mmu.asid && (held & FLAG_GLOBAL) === 0) return;
      if (!SEEDING.some((access) => isGiven(mmu, first, access, walk)) || walk.pfn !== frame) return;
      tlb.pfn = frame;
      tlb.flags = held;
      this.made(mmu, first, walk);
    });
    tlb.pfn = pfn;
    tlb.flags = flags;
    structures.forEach((level, vpn, asid, table) => {
      if (asid === mmu.asid) this.#seedAbove(mmu, level, vpn, table);
    });
  }

  /** Takes over a cached entry of `level` on the way to `vpn` that refers to `table`, where the tables have it now. */
  #seedAbove(mmu: Mmu, level: number, vpn: Vpn, table: Pfn): void {
    const { memory, state } = mmu;
    const entries: Entry[] = [];
    let at = state.root;
    for (let upper = state.mode.depth; upper >= level; upper--) {
      const address = at * FRAME_BYTES + (pageAt(vpn, upper) & 511) * 8;
      const low = memory.read(address, 4);
      const high = memory.read(address + 4, 4);
      if ((low & 1) === 0) return;
      entries.push({ level: upper, address, low: (low | ACCESSED) >>> 0, high });
      at = (high & 0xfffff) * 2 ** 20 + Math.floor(low / FRAME_BYTES);
    }
    if (at === table) mapIn(this.#above, mmu.asid).set(nameOf(vpn, level), entries);
  }

  /**
   * The first entry on the way of the translation of `vpn` that the MMU holds out which is not what it was, null where none differs.
   * A and D may change without a flush; with `dirty` D may not.
   */
  changeOf(mmu: Mmu, vpn: Vpn, dirty: boolean): EntryChange | null {
    const { flags, pfn } = mmu.tlb;
    const level = leafLevelOf(flags);
    const frame = pfn - (vpn - pageAt(vpn, level) * 512 ** (level - 1));
    const compared = dirty ? ~ACCESSED : ~(ACCESSED | DIRTY);
    const wide = mmu.state.mode.entryWords === 2;
    for (const way of this.#made.get(scopeOf(mmu))?.get(nameOf(vpn, level)) ?? []) {
      if (way.frame !== frame) continue;
      for (const { level: at, address, low, high } of way.entries) {
        const nowLow = mmu.memory.read(address, 4);
        const nowHigh = wide ? mmu.memory.read(address + 4, 4) : 0;
        if (((nowLow ^ low) & compared) === 0 && nowHigh === high) continue;
        return { level: at, address, before: wordOf(low, high), after: wordOf(nowLow, nowHigh) };
      }
    }
    return null;
  }

  /** Forgets what an invalidation leaves in no TLB: of page `vpn` (NaN: of all) and PCID `asid` (−1: of all), global ones with `globals`. */
  invalidated(vpn: Vpn, asid: number, globals: boolean): void {
    for (const [scope, ways] of this.#made) {
      if (scope === GLOBAL ? !globals : asid >= 0 && scope !== asid) continue;
      if (Number.isNaN(vpn)) this.#made.delete(scope);
      else for (let level = 1; level <= 3; level++) ways.delete(nameOf(vpn, level));
    }
    if (!Number.isNaN(vpn)) return;
    if (asid < 0) this.#above.clear();
    else this.#above.delete(asid);
  }

  /** Returns a copy of everything it remembers. */
  save(): TranslationWaysState {
    return { above: copyOf(this.#above), made: copyOf(this.#made) };
  }

  /** Puts saved contents back. */
  restore({ above, made }: TranslationWaysState): void {
    this.#above.clear();
    this.#made.clear();
    for (const [asid, ways] of above) this.#above.set(asid, new Map(ways));
    for (const [scope, ways] of made) this.#made.set(scope, new Map(ways));
  }
}

/** Whether the tables give a translation of `vpn` for `access`, which is in `walk` then. */
function isGiven(mmu: Mmu, vpn: Vpn, access: number, walk: Walk): boolean {
  const low = (vpn & 0xfffff) * FRAME_BYTES;
  return walkExact(mmu.state, mmu.memory, low, Math.floor(vpn / 2 ** 20) >>> 0, access, walk) === TRANSLATED;
}

function nameOf(vpn: Vpn, level: number): string {
  return `${level}:${pageAt(vpn, level)}`;
}

function scopeOf(mmu: Mmu): number {
  return (mmu.tlb.flags & FLAG_GLOBAL) === 0 ? mmu.asid : GLOBAL;
}

function mapIn<Value>(maps: Map<number, Map<string, Value>>, key: number): Map<string, Value> {
  let map = maps.get(key);
  if (map === undefined) maps.set(key, (map = new Map<string, Value>()));
  return map;
}

function copyOf<Value>(maps: ReadonlyMap<number, ReadonlyMap<string, Value>>): Map<number, Map<string, Value>> {
  return new Map(Array.from(maps, ([key, map]) => [key, new Map(map)]));
}

/** The entries that an exact walk read in memory; those held in registers do not change with it. */
function entriesOf(mmu: Mmu, walk: Walk): readonly Entry[] {
  const { depth, entryWords, levels } = mmu.state.mode;
  const entries: Entry[] = [];
  for (let level = depth; level >= Math.max(walk.level, 1); level--) {
    if (levels[level]?.inRegisters === true) continue;
    const address = walk.tables[level]! * FRAME_BYTES + walk.indices[level]! * entryWords * 4;
    entries.push({ level, address, low: (walk.lows[level]! | ACCESSED) >>> 0, high: walk.highs[level]! });
  }
  return entries;
}

function isSame(one: Way, other: Way): boolean {
  return (
    one.frame === other.frame
    && one.entries.length === other.entries.length
    && one.entries.every(({ address, low, high }, at) => {
      const entry = other.entries[at];
      const differing = entry === undefined ? -1 : (entry.low ^ low) & ~(ACCESSED | DIRTY);
      return differing === 0 && entry?.address === address && entry.high === high;
    })
  );
}

function wordOf(low: number, high: number): bigint {
  return BigInt(high) * 2n ** 32n + BigInt(low);
}
