import { invariant } from "../errors.ts";
import type { AsyncSwapStore, SwapStore } from "../ports.ts";
import { PAGE_SIZE } from "../units.ts";
import { checksum } from "./checksum.ts";
import { FreeSlots } from "./free-slots.ts";
import { LateTransfers, type TransferOutcome } from "./late-transfers.ts";
import { PromptStore } from "./prompt-store.ts";
import type { SwapTierStats } from "./tier-stats.ts";

/** Failed transfers in a row after which a store takes no more pages. */
export const FENCE_AFTER = 8;
/** Readings of one page that a store may fail, each asked for by another access, before the page is lost. */
export const READ_TRIES = 3;
/** {@link Tier.write} took no slot: the store is full, fenced, or refuses. */
export const NO_SLOT = -1;
/** {@link Tier.write} took no slot now: as many writes as the store may have are under way. */
export const SLOT_BUSY = -2;

const FREE = 0;
const USED = 1;
/** A write to it failed: never used again. */
const BAD = 2;
/** Nobody needs its content any more, but a transfer of it is under way. */
const ORPHANED = 3;
/** The asynchronous store was told that nobody needs its content, and has not answered. */
const DISCARDED = 4;
/** The store was away when it was to be written, so that it may hold anything: not used before the store is back. */
const DOUBTFUL = 5;

/** What came of reading a page: its bytes; nothing now, and the next access asks again; nothing, and there is no use in asking. */
export type ReadOutcome = "ok" | "failed" | "lost";

/**
 * One store of swap space with the state of its slots and a checksum of every page.
 *
 * ```
 *   FREE ── write ok ──▶ USED ── release ──▶ FREE            (ORPHANED, DISCARDED: an asynchronous store is not through with it)
 *     ├── write failed ──▶ BAD                               FENCE_AFTER failures in a row: the store is fenced
 *     └── write thrown or rejected: the store is away ──▶ DOUBTFUL ── the store answers ──▶ discarded, FREE
 *
 *   read ── thrown or rejected: the store is away ──────────────▶ failed: the next access asks again, and may find it back
 *     └── failed, or other bytes than were written, for the 1st, 2nd time ──▶ failed; for the READ_TRIES-th: lost
 * ```
 *
 * Reads and writes that fail in a row are counted apart: a store that can be read and takes no page is fenced too.
 *
 * A store that was only ever away while it came to be fenced is used again as soon as it answers: the reading of a page that is needed, or, whenever a page could be written
 * to it, of one that is not ({@link askAgain}).
 *
 * Invariant: `used` and `bad` count the slots in these states, `waiting` those that are ORPHANED or DISCARDED; `doubtful` are those that are DOUBTFUL.
 */
export class Tier {
  /** Slots that hold a page. */
  used: number = 0;
  /** Whether the store takes no more pages. */
  fenced: boolean = false;
  /** Pages that moved to a store behind it. */
  movedDown: number = 0;
  readonly #store: PromptStore | null;
  readonly #late: LateTransfers | null;
  readonly #restored: () => void;
  readonly #slots: number;
  /** FREE, USED, BAD, ORPHANED, DISCARDED or DOUBTFUL, by slot. */
  readonly #state: Uint8Array;
  /** The slots that are FREE. */
  readonly #free: FreeSlots;
  /** Checksum of what a used slot holds. */
  readonly #sums: Uint32Array;
  /** Whose page a used slot holds; null where no page gives way to another. */
  readonly #owners: Int32Array | null;
  #bad: number = 0;
  #waiting: number = 0;
  readonly #doubtful: Set<number> = new Set();
  /** Whether a store that was away is being asked whether it is back. */
  #isAsking: boolean = false;
  #lastError: Error | null = null;
  /** Settles when the slot that was discarded last is free. */
  #discarding: Promise<void> | null = null;
  /** Since the last transfer that succeeded, and since the last page that was taken. */
  #failedReadsInRow: number = 0;
  #failedWritesInRow: number = 0;
  /** Whether all of these found the store away. */
  #isAway: boolean = true;
  /** Failed readings of pages that the store answered, by slot. */
  readonly #failedTries: Map<number, number> = new Map();
  /** The asynchronous store said `full` and nothing was released since. */
  #full: boolean = false;
  #reads: number = 0;
  #writes: number = 0;
  #failedReads: number = 0;
  #failedWrites: number = 0;
  #mismatches: number = 0;

