/** Frames for tables, out of the frame source: zeroed before use, and never given back but through a plan. */
import type { TableFrames } from "@pagewright/x86-paging";

import type { FlushSink, FrameHints, FrameSource } from "../ports.ts";
import { NO_FRAME, type Pfn } from "../units.ts";

/** Tables do not move: other tables and processors know where they are. */
const UNMOVABLE: FrameHints = { order: 0, node: -1, colour: -1, movable: 0 };

/** Takes frames for tables and gives them to whoever flushes. */
export class TableSource implements TableFrames {
  readonly #frames: FrameSource;
  readonly #zero: (pfn: Pfn) => void;
  readonly #forget: (pfn: Pfn) => void;
  /** Frames for roots, where those have to lie below an address (PAE: 4 GiB); null: as other tables. */
  readonly #roots: TableFrames | null;
  readonly #ownRoots: Set<Pfn> = new Set();
  /** Frames kept back for leaves that may have to be split. They are in no table and never were since they were taken. */
  readonly #deposits: Pfn[] = [];
  /** Whether tables are seen at addresses that tell their place: where one goes or moves, more than its pages is stale. */
  isRecursive = false;
  #isSplitting = false;
  #splits = 0;
  #plan: FlushSink | null = null;
  #taken = 0;

  /** A source of zeroed frames; `forget` is told before one is given back, and (NO_FRAME) when tables moved. */
  constructor(
    frames: FrameSource,
    zero: (pfn: Pfn) => void,
    forget: (pfn: Pfn) => void,
    roots: TableFrames | null = null,
  ) {
    this.#roots = roots;
    this.#frames = frames;
    this.#zero = zero;
    this.#forget = forget;
  }

  /** Frames that are tables now. */
  get taken(): number {
    return this.#taken;
  }

  /** Splits that took a frame kept back for them. */
  get splits(): number {
    return this.#splits;
  }

  /** The frames kept back, for auditors. */
  get deposits(): readonly Pfn[] {
    return this.#deposits;
  }

  /** Keeps frames back for splits to come. False: there are not as many, and none is kept. */
  deposit(count: number): boolean {
    for (let at = 0; at < count; at++) {
      const pfn = this.#frames.take(UNMOVABLE);
      if (pfn === NO_FRAME) {
        this.withdraw(at);
        return false;
      }
      this.#deposits.push(pfn);
    }
    return true;
  }

  /** Gives frames back that no split needs any more. */
  withdraw(count: number): void {
    for (const pfn of this.#deposits.splice(this.#deposits.length - count, count)) this.#frames.give(pfn);
  }

  /** Runs a split: its table is one of the frames kept back. */
  splitting<T>(split: () => T): T {
    this.#isSplitting = true;
    try {
      return split();
    } finally {
      this.#isSplitting = false;
    }
  }

  /** A split fills its whole table: the frame need not be zeroed. */
  #takeDeposit(): Pfn {
    const pfn = this.#deposits.pop();
    if (pfn === undefined) return NO_FRAME;
    this.#splits++;
    this.#taken++;
    return pfn;
  }

  /** See TableFrames. */
  take(): Pfn {
    if (this.#isSplitting) return this.#takeDeposit();
    const pfn = this.#frames.take(UNMOVABLE);
    if (pfn === NO_FRAME) return NO_FRAME;
    this.#zero(pfn);
    this.#taken++;
    return pfn;
  }

  /** A zeroed frame for a root. */
  takeRoot(): Pfn {
    if (this.#roots === null) return this.take();
    const pfn = this.#roots.take();
    if (pfn === NO_FRAME) return NO_FRAME;
    this.#zero(pfn);
    this.#taken++;
    this.#ownRoots.add(pfn);
    return pfn;
  }

  /** See TableFrames: to the plan where one is set, to the source where the frame was never linked. */
  give(pfn: Pfn): void {
    this.#taken--;
    this.#forget(pfn);
    // A root that goes is in no processor's CR3, and no translation leads to it: nothing has to be waited for.
    if (this.#ownRoots.delete(pfn)) this.#roots?.give(pfn);
    else if (this.#plan !== null) this.#plan.tableFrame(pfn);
    else this.#frames.give(pfn);
  }

  /** Tables hang elsewhere now. */
  moved(): void {
    if (this.isRecursive) this.#forget(NO_FRAME);
  }

  /** From now on frames that come back go to a plan (null: to the source). */
  redirect(plan: FlushSink | null): void {
    this.#plan = plan;
  }
}
