/**
 * What files in the page cache have in common, whether their stores answer at once or later: which of their pages are dirty, since when, and which errors callers of
 * `sync` have not been told of.
 *
 * ```
 *  store ─→ dirty bit of a translation ─→ harvested, or unmapped ─→ dirty ─ written ─→ clean
 *                                                                     └──── given up (truncated, punched) or lost
 * ```
 * Every dirty page is one of the file's: what is given up is written no more.
 */
import type { Core } from "../core.ts";
import { invariant } from "../errors.ts";
import { ReadAhead } from "../reclaim/read-ahead.ts";
import { MemoryObject } from "./object.ts";

/** A caller's position in the history of a file's write errors. */
export interface SyncCursor {
  /** Errors that the caller has been told of. */
  seen: number;
}

/** A file whose pages are read and written by whoever knows its store. */
export abstract class CachedFile extends MemoryObject {
  readonly kind = "file";
  override readonly persistent = true;
  override readonly remembers = true;
  /** Watches the misses; null where nothing is fetched ahead. */
  override readonly readAhead: ReadAhead | null;
  /** What the store last threw or rejected with, null if it never did. */
  lastError: unknown = null;
  /** Pages that are known to be dirty. */
  protected readonly dirty: Set<number> = new Set();
  #errors = 0;
  #changes = 0;

  /** A file of a core. */
  constructor(core: Core) {
    super(core);
    this.readAhead = core.readAhead > 0 ? new ReadAhead(core.readAhead) : null;
  }

  /** Pages that are known to be dirty. */
  get dirtyPages(): number {
    return this.dirty.size;
  }

  /** Times that stored bytes were noticed: moves between a store through a mapping and the end of the next sync. */
  get changes(): number {
    return this.#changes;
  }

  /** A position from which errors are told: those before are not. */
  cursor(): SyncCursor {
    return { seen: this.#errors };
  }

  /** See {@link MemoryObject.dirtied}. */
  override dirtied(page: number): void {
    this.dirty.add(page);
    this.core.pages.dirtied[page] = this.core.clock.nanoseconds();
    this.#changes++;
  }

  /** See {@link MemoryObject.lost}: an error like that of a failed write, told at the next sync. */
  override lost(page: number): void {
    this.dirty.delete(page);
    this.#errors++;
  }

  /** Walks everything; throws with the sentence of the broken invariant. */
  override check(): void {
    super.check();
    const { index } = this.core.pages;
    for (const page of this.dirty)
      invariant(this.pages.get(index[page]!) === page, "A dirty page is not one of its file's.", { page });
  }

  protected override givenUp(page: number): void {
    this.dirty.delete(page);
  }

  /** Notes that something could not be written. */
  protected noteError(): void {
    this.#errors++;
  }

  /** Whether errors happened that the owner of a cursor has not been told of. It has now. */
  protected tell(cursor: SyncCursor): boolean {
    const isNews = this.#errors > cursor.seen;
    cursor.seen = this.#errors;
    return isNews;
  }

  /** Dirty pages with an index in `[start, end)`, in order. */
  protected dirtyWithin(start: number, end: number): number[] {
    const { index } = this.core.pages;
    return [...this.dirty]
      .filter((page) => index[page]! >= start && index[page]! < end)
      .sort((a, b) => index[a]! - index[b]!);
  }

  /** Those that have been dirty since before `moment` (nanoseconds of the clock), in order. */
  protected dirtyBefore(moment: number): number[] {
    const { dirtied } = this.core.pages;
    return this.dirtyWithin(0, Number.MAX_SAFE_INTEGER).filter((page) => dirtied[page]! < moment);
  }
}
