import { invariant } from "../errors.ts";
import type { AsyncSwapStore, IoOutcome, SwapStore } from "../ports.ts";
import { checksum } from "./checksum.ts";
import { FreeSlots } from "./free-slots.ts";
import { LateTransfers } from "./late-transfers.ts";

/** Failed transfers in a row after which a device takes no more pages. */
export const FENCE_AFTER = 8;
/** {@link Tier.write} took no slot: the store is full, fenced, or refuses. */
export const NO_SLOT = -1;
/** {@link Tier.write} took no slot now: as many writes as the store may have are under way. */
export const SLOT_BUSY = -2;

const FREE = 0;
const USED = 1;
/** A write to it failed, or its device is fenced: never used again. */
const BAD = 2;
/** Nobody needs its content any more, but a transfer of it is under way. */
const ORPHANED = 3;
/** The asynchronous store was told that nobody needs its content, and has not answered. */
const DISCARDED = 4;

/** What became of one store of swap space. Counts are since the start unless they say "now". */
export interface SwapTierStats {
  /** Slots, bad ones included. */
  readonly slots: number;
  /** Slots that hold a page now. */
  readonly used: number;
  /** Slots that are never used again. */
  readonly bad: number;
  /** Whether the store takes no more pages because transfers failed. What it has can still be asked for. */
  readonly fenced: boolean;
  /** Devices of a stripe that take no more pages, by number; the slots of theirs that are free count as bad. */
  readonly fencedMembers: readonly number[];
  /** Transfers under way now; 0 for a synchronous store. */
  readonly underWay: number;
  /** Pages read, those that moved to a store behind this one included. */
  readonly reads: number;
  /** Pages written. */
  readonly writes: number;
  /** Reads that the store failed. */
  readonly failedReads: number;
  /** Writes that the store failed. */
  readonly failedWrites: number;
  /** Reads that returned other bytes than were written, as their checksum tells. */
  readonly mismatches: number;
  /** Pages that gave way to newer ones: they are in a store behind this one. */
  readonly movedDown: number;
}

/**
 * One store of swap space with the state of its slots and a checksum of every page.
 *
 * ```
 *   FREE ── write ok ──▶ USED ── release ──▶ FREE            (ORPHANED, DISCARDED: an asynchronous store is not through with it)
 *     └── write failed ──▶ BAD                               FENCE_AFTER failures of a device in a row: it is fenced
 * ```
 *
 * The devices of a stripe fail each for itself: a fenced one is passed over and the others go on; the store is fenced when all of its devices are.
 *
 * Invariant: `used` and `bad` count the slots in these states, `waiting` those that are ORPHANED or DISCARDED.
 */
export class Tier {
  /** Slots that hold a page. */
  used: number = 0;
  /** Whether the store takes no more pages. */
  fenced: boolean = false;
  /** Pages that moved to a store behind it. */
  movedDown: number = 0;
  readonly #store: SwapStore | null;
  readonly #late: LateTransfers | null;
  readonly #slots: number;
  /** FREE, USED, BAD, ORPHANED or DISCARDED, by slot. */
  readonly #state: Uint8Array;
  /** The slots that are FREE. */
  readonly #free: FreeSlots;
  /** Checksum of what a used slot holds. */
  readonly #sums: Uint32Array;
  /** Whose page a used slot holds; null where no page gives way to another. */
  readonly #owners: Int32Array | null;
  #bad: number = 0;
  #waiting: number = 0;
  /** By device: since its last transfer that succeeded. */
  readonly #failuresInRow: Uint32Array;
  readonly #fencedMembers: Set<number> = new Set();
  /** The asynchronous store said `full` and nothing was released since. */
  #full: boolean = false;
  #reads: number = 0;
  #writes: number = 0;
  #failedReads: number = 0;
  #failedWrites: number = 0;
  #mismatches: number = 0;

  constructor(store: SwapStore | AsyncSwapStore) {
    this.#slots = store.slots;
    this.#state = new Uint8Array(store.slots);
    this.#free = new FreeSlots(store.slots);
    this.#sums = new Uint32Array(store.slots);
    this.#store = isLate(store) ? null : store;
    this.#late = isLate(store) ? new LateTransfers(store) : null;
    this.#failuresInRow = new Uint32Array(this.#store?.members ?? 1);
    this.#owners = this.#store?.giveWay === undefined ? null : new Int32Array(store.slots);
  }

  /** Pages that it would still take. */
  get room(): number {
    return this.fenced ? 0 : this.#free.count;
  }

  /** Whether it has as few transfers under way that pages may be moved to it from the store in front: half of what it may have is for pages that leave their frames. */
  get isAtEase(): boolean {
    return this.#late === null || this.#late.isAtEase;
  }