  /** A tier over a store; `restored` is told when one that was fenced can be used again. */
  constructor(store: SwapStore | AsyncSwapStore, restored: () => void) {
    this.#restored = restored;
    this.#slots = store.slots;
    this.#state = new Uint8Array(store.slots);
    this.#free = new FreeSlots(store.slots);
    this.#sums = new Uint32Array(store.slots);
    const noted = (error: unknown): void => {
      this.#lastError = error instanceof Error ? error : new Error(String(error));
    };
    this.#store = isLate(store) ? null : new PromptStore(store, noted);
    this.#late = isLate(store) ? new LateTransfers(store, noted) : null;
    this.#owners = this.#store?.givesWay === true ? new Int32Array(store.slots) : null;
  }

  /** Pages that it would still take. */
  get room(): number {
    return this.fenced ? 0 : this.#free.count;
  }

  /** Whether it has as few transfers under way that pages may be moved to it from the store in front: half of what it may have is for pages that leave their frames. */
  get isAtEase(): boolean {
    return this.#late === null || this.#late.isAtEase;
  }

  /** Whether its store answers later. */
  get isLate(): boolean {
    return this.#late !== null;
  }

  /** Settles when a slot that was given back is free, where the store takes its time for that; null: none is on its way. */
  get discarding(): Promise<void> | null {
    return this.#discarding;
  }

