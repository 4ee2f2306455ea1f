/**
 * The bytes behind the physical address map: RAM, ROM and persistent memory in host frames, devices through their
 * registers, holes as all ones. Addresses are PhysAddr; a frame costs host memory from its first touch on.
 *
 * Each frame has a code, computed from the map on first use and forgotten when the map changes:
 *
 *   code > 0           memory, writable; its first word is at index code − 1 of the host buffer
 *   code < 0, > DEVICE read-only memory; its first word is at index −code − 1
 *   WATCHED            memory, but every access passes through a watch
 *   DEVICE             one device answers the whole frame
 *   MIXED              regions meet within the frame: every byte is looked up
 *   HOLE               nobody answers
 *   0                  not known yet
 */
import { MachineError } from "../errors.ts";
import type { PhysicalMap } from "../map/physical-map.ts";
import { isMemory } from "../map/region.ts";
import type { Region } from "../map/region.ts";
import { alignUp, FRAME_BYTES, FRAME_WORDS, pfnOf, PHYSICAL_LIMIT } from "../units.ts";
import type { Pfn, PhysAddr } from "../units.ts";
import { DEFAULT_HOST_BYTES, HostFrames } from "./host-frames.ts";
import type { FrameStore, FrameWatch, MemoryCounts, MemoryOptions } from "./memory-ports.ts";
import { SparseTable } from "./sparse-table.ts";

/** A frame whose accesses pass through a watch. */
export const WATCHED: number = -0x7ffffffc;
/** A frame that one device answers. */
export const DEVICE: number = -0x7ffffffd;
/** A frame in which regions meet. */
export const MIXED: number = -0x7ffffffe;
const HOLE = -0x7fffffff;
/** Codes of this value or below are no memory. */
export const LAST_SPECIAL: number = WATCHED;

const ONES = new Uint32Array(FRAME_WORDS);

/** Frames whose codes are at hand, a power of two: saves the look-up in the sparse table. */
const RECENT = 4096;
/** The frame number that stands where none is at hand, and the place that it would have. */
const NONE = -1;
const PLACE_OF_NONE = 0;

/** Where the code of a frame is at hand: neighbours in a row, multiples of RECENT apart. */
function recentPlace(key: number): number {
  return ((key ^ (key >>> 8)) & (RECENT - 1)) * 2;
}

/** The frames of physical memory: which there are, where their bytes are kept, what becomes of them. */
export class MemoryFrames {
  /** The map that decides who answers. */
  declare readonly map: PhysicalMap;
  /** The host's side. */
  declare readonly host: HostFrames;
  private readonly codes = new SparseTable();
  /** A frame number and its code, at a place that the frame number gives. Where none is at hand, it is frame −1, which is a hole. */
  private readonly recent: Int32Array = new Int32Array(2 * RECENT);
  /** The same for the frames of page tables, which walks ask for: so pages do not drive out the tables that lead to them. */
  private readonly recentTables: Int32Array = new Int32Array(2 * RECENT);
  private readonly slots = new SparseTable();
  readonly #store: FrameStore | null;
  /** Non-volatile frames as the store had them when they were first touched. */
  readonly #loaded = new Map<Pfn, Uint8Array>();
  readonly #listeners = new Set<() => void>();
  protected readonly watches: Map<Pfn, FrameWatch> = new Map<Pfn, FrameWatch>();
  protected readonly counts: MemoryCounts = {
    holeReads: 0,
    holeWrites: 0,
    romWrites: 0,
    deviceReads: 0,
    deviceWrites: 0,
  };

  /** Creates memory over `map`; touches nothing. */
  constructor(map: PhysicalMap, options: MemoryOptions = {}) {
    this.map = map;
    const needed = map.regions().reduce((sum, one) => (isMemory(one.kind) ? sum + one.end - one.start : sum), 0);
    const bytes = options.hostBytes ?? Math.min(needed + FRAME_BYTES, DEFAULT_HOST_BYTES);
    this.host = new HostFrames(alignUp(bytes, FRAME_BYTES), options.shared ?? false);
    this.#store = options.nonVolatile ?? null;
    this.forgetCodes();
    map.onChange(() => {
      this.forgetCodes();
      this.announce();
    });
  }

