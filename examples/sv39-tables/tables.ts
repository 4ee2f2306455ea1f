/**
 * The translations of an address space in RISC-V Sv39 format: three levels of 512 entries, in frames of the frame source, reached through
 * the frame window. It takes the place of the x86-64 tables; nothing above it changes.
 *
 * ```
 *  page number  26 ……… 18  17 ……… 9  8 ……… 0        signed, −2^26 … 2^26 − 1
 *               level 2     level 1    level 0
 *               root ──────► table ───► table ───► frame
 * ```
 */
import {
  ACCESSED,
  DIRTY,
  NO_FRAME,
  PRESENT,
  type AddressLayout,
  type EntrySink,
  type FlushSink,
  type FrameSource,
  type FrameWindow,
  type Pfn,
  type TranslationSystem,
  type TranslationTables,
  type Vpn,
} from "@pagewright/vmm";

import { A, D, frameOf, isPointer, leafWords, pointerWords, stateOf, type EntryWords } from "./entry.ts";

/** Entries of a table. */
const ENTRIES = 512;
/** Bytes of an entry. */
const ENTRY_BYTES = 8;
/** Level of the root. */
const ROOT_LEVEL = 2;
/** Pages of the lower half. */
export const SV39_USER_PAGES: number = 2 ** 26;

/** Pages that one entry of a level stands for. */
const PAGES_PER_ENTRY: readonly [number, number, number] = [1, ENTRIES, ENTRIES * ENTRIES];

type Level = 0 | 1 | 2;
type Visit = (table: Pfn, at: number, vpn: Vpn, entry: EntryWords) => void;

/** Sv39 tables of one space. */
export class Sv39Tables implements TranslationTables {
  /** Frame of the root table: what `satp` is given. */
  readonly root: Pfn;
  /** See `TranslationTables.frame`. */
  frame: Pfn = NO_FRAME;
  readonly #frames: FrameSource;
  readonly #window: FrameWindow;
  readonly #bytes: Uint8Array = new Uint8Array(ENTRY_BYTES);
  readonly #words: DataView = new DataView(this.#bytes.buffer);

  /** Tables whose root is the zeroed frame `root`. */
  constructor(root: Pfn, frames: FrameSource, window: FrameWindow) {
    this.root = root;
    this.#frames = frames;
    this.#window = window;
  }

  /** See `TranslationTables.map`. Throws `RangeError` beyond ±2^38 bytes. */
  map(vpn: Vpn, pfn: Pfn, attributes: number, plan: FlushSink): boolean {
    requireRange(vpn, vpn + 1);
    const top = this.#tableUnder(this.root, 2, vpn);
    if (top === NO_FRAME) return false;
    const table = this.#tableUnder(top, 1, vpn);
    if (table === NO_FRAME) {
      this.#pruneEmpty(vpn, plan);
      return false;
    }
    const at = indexOf(vpn, 0);
    if (stateOf(this.#read(table, at)) !== 0) plan.invalidate(vpn);
    this.#write(table, at, leafWords(pfn, attributes));
    return true;
  }

  /** See `TranslationTables.unmap`. Tables that become empty go to the plan. */
  unmap(start: Vpn, end: Vpn, plan: FlushSink, sink: EntrySink | null): void {
    requireRange(start, end);
    const visit: Visit = (table, at, vpn, entry) => {
      this.#write(table, at, { low: 0, high: 0 });
      plan.invalidate(vpn);
      sink?.entry(vpn, frameOf(entry), stateOf(entry));
    };
    this.#visit(this.root, ROOT_LEVEL, start, end, visit, plan);
  }

  /** See `TranslationTables.protect`. */
  protect(start: Vpn, end: Vpn, attributes: number, plan: FlushSink): void {
    requireRange(start, end);
    this.#visit(this.root, ROOT_LEVEL, start, end, (table, at, vpn, entry) => {
      const kept = stateOf(entry) & (ACCESSED | DIRTY);
      const next = leafWords(frameOf(entry), attributes + kept);
      if (next.low === entry.low && next.high === entry.high) return;
      this.#write(table, at, next);
      plan.invalidate(vpn);
    });
  }

  /** See `TranslationTables.query`. */
  query(vpn: Vpn): number {
    if (vpn < -SV39_USER_PAGES || vpn >= SV39_USER_PAGES) return 0;
    let table = this.root;
    for (const level of [2, 1] as const) {
      const entry = this.#read(table, indexOf(vpn, level));
      if (!isPointer(entry)) return 0;
      table = frameOf(entry);
    }
    const entry = this.#read(table, indexOf(vpn, 0));
    const state = stateOf(entry);
    if (state !== 0) this.frame = frameOf(entry);
    return state;
  }