  /** Stores an owner's page; its slot, NO_SLOT or SLOT_BUSY. An asynchronous store has it once {@link whenWritten} tells. */
  write(page: Uint8Array, owner: number): number {
    this.askAgain();
    if (this.fenced) return NO_SLOT;
    const slot = this.#late === null ? this.#writeNow(page) : this.#writeLater(page, this.#late);
    if (slot >= 0 && this.#owners !== null) this.#owners[slot] = owner;
    return slot;
  }

  /** The slot whose page should move to the next tier after a write found no room; NO_SLOT: none, that would not help. */
  giveWay(): number {
    return this.fenced ? NO_SLOT : (this.#store?.giveWay() ?? NO_SLOT);
  }

  /** Whose page a used slot holds; −1 where that is not known, because no page of this tier gives way. */
  ownerOf(slot: number): number {
    return this.#owners?.[slot] ?? -1;
  }

  /** Calls `told` when the store has answered whether it keeps the page of a slot; if not, the slot is given up. False: it is kept already. */
  whenWritten(slot: number, told: (kept: boolean) => void): boolean {
    const writing = this.#late?.writing(slot) ?? null;
    if (writing === null) return false;
    void writing.then((outcome) => {
      told(this.#written(slot, outcome));
    });
    return true;
  }

  /** Has the page of a slot fetched; settles when {@link read} can tell. Null: it can now. */
  fetch(slot: number): Promise<void> | null {
    const fetching = this.#late?.fetch(slot) ?? null;
    if (fetching === null) return null;
    return fetching.then((outcome) => {
      if (this.#isAway && outcome !== "away") this.#succeeded();
      this.#settleOrphan(slot);
    });
  }

  /** Whether the page of a slot was fetched in vain: {@link read} will say how. */
  hasFailed(slot: number): boolean {
    return this.#late?.hasFailed(slot) === true;
  }

  /** Reads the page of a slot; `failed` or `lost` also where the checksum tells that the store returned something else. */
  read(slot: number, into: Uint8Array): ReadOutcome {
    const outcome = this.#late === null ? this.#store?.read(slot, into) : this.#late.take(slot, into);
    if (outcome === "ok" && checksum(into) === this.#sums[slot]) {
      this.#reads++;
      this.#failedTries.delete(slot);
      this.#succeeded();
      return "ok";
    }
    if (outcome === "ok") this.#mismatches++;
    else this.#failedReads++;
    this.#failedReadsInRow++;
    this.#failed(outcome === "away");
    if (outcome === "away") return "failed";
    const tries = (this.#failedTries.get(slot) ?? 0) + 1;
    this.#failedTries.set(slot, tries);
    return tries < READ_TRIES ? "failed" : "lost";
  }

  /** Whether reading a slot waits for a device. */
  waits(slot: number): boolean {
    return this.#store?.waits(slot) ?? true;
  }

  /** Gives a slot back. */
  release(slot: number): void {
    invariant(this.#state[slot] === USED, "A swap slot that is not used was freed.", { slot });
    this.used--;
    this.#full = false;
    this.#failedTries.delete(slot);
    if (this.#late !== null && this.#late.isBusy(slot)) {
      this.#late.forget(slot);
      this.#state[slot] = ORPHANED;
      this.#waiting++;
    } else this.#discard(slot);
  }

  /** Whether a slot holds a page, or is about to. */
  holds(slot: number): boolean {
    return this.#state[slot] === USED;
  }

  /** Counts now and since the start. */
  stats(priority: number): SwapTierStats {
    return {
      priority,
      slots: this.#slots,
      used: this.used,
      bad: this.#bad,
      doubtful: this.#doubtful.size,
      fenced: this.fenced,
      underWay: this.#late?.underWay ?? 0,
      reads: this.#reads,
      writes: this.#writes,
      failedReads: this.#failedReads,
      failedWrites: this.#failedWrites,
      mismatches: this.#mismatches,
      movedDown: this.movedDown,
      lastError: this.#lastError === null ? null : String(this.#lastError),
    };
  }

  /** Walks all slots; throws with the sentence of the broken invariant. */
  check(): void {
    this.#late?.check();
    this.#free.check();
    const counts = [0, 0, 0, 0, 0, 0];
    for (const [slot, state] of this.#state.entries()) {
      counts[state] = (counts[state] ?? 0) + 1;
      invariant(this.#free.has(slot) === (state === FREE), "A tier's free slots are not those it looks for.", { slot });
      invariant(this.#doubtful.has(slot) === (state === DOUBTFUL), "A slot in doubt is not known to be.", { slot });
    }
    invariant(counts[USED] === this.used, "A tier's count of used slots is wrong.", { used: this.used });
    invariant(counts[BAD] === this.#bad, "A tier's count of bad slots is wrong.", { bad: this.#bad });
    const waiting = (counts[ORPHANED] ?? 0) + (counts[DISCARDED] ?? 0);
    invariant(waiting === this.#waiting, "A tier's count of waiting slots is wrong.", { waiting });
  }

  /**
   * Asks a store that has no room because it was away whether it is back, unless it is being asked: for a slot that has no page, or else for any page, whose bytes nobody
   * takes.
   */
  askAgain(): void {
    if (this.room > 0 || this.#isAsking || (this.fenced && !this.#isAway)) return;
    const slot = this.#slotToAskFor();
    if (slot < 0) return;
    this.#isAsking = true;
    const answered = (outcome: TransferOutcome): void => {
      this.#isAsking = false;
      this.#late?.forget(slot);
      if (outcome !== "away") this.#succeeded();
      this.#settleOrphan(slot); // Its page may have been given up meanwhile.
    };
    if (this.#store !== null) answered(this.#store.read(slot, new Uint8Array(PAGE_SIZE)));
    else void this.#late?.fetch(slot)?.then(answered);
  }

  /** A slot in doubt; where there is none and the store is fenced, a free one, in doubt from now on; else one whose page is not on its way. NO_SLOT: there is none. */
  #slotToAskFor(): number {
    const [doubtful = NO_SLOT] = this.#doubtful;
    if (doubtful >= 0 || !this.fenced) return doubtful;
    const free = this.#free.next();
    if (free < 0) return this.#state.findIndex((state, slot) => state === USED && this.#late?.isKnown(slot) !== true);
    this.#free.withdraw(free);
    this.#setDoubtful(free);
    return free;
  }

  #writeNow(page: Uint8Array): number {
    for (;;) {
      const slot = this.#free.next();
      if (slot < 0) return NO_SLOT;
      const outcome = this.#store?.write(slot, page);
      if (outcome === "full") return NO_SLOT;
      this.#claim(slot, page);
      if (outcome === "ok") {
        this.#writes++;
        this.#taken();
        return slot;
      }
      this.#spoil(slot, outcome === "away");
      if (this.fenced) return NO_SLOT;
    }
  }

  #writeLater(page: Uint8Array, late: LateTransfers): number {
    if (!late.canWrite) return SLOT_BUSY;
    const slot = this.#full ? NO_SLOT : this.#free.next();
    if (slot < 0) return NO_SLOT;
    this.#claim(slot, page);
    late.write(slot, page);
    return slot;
  }

  /** A write of an asynchronous store is settled; returns whether the page is kept. */
  #written(slot: number, outcome: TransferOutcome): boolean {
    if (outcome === "ok") {
      this.#writes++;
      this.#taken();
      this.#settleOrphan(slot);
      return true;
    }
    if (this.#state[slot] === ORPHANED) {
      this.#waiting--;
      this.used++;
    }
    if (outcome === "full") {
      this.#full = true;
      this.used--;
      this.#setFree(slot);
    } else this.#spoil(slot, outcome === "away");
    return false;
  }

  #claim(slot: number, page: Uint8Array): void {
    this.#state[slot] = USED;
    this.#free.take(slot);
    this.#sums[slot] = checksum(page);
    this.used++;
  }

  /** A claimed slot cannot be written; where the store was away, it may yet come to write it. */
  #spoil(slot: number, away: boolean): void {
    if (away) this.#setDoubtful(slot);
    else this.#setBad(slot);
    this.used--;
    this.#failedWrites++;
    this.#failedWritesInRow++;
    this.#failed(away);
  }

  /** A page was taken. */
  #taken(): void {
    this.#succeeded();
    if (this.fenced) return;
    this.#failedWritesInRow = 0;
    this.#isAway = true;
  }

  /** The store has answered. That says nothing of its taking pages: the next one that it does not take has it fenced again, until one is. */
  #succeeded(): void {
    if (this.fenced && !this.#isAway) return;
    if (this.fenced) this.#restored();
    this.fenced = false;
    this.#failedReadsInRow = 0;
    this.#failedWritesInRow = Math.min(this.#failedWritesInRow, FENCE_AFTER - 1);
    this.#isAway ||= this.#failedWritesInRow === 0;
    if (this.#doubtful.size > 0) this.#settleDoubts();
  }

  /** The store answers again: it is told that nobody needs what it may have of slots in doubt, which are free then. */
  #settleDoubts(): void {
    for (const slot of [...this.#doubtful]) {
      if (this.#late?.isBusy(slot) === true) continue;
      this.#doubtful.delete(slot);
      this.#discard(slot);
    }
  }

  #failed(away: boolean): void {
    this.#isAway &&= away;
    if (Math.max(this.#failedReadsInRow, this.#failedWritesInRow) >= FENCE_AFTER) this.fenced = true;
  }

  #setBad(slot: number): void {
    this.#state[slot] = BAD;
    this.#bad++;
  }

  #setDoubtful(slot: number): void {
    this.#state[slot] = DOUBTFUL;
    this.#doubtful.add(slot);
  }

  #setFree(slot: number): void {
    this.#state[slot] = FREE;
    this.#free.give(slot);
  }

  /** A transfer of the slot has ended: if that was all that kept it, it goes. */
  #settleOrphan(slot: number): void {
    if (this.#state[slot] !== ORPHANED || this.#late?.isBusy(slot) === true) return;
    this.#waiting--;
    this.#discard(slot);
  }

  #discard(slot: number): void {
    this.#store?.discard(slot);
    const discarding = this.#late?.discard(slot) ?? null;
    if (discarding === null) {
      this.#setFree(slot);
      return;
    }
    this.#state[slot] = DISCARDED;
    this.#waiting++;
    const freed = discarding.then(() => {
      this.#waiting--;
      this.#setFree(slot); // Where the discard was rejected too: it is not carried out after a write that is acknowledged.
      if (this.#discarding === freed) this.#discarding = null;
    });
    this.#discarding = freed;
  }
}

function isLate(store: SwapStore | AsyncSwapStore): store is AsyncSwapStore {
  return "writeLater" in store;
}