  /** Stores an owner's page; its slot, NO_SLOT or SLOT_BUSY. An asynchronous store has it once {@link whenWritten} tells. */
  write(page: Uint8Array, owner: number): number {
    if (this.fenced) return NO_SLOT;
    const slot = this.#late === null ? this.#writeNow(page) : this.#writeLater(page, this.#late);
    if (slot >= 0 && this.#owners !== null) this.#owners[slot] = owner;
    return slot;
  }

  /** The slot whose page should move to the next tier after a write found no room; NO_SLOT: none, that would not help. */
  giveWay(): number {
    return this.fenced ? NO_SLOT : (this.#store?.giveWay?.() ?? NO_SLOT);
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
    return fetching === null ? null : fetching.then(() => this.#settleOrphan(slot));
  }

  /** Reads the page of a slot; `failed` also where the checksum tells that the store returned something else. */
  read(slot: number, into: Uint8Array): IoOutcome {
    const outcome = this.#late === null ? this.#store?.read(slot, into) : this.#late.take(slot, into);
    if (outcome !== "ok") this.#failedReads++;
    else if (checksum(into) !== this.#sums[slot]) this.#mismatches++;
    else {
      this.#reads++;
      this.#succeeded(slot);
      return "ok";
    }
    this.#failed(slot);
    return "failed";
  }

  /** Whether reading a slot waits for a device. */
  waits(slot: number): boolean {
    return this.#store?.waits?.(slot) ?? true;
  }

  /** Gives a slot back. */
  release(slot: number): void {
    invariant(this.#state[slot] === USED, "A swap slot that is not used was freed.", { slot });
    this.used--;
    this.#full = false;
    if (this.#late !== null && this.#late.isBusy(slot)) {
      this.#late.forget(slot);
      this.#state[slot] = ORPHANED;
      this.#waiting++;
    } else this.#discard(slot);
  }

  /** Whether what a slot holds can be relied on: its device is not fenced. */
  trusts(slot: number): boolean {
    return !this.#fencedMembers.has(this.#memberOf(slot));
  }

  /** Whether a slot holds a page, or is about to. */
  holds(slot: number): boolean {
    return this.#state[slot] === USED;
  }

  /** Counts now and since the start. */
  stats(): SwapTierStats {
    return {
      slots: this.#slots,
      used: this.used,
      bad: this.#bad,
      fenced: this.fenced,
      fencedMembers: [...this.#fencedMembers].sort((a, b) => a - b),
      underWay: this.#late?.underWay ?? 0,
      reads: this.#reads,
      writes: this.#writes,
      failedReads: this.#failedReads,
      failedWrites: this.#failedWrites,
      mismatches: this.#mismatches,
      movedDown: this.movedDown,
    };
  }

  /** Walks all slots; throws with the sentence of the broken invariant. */
  check(): void {
    this.#late?.check();
    this.#free.check();
    const counts = [0, 0, 0, 0, 0];
    for (const [slot, state] of this.#state.entries()) {
      counts[state] = (counts[state] ?? 0) + 1;
      invariant(this.#free.has(slot) === (state === FREE), "A tier's free slots are not those it looks for.", { slot });
    }
    invariant(counts[USED] === this.used, "A tier's count of used slots is wrong.", { used: this.used });
    invariant(counts[BAD] === this.#bad, "A tier's count of bad slots is wrong.", { bad: this.#bad });
    const waiting = (counts[ORPHANED] ?? 0) + (counts[DISCARDED] ?? 0);
    invariant(waiting === this.#waiting, "A tier's count of waiting slots is wrong.", { waiting });
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
        this.#succeeded(slot);
        return slot;
      }
      this.#spoil(slot);
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
  #written(slot: number, outcome: IoOutcome): boolean {
    if (outcome === "ok") {
      this.#writes++;
      this.#succeeded(slot);
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
    } else this.#spoil(slot);
    return false;
  }

  #claim(slot: number, page: Uint8Array): void {
    this.#state[slot] = USED;
    this.#free.take(slot);
    this.#sums[slot] = checksum(page);
    this.used++;
  }

  /** A claimed slot cannot be written. */
  #spoil(slot: number): void {
    this.#setBad(slot);
    this.used--;
    this.#failedWrites++;
    this.#failed(slot);
  }

  #memberOf(slot: number): number {
    return slot % this.#failuresInRow.length;
  }

  #succeeded(slot: number): void {
    this.#failuresInRow[this.#memberOf(slot)] = 0;
  }

  #failed(slot: number): void {
    const member = this.#memberOf(slot);
    const failures = this.#failuresInRow[member]! + 1;
    this.#failuresInRow[member] = failures;
    if (failures < FENCE_AFTER || this.#fencedMembers.has(member)) return;
    this.#fencedMembers.add(member);
    this.fenced = this.#fencedMembers.size === this.#failuresInRow.length;
    if (!this.fenced) this.#passOver(member);
  }

  /** Takes a device's free slots out of use; the others follow as they are released. O(slots), once for each device. */
  #passOver(member: number): void {
    for (let slot = member; slot < this.#slots; slot += this.#failuresInRow.length) {
      if (this.#state[slot] !== FREE) continue;
      this.#free.withdraw(slot);
      this.#setBad(slot);
    }
  }

  #setBad(slot: number): void {
    this.#state[slot] = BAD;
    this.#bad++;
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
    this.#store?.discard?.(slot);
    const discarding = this.#late?.discard(slot) ?? null;
    if (discarding === null) {
      if (this.fenced || this.trusts(slot)) this.#setFree(slot);
      else this.#setBad(slot);
      return;
    }
    this.#state[slot] = DISCARDED;
    this.#waiting++;
    void discarding.then(() => {
      this.#waiting--;
      this.#setFree(slot);
    });
  }
}

function isLate(store: SwapStore | AsyncSwapStore): store is AsyncSwapStore {
  return "writeLater" in store;
}