  /** Calls `listener` whenever host places may have moved (map change, compaction), until the returned function is called. */
  onMove(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  private announce(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Returns the frame's code (see the top of this file), resolving it on first use. */
  protected code(pfn: Pfn): number {
    const at = recentPlace(pfn);
    return this.recent[at]! === pfn ? this.recent[at + 1]! : this.lookUp(pfn, this.recent, at);
  }

  private lookUp(pfn: Pfn, recent: Int32Array, at: number): number {
    const known = this.codes.get(pfn);
    const code = known === 0 ? this.resolve(pfn) : known;
    if (pfn >= 0 && pfn < 2 ** 31) {
      recent[at] = pfn;
      recent[at + 1] = code;
    }
    return code;
  }

  private forgetCodes(): void {
    this.codes.clear();
    for (const recent of [this.recent, this.recentTables]) {
      recent.fill(NONE);
      recent[PLACE_OF_NONE + 1] = HOLE;
    }
  }

  private resolve(pfn: Pfn): number {
    const start = pfn * FRAME_BYTES;
    if (pfn < 0 || start >= PHYSICAL_LIMIT || !Number.isSafeInteger(pfn)) return HOLE;
    const first = this.map.find(start);
    const whole = first !== undefined && first.end >= start + FRAME_BYTES;
    let code = HOLE;
    if (whole) code = this.codeOf(first, pfn);
    else if (this.map.overlapping(start, start + FRAME_BYTES).length > 0) code = this.mixedCode(pfn);
    this.codes.set(pfn, code);
    return code;
  }

  /** A frame in which regions meet is plain memory when all of it is writable memory kept at its own address. */
  private mixedCode(pfn: Pfn): number {
    const start = pfn * FRAME_BYTES;
    const parts = this.map.overlapping(start, start + FRAME_BYTES);
    let at = start;
    for (const part of parts) {
      const plain = isMemory(part.kind) && part.kind !== "rom" && part.backing === part.start;
      if (!plain || part.start > at || part.nonVolatile) return MIXED;
      at = part.end;
    }
    return at >= start + FRAME_BYTES ? this.slotOf(pfn, false) * FRAME_WORDS + 1 : MIXED;
  }

  private codeOf(region: Region, pfn: Pfn): number {
    if (region.kind === "mmio") return region.device === null ? HOLE : DEVICE;
    if (region.kind === "absent") return HOLE;
    const backing = pfn * FRAME_BYTES - region.start + region.backing;
    if (backing % FRAME_BYTES !== 0) return MIXED;
    const slot = this.slotOf(backing / FRAME_BYTES, region.nonVolatile);
    if (this.watches.has(pfn)) return WATCHED;
    const place = slot * FRAME_WORDS + 1;
    return region.kind === "rom" ? -place : place;
  }

  protected slotOf(backing: Pfn, nonVolatile: boolean): number {
    const known = this.slots.get(backing);
    if (known !== 0) return known - 1;
    const slot = this.host.take();
    this.slots.set(backing, slot + 1);
    if (nonVolatile && this.#store !== null) this.load(backing, this.bytesOf(slot), this.#store);
    return slot;
  }

  private load(pfn: Pfn, into: Uint8Array, store: FrameStore): void {
    store.load(pfn, into);
    if (!this.#loaded.has(pfn)) this.#loaded.set(pfn, into.slice());
  }

  private bytesOf(slot: number): Uint8Array {
    return this.host.bytes.subarray(slot * FRAME_BYTES, (slot + 1) * FRAME_BYTES);
  }

  /**
   * Returns the index of the frame's first word in `host.words`, plus 1: positive where loads and stores may go there,
   * negative where only loads may, 0 where no plain memory answers.
   */
  place(pfn: Pfn): number {
    // What `code` does, written out: small enough to become part of its callers.
    const at = recentPlace(pfn);
    const code = this.recent[at]! === pfn ? this.recent[at + 1]! : this.lookUp(pfn, this.recent, at);
    return code > -0x7ffffffc ? code : 0;
  }

  /** {@link place} of a frame that holds a page table: for walks. */
  placeOfTable(pfn: Pfn): number {
    const at = recentPlace(pfn);
    const code = this.recentTables[at]! === pfn ? this.recentTables[at + 1]! : this.lookUp(pfn, this.recentTables, at);
    return code > -0x7ffffffc ? code : 0;
  }

  /** Returns the index of the frame's first word in `host.words` when loads may go there, else −1. */
  readableBase(pfn: Pfn): number {
    const code = this.code(pfn);
    if (code <= LAST_SPECIAL) return -1;
    return Math.abs(code) - 1;
  }

  /** Returns the index of the frame's first word in `host.words` when stores may go there, else −1. */
  writableBase(pfn: Pfn): number {
    const code = this.code(pfn);
    return code > 0 ? code - 1 : -1;
  }

  /** `TableMemory`: the array that holds the frame's 1024 words; a fresh array of ones where no memory answers. */
  words(pfn: Pfn): Uint32Array {
    return this.code(pfn) >= LAST_SPECIAL ? this.host.words : ONES.fill(0xffffffff);
  }

  /** `TableMemory`: the index of the frame's first word in that array. */
  base(pfn: Pfn): number {
    const code = this.code(pfn);
    if (code === WATCHED) return (this.slots.get(pfn) - 1) * FRAME_WORDS;
    return code > LAST_SPECIAL ? Math.abs(code) - 1 : 0;
  }

  /** Lets `watch` see every access to a frame of memory kept at its own address; one watch per frame, the last one. */
  watch(pfn: Pfn, watch: FrameWatch): void {
    this.watches.set(pfn, watch);
    this.forgetCodes();
    this.announce();
  }

  /** Ends a watch. */
  unwatch(pfn: Pfn): void {
    if (!this.watches.delete(pfn)) return;
    this.forgetCodes();
    this.announce();
  }

  /** Returns `size` (1, 2 or 4) bytes as they are kept, whatever a watch would make of them. */
  readStored(address: PhysAddr, size: number): number {
    const at = this.base(pfnOf(address)) * 4 + (address & 0xfff);
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + this.host.bytes[at + i]!;
    return value;
  }

  protected writeStored(address: PhysAddr, size: number, value: number): void {
    const at = this.base(pfnOf(address)) * 4 + (address & 0xfff);
    for (let i = 0; i < size; i++) this.host.bytes[at + i] = Math.floor(value / 2 ** (8 * i)) & 0xff;
  }

  /**
   * Has the host find memory for the next `frames` frames that will be touched, wherever they lie, so that the first touch of each costs what it
   * costs where RAM is there from the start. Returns for how many. For what is to be timed; nothing else changes.
   */
  commitAhead(frames: number): number {
    return this.host.commitAhead(frames);
  }

  /** Calls `visit` for each frame that has a host slot, with its backing frame number. */
  forEachTouched(visit: (pfn: Pfn, slot: number) => void): void {
    this.slots.forEach((pfn, value) => {
      visit(pfn, value - 1);
    });
  }

  /** Forgets the contents of one frame; see {@link PhysicalMemory.discardMany}. */
  discard(pfn: Pfn): void {
    this.discardMany([pfn]);
  }

  /**
   * Forgets the contents of frames: they read as zero again and their host slots are free for others. What a balloon or a
   * removed DIMM does. Nothing happens for frames that were never touched. Returns how many were.
   */
  discardMany(frames: Iterable<Pfn>): number {
    let count = 0;
    for (const pfn of frames) {
      const slot = this.slots.get(pfn);
      if (slot === 0) continue;
      this.host.give(slot - 1);
      this.slots.set(pfn, 0);
      count++;
    }
    if (count > 0) {
      this.forgetCodes();
      this.announce();
    }
    return count;
  }

  /** Returns a copy of the counts: for snapshots. */
  saveCounts(): MemoryCounts {
    return { ...this.counts };
  }

  /** Puts counts back. */
  restoreCounts(counts: MemoryCounts): void {
    Object.assign(this.counts, counts);
  }

  /** Makes frames as they were before they were touched: zero, or as the store had them at that time. For snapshots. */
  forget(frames: Iterable<Pfn>): void {
    const gone = [...frames];
    for (const pfn of gone) {
      const loaded = this.#loaded.get(pfn);
      if (loaded !== undefined) this.#store?.save(pfn, loaded);
    }
    this.discardMany(gone);
  }

  /** Puts the bytes of a frame back as they were kept, whatever the map says of it now: for snapshots. */
  restoreFrame(backing: Pfn, bytes: Uint8Array): void {
    this.bytesOf(this.slotOf(backing, false)).set(bytes);
  }

  /** Gives the host back everything but the frames in use, by moving them to a new buffer. Returns the bytes given back. */
  compact(): number {
    const before = this.host.committed;
    const slots: number[] = [];
    const owners: Pfn[] = [];
    this.forEachTouched((pfn, slot) => {
      slots.push(slot);
      owners.push(pfn);
    });
    this.host.compact(slots);
    owners.forEach((pfn, at) => {
      this.slots.set(pfn, at + 1);
    });
    this.forgetCodes();
    this.announce();
    return (before - this.host.committed) * FRAME_BYTES;
  }

  /** Saves non-volatile frames to the frame store, if there is one. Returns how many. */
  saveNonVolatile(): number {
    if (this.#store === null) return 0;
    let saved = 0;
    this.forEachNonVolatile((pfn, slot) => {
      this.#store?.save(pfn, this.bytesOf(slot));
      saved++;
    });
    return saved;
  }

  private forEachNonVolatile(visit: (pfn: Pfn, slot: number) => void): void {
    this.forEachTouched((pfn, slot) => {
      if (this.map.find(pfn * FRAME_BYTES)?.nonVolatile === true) visit(pfn, slot);
    });
  }

  /** Power goes and comes back: RAM is zero again, ROM and non-volatile memory keep their bytes. */
  powerCycle(): void {
    this.saveNonVolatile();
    const kept = new Set<Pfn>();
    this.forEachNonVolatile((pfn) => kept.add(pfn));
    const lost: Pfn[] = [];
    this.forEachTouched((pfn) => {
      if (!kept.has(pfn)) lost.push(pfn);
    });
    for (const pfn of lost) {
      this.host.give(this.slots.get(pfn) - 1);
      this.slots.set(pfn, 0);
    }
    this.forgetCodes();
    this.announce();
  }

  /** Throws `broken-invariant` unless every touched frame has a host slot of its own and none is lost. */
  check(): void {
    this.host.check();
    const seen = new Set<number>();
    this.forEachTouched((pfn, slot) => {
      if (seen.has(slot))
        throw new MachineError("broken-invariant", `Frame ${pfn} shares host slot ${slot}`, { pfn, slot });
      seen.add(slot);
    });
    if (seen.size !== this.host.inUse)
      throw new MachineError("broken-invariant", "Every host slot in use belongs to a frame", {
        inUse: this.host.inUse,
        owned: seen.size,
      });
  }
}
