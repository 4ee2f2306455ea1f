/**
 * Tables as entries in frames: 512 words of 64 bits, reached through the frame window. Knows which tables have several users, and keeps a frame back for each
 * megapage, so that it can always become 512 pages.
 */
import { NO_FRAME, type FrameSource, type FrameWindow, type Pfn } from "@pagewright/vmm";

import type { EntryWords } from "./entry.ts";

/** Entries of a table. */
export const ENTRIES = 512;
/** Bytes of an entry. */
const ENTRY_BYTES = 8;

/** The tables of all spaces of a system. */
export class TableMemory {
  readonly #frames: FrameSource;
  readonly #window: FrameWindow;
  readonly #bytes: Uint8Array = new Uint8Array(ENTRY_BYTES);
  readonly #words: DataView = new DataView(this.#bytes.buffer);
  readonly #whole: Uint8Array = new Uint8Array(ENTRIES * ENTRY_BYTES);
  /** Users of the tables that have more than one. */
  readonly #users: Map<Pfn, number> = new Map();
  /** Frames for the splits of as many megapages. */
  readonly #kept: Pfn[] = [];

  /** Tables in frames of `frames`, reached through `window`. */
  constructor(frames: FrameSource, window: FrameWindow) {
    this.#frames = frames;
    this.#window = window;
  }

  /** A frame full of zeroes for a table, NO_FRAME if there is none. */
  take(): Pfn {
    const pfn = this.#frames.take();
    if (pfn !== NO_FRAME) this.#window.zero(pfn);
    return pfn;
  }

  /** The entry at an index. */
  read(table: Pfn, at: number): EntryWords {
    this.#window.read(table, at * ENTRY_BYTES, this.#bytes);
    return { low: this.#words.getUint32(0, true), high: this.#words.getUint32(4, true) };
  }

  /** Sets the entry at an index. */
  write(table: Pfn, at: number, entry: EntryWords): void {
    this.#words.setUint32(0, entry.low, true);
    this.#words.setUint32(4, entry.high, true);
    this.#window.write(table, at * ENTRY_BYTES, this.#bytes);
  }

  /** Whether a table has no entry and only one user, so that nothing keeps it. */
  isIdle(table: Pfn): boolean {
    if (this.#users.has(table)) return false;
    this.#window.read(table, 0, this.#whole);
    return this.#whole.every((byte) => byte === 0);
  }

  /** One more user of a table. */
  share(table: Pfn): void {
    this.#users.set(table, (this.#users.get(table) ?? 1) + 1);
  }

  /** One user less; true: that was the last one, and the table can go. */
  leave(table: Pfn): boolean {
    const users = this.#users.get(table) ?? 1;
    if (users > 2) this.#users.set(table, users - 1);
    else this.#users.delete(table);
    return users === 1;
  }

  /** Keeps a frame back for the split of one more megapage; false if there is none. */
  keepOne(): boolean {
    const pfn = this.#frames.take();
    if (pfn === NO_FRAME) return false;
    this.#kept.push(pfn);
    return true;
  }

  /** The frame for the split of a megapage: the table of its 512 pages. */
  takeKept(): Pfn {
    const pfn = this.#kept.pop();
    if (pfn === undefined) throw new RangeError("no frame was kept back for this megapage");
    return pfn;
  }

  /** A megapage went whole: the frame that was kept back for it is free. */
  giveKept(): void {
    this.#frames.give(this.takeKept());
  }
}