  /** See `TranslationTables.harvest`. */
  harvest(start: Vpn, end: Vpn, bits: number, plan: FlushSink, sink: EntrySink): void {
    requireRange(start, end);
    const clear = ((bits & ACCESSED) !== 0 ? A : 0) + ((bits & DIRTY) !== 0 ? D : 0);
    this.#visit(this.root, ROOT_LEVEL, start, end, (table, at, vpn, entry) => {
      const state = stateOf(entry);
      if ((state & bits & (ACCESSED | DIRTY)) === 0) return;
      this.#write(table, at, { low: (entry.low & ~clear) >>> 0, high: entry.high });
      if ((state & bits & DIRTY) !== 0) plan.invalidate(vpn);
      sink.entry(vpn, frameOf(entry), state);
    });
  }

  /** See `TranslationTables.destroy`. */
  destroy(plan: FlushSink): void {
    plan.invalidateSpace();
    this.#giveTables(this.root, ROOT_LEVEL, plan);
  }

  /** What a processor's use does to a translation: sets A and, for a store, D. */
  use(vpn: Vpn, bits: number): void {
    const found = this.#leafTable(vpn);
    if (found === NO_FRAME) throw new RangeError(`page ${vpn} has no translation`);
    const at = indexOf(vpn, 0);
    const entry = this.#read(found, at);
    this.#write(found, at, leafWords(frameOf(entry), (stateOf(entry) & ~PRESENT) | bits));
  }

  /** The words of the leaf entry of a page, as the processor would find them; null where no table leads there. */
  leaf(vpn: Vpn): EntryWords | null {
    const table = this.#leafTable(vpn);
    return table === NO_FRAME ? null : { ...this.#read(table, indexOf(vpn, 0)) };
  }

  #leafTable(vpn: Vpn): Pfn {
    let table = this.root;
    for (const level of [2, 1] as const) {
      const entry = this.#read(table, indexOf(vpn, level));
      if (!isPointer(entry)) return NO_FRAME;
      table = frameOf(entry);
    }
    return table;
  }

  /** The table one level below, made where it is missing; NO_FRAME if no frame is there for it. */
  #tableUnder(table: Pfn, level: 1 | 2, vpn: Vpn): Pfn {
    const at = indexOf(vpn, level);
    const entry = this.#read(table, at);
    if (isPointer(entry)) return frameOf(entry);
    const made = this.#frames.take();
    if (made === NO_FRAME) return NO_FRAME;
    this.#window.zero(made);
    this.#write(table, at, pointerWords(made));
    return made;
  }

  /** Gives back the level-1 table of a page if nothing is in it: made by a `map` that then found no frame for the next. */
  #pruneEmpty(vpn: Vpn, plan: FlushSink): void {
    const at = indexOf(vpn, 2);
    const table = frameOf(this.#read(this.root, at));
    if (!this.#isEmpty(table)) return;
    this.#write(this.root, at, { low: 0, high: 0 });
    plan.tableFrame(table);
  }

  /** Visits the leaves of a range that hold something. With `plan`, tables that end up empty are taken out and given to it. */
  #visit(table: Pfn, level: Level, start: Vpn, end: Vpn, visit: Visit, plan: FlushSink | null = null): void {
    const pages = PAGES_PER_ENTRY[level];
    for (let vpn = Math.floor(start / pages) * pages; vpn < end; vpn += pages) {
      const at = indexOf(vpn, level);
      const entry = this.#read(table, at);
      if (level === 0) {
        if (stateOf(entry) !== 0) visit(table, at, vpn, { low: entry.low, high: entry.high });
        continue;
      }
      if (!isPointer(entry)) continue;
      const below = frameOf(entry);
      this.#visit(below, (level - 1) as Level, Math.max(start, vpn), Math.min(end, vpn + pages), visit, plan);
      if (plan === null || !this.#isEmpty(below)) continue;
      this.#write(table, at, { low: 0, high: 0 });
      plan.tableFrame(below);
    }
  }

  #giveTables(table: Pfn, level: Level, plan: FlushSink): void {
    if (level > 0)
      for (let at = 0; at < ENTRIES; at++) {
        const entry = this.#read(table, at);
        if (isPointer(entry)) this.#giveTables(frameOf(entry), (level - 1) as Level, plan);
      }
    plan.tableFrame(table);
  }

  #isEmpty(table: Pfn): boolean {
    const bytes = new Uint8Array(ENTRIES * ENTRY_BYTES);
    this.#window.read(table, 0, bytes);
    return bytes.every((byte) => byte === 0);
  }

  #read(table: Pfn, at: number): EntryWords {
    this.#window.read(table, at * ENTRY_BYTES, this.#bytes);
    return { low: this.#words.getUint32(0, true), high: this.#words.getUint32(4, true) };
  }

  #write(table: Pfn, at: number, entry: EntryWords): void {
    this.#words.setUint32(0, entry.low, true);
    this.#words.setUint32(4, entry.high, true);
    this.#window.write(table, at * ENTRY_BYTES, this.#bytes);
  }
}

/** Makes {@link Sv39Tables}. There is no kernel half to share: the example's spaces have user pages only. */
export class Sv39TranslationSystem implements TranslationSystem {
  /** User pages end at 2^38 bytes less one page; the first 64 KiB stay unmapped. The upper half is nobody's here. */
  readonly layout: AddressLayout = {
    userLow: 16,
    userHigh: SV39_USER_PAGES - 1,
    kernelLow: -SV39_USER_PAGES,
    kernelHigh: -SV39_USER_PAGES,
  };
  /** See `TranslationSystem.kernel`. */
  readonly kernel: null = null;
  /** See `TranslationSystem.structure`: single pages only. */
  readonly structure: null = null;
  readonly #frames: FrameSource;
  readonly #window: FrameWindow;

  /** Tables in frames of `frames`, reached through `window`. */
  constructor(frames: FrameSource, window: FrameWindow) {
    this.#frames = frames;
    this.#window = window;
  }

  /** See `TranslationSystem.create`. */
  create(): Sv39Tables | null {
    const root = this.#frames.take();
    if (root === NO_FRAME) return null;
    this.#window.zero(root);
    return new Sv39Tables(root, this.#frames, this.#window);
  }
}

function indexOf(vpn: Vpn, level: Level): number {
  return Math.floor(vpn / PAGES_PER_ENTRY[level]) & (ENTRIES - 1);
}

function requireRange(start: Vpn, end: Vpn): void {
  if (start < -SV39_USER_PAGES || end > SV39_USER_PAGES)
    throw new RangeError(`Sv39 translates pages −2^26 … 2^26 − 1, not ${start} … ${end - 1}`);
}
