/**
 * Swap space: tiers of stores by priority.
 *
 * ```
 *  reference = tier × 2^27 + slot        write: first priority with room, its tiers in turn, clusters of 16 free slots within a tier, so that
 *                                        evictions in a row lie in a row
 * ```
 * A slot whose write fails is never used again; a store that fails {@link FENCE_AFTER} transfers in a row takes no more pages. What was
 * stored stays readable. A store that throws or rejects has not failed but is away, see {@link Tier}. A tier whose store answers later takes a page at once and says later whether it is kept: until then its owner keeps the
 * frame ({@link SwapSpace.whenWritten}); a page is fetched before it can be read ({@link SwapSpace.fetch}).
 */
import { invariant, VmmError } from "../errors.ts";
import type { AsyncSwapStore, SwapStore } from "../ports.ts";
import { PAGE_SIZE } from "../units.ts";
import { MemorySwap } from "./memory-swap.ts";
import { NO_SLOT, SLOT_BUSY, Tier, type ReadOutcome } from "./tier.ts";
import type { SwapTierStats } from "./tier-stats.ts";

/** Slots that one tier may have at most, one page each: a slot's number beyond them names the next tier. */
export const TIER_SLOTS = 134217728;
/** {@link SwapSpace.write} found no tier that takes the page. */
export const SWAP_FULL = -1;
/** {@link SwapSpace.write}: the tier whose turn it is has as many writes under way as it may have. */
export const SWAP_BUSY: number = SLOT_BUSY;
/** Pages that give way to a newer one at a time. */
const MOVED_AT_A_TIME = 8;
/** How often a write is tried again after pages gave way. */
const MAX_TRIES = 8;

/** One store; or several of equal priority, among which pages are striped: each takes the next page in its turn, and one that is full, busy or fenced is passed over. */
export type SwapPriority = SwapStore | AsyncSwapStore | readonly (SwapStore | AsyncSwapStore)[];

/** Tiers of one priority. */
interface Stripe {
  readonly numbers: readonly number[];
  /** Whose turn it is, an index of `numbers`. */
  turn: number;
}

/** Told that a page's copy lies at another reference now, or (−1) that it stays where it is. */
export type MoveEnded = (owner: number, reference: number) => void;

/** Where evicted pages without a file go. */
export class SwapSpace {
  /** Told whenever a page that gave way to another one has reached the next store, or has not. */
  moveEnded: MoveEnded = () => undefined;
  /** Told whenever a store that was fenced can be used again, so that copies in it can be relied on. */
  restored: () => void = () => undefined;
  readonly #tiers: Tier[] = [];
  readonly #stripes: Stripe[] = [];
  readonly #slots: number;
  /** Where pages go that are on their way from one tier to another, by where they still are. */
  readonly #moves: Map<number, number> = new Map();
  /** Moves that a store has not answered, those of pages that nobody wants any more included. */
  #unanswered = 0;
  /** The page that moves. */
  readonly #page: Uint8Array = new Uint8Array(PAGE_SIZE);
  /** Room for one page more, in memory of the manager's own: see {@link setAside}. */
  readonly #aside: Tier = new Tier(new Aside(), () => undefined);

  /** Space over stores in order of preference. */
  constructor(stores: readonly SwapPriority[]) {
    for (const priority of stores) {
      const equals = isList(priority) ? priority : [priority];
      if (equals.length === 0) throw new VmmError("bad-argument", "A stripe has at least one swap store.", {});
      this.#stripes.push({ numbers: equals.map((_, at) => this.#tiers.length + at), turn: 0 });
      for (const store of equals)
        this.#tiers.push(
          tierOver(store, () => {
            this.restored();
          }),
        );
    }
    this.#slots = stores.flat().reduce((sum, store) => sum + store.slots, 0);
  }

  /** Slots in all, bad ones and those of fenced stores included. */
  get slots(): number {
    return this.#slots;
  }

  /** Slots that hold a page. */
  get used(): number {
    return this.#tiers.reduce((sum, tier) => sum + tier.used, 0);
  }

  /** Asks stores that were away whether they are back; they can be used when they have answered. */
  askAgain(): void {
    for (const tier of this.#tiers) tier.askAgain();
  }

  /** Pages that can still be stored. */
  get freeSlots(): number {
    return this.#tiers.reduce((sum, tier) => sum + tier.room, 0);
  }

  /** Stores that take no pages any more because of errors, by tier number. */
  get fenced(): number[] {
    return this.#tiers.flatMap((tier, number) => (tier.fenced ? [number] : []));
  }

  /** Settles when a slot that was given back to a store that takes its time is free; null: none is on its way. */
  get discarding(): Promise<void> | null {
    return this.#tiers.find((tier) => !tier.fenced && tier.discarding !== null)?.discarding ?? null;
  }

  /** Moves from one tier to another that a store has not answered. */
  get moving(): number {
    return this.#unanswered;
  }

  /**
   * Stores an owner's page; its reference, SWAP_FULL where no tier takes it (all full or fenced), or SWAP_BUSY. Where a tier lets pages give way, its coldest ones move to
   * the tiers behind it: at once, and the page is stored, or later, and the page goes to the next tier itself.
   *
   * @param owner 0 … 2^31 − 1, told to {@link moveEnded}
   */
  write(page: Uint8Array, owner: number): number {
    for (const stripe of this.#stripes) {
      const reference = this.#writeTo(stripe, page, owner);
      if (reference !== SWAP_FULL) return reference; // A busy one will take the page soon, and is preferred to those behind it.
    }
    return SWAP_FULL;
  }

  /**
   * Calls `told` when the store of a page that was just written has answered whether it keeps it; if not, the reference is void from then on. False: it is
   * kept already. To be asked once for each write.
   */
  whenWritten(reference: number, told: (kept: boolean) => void): boolean {
    return this.#tierOf(reference).whenWritten(reference % TIER_SLOTS, told);
  }

  /** Has a page fetched from a store that answers later; settles when {@link read} can tell. Null: it can now. */
  fetch(reference: number): Promise<void> | null {
    return this.#tierOf(reference).fetch(reference % TIER_SLOTS);
  }

  /** Whether a page was fetched in vain: {@link read} will say how, and no frame is needed for it. */
  hasFailed(reference: number): boolean {
    return this.#tierOf(reference).hasFailed(reference % TIER_SLOTS);
  }

  /**
   * Reads the page of a reference. `failed`: the store could not be reached or failed, or the checksum tells that it returned something else; it may be asked again.
   * `lost`: it has failed that page often enough.
   */
  read(reference: number, into: Uint8Array): ReadOutcome {
    return this.#tierOf(reference).read(reference % TIER_SLOTS, into);
  }

  /**
   * Moves a page whose slot another one needs, so that they can change places: where all frames and all slots are taken, a page in swap could not be had any more
   * otherwise. Returns its reference in memory of the manager's own; SWAP_FULL where another page is there, or this one cannot be read: nothing has changed.
   */
  setAside(reference: number): number {
    if (this.#aside.used > 0 || this.#tierOf(reference).fenced || this.read(reference, this.#page) !== "ok")
      return SWAP_FULL;
    this.release(reference);
    return this.#tiers.length * TIER_SLOTS + this.#aside.write(this.#page, 0);
  }

  /** Moves a page that was set {@link setAside | aside} back into a slot that is free; its reference, the same where there is none. Stores that answer later are not asked. */
  putBack(reference: number, owner: number): number {
    if (this.read(reference, this.#page) !== "ok") return reference;
    for (const [number, tier] of this.#tiers.entries()) {
      const slot = tier.isLate ? NO_SLOT : tier.write(this.#page, owner);
      if (slot < 0) continue;
      this.release(reference);
      return number * TIER_SLOTS + slot;
    }
    return reference;
  }

  /** Gives a slot back. */
  release(reference: number): void {
    if (this.#moves.size > 0) this.#moves.delete(reference);
    this.#tierOf(reference).release(reference % TIER_SLOTS);
  }

  /** Whether reading the page of a reference waits for a device. */
  waits(reference: number): boolean {
    return this.#tierOf(reference).waits(reference % TIER_SLOTS);
  }

  /** Whether a copy can be relied on: its store is not fenced. */
  trusts(reference: number): boolean {
    return !this.#tierOf(reference).fenced;
  }

  /** Whether the reference names a slot that holds a page. */
  holds(reference: number): boolean {
    return this.#tierOf(reference).holds(reference % TIER_SLOTS);
  }

  /** Whose page the slot of a reference holds, −1 where nobody has to know. */
  ownerOf(reference: number): number {
    return this.#tierOf(reference).ownerOf(reference % TIER_SLOTS);
  }

  /** What became of each store, by priority. */
  stats(): SwapTierStats[] {
    return this.#tiers.map((tier, number) => tier.stats(this.#priorityOf(number)));
  }

  /** Walks everything; throws with the sentence of the broken invariant. */
  check(): void {
    for (const tier of [...this.#tiers, this.#aside]) tier.check();
    invariant(this.#moves.size <= this.#unanswered, "More pages move between stores than stores are asked to take.");
    for (const [from, to] of this.#moves)
      invariant(this.holds(from) && this.holds(to), "A page that moves between stores is in none of them.", {
        from,
        to,
      });
  }

  /** A reference in the first tier of a stripe, from its turn on, that takes the page; SWAP_BUSY if one of them would later; SWAP_FULL. */
  #writeTo(stripe: Stripe, page: Uint8Array, owner: number): number {
    const { numbers } = stripe;
    let outcome = SWAP_FULL;
    for (let passed = 0; passed < numbers.length; passed++) {
      const at = (stripe.turn + passed) % numbers.length;
      const number = numbers[at] ?? 0;
      const slot = this.#writeIn(number, page, owner);
      if (slot >= 0) {
        stripe.turn = at + 1;
        return number * TIER_SLOTS + slot;
      }
      if (slot === SLOT_BUSY) outcome = SWAP_BUSY;
    }
    return outcome;
  }

  #writeIn(number: number, page: Uint8Array, owner: number): number {
    const tier = this.#tiers[number];
    let slot = tier?.write(page, owner) ?? NO_SLOT;
    for (let tries = 0; slot === NO_SLOT && tries < MAX_TRIES && this.#makeRoom(number); tries++)
      slot = tier?.write(page, owner) ?? NO_SLOT;
    return slot;
  }

  /** Lets the coldest pages of a tier give way; true if some have left it. */
  #makeRoom(number: number): boolean {
    let left = 0;
    for (let pages = 0; pages < MOVED_AT_A_TIME; pages++) {
      const slot = this.#tiers[number]?.giveWay() ?? NO_SLOT;
      if (slot < 0) break;
      const outcome = this.#moveDown(number, slot);
      if (outcome === "stays") break;
      if (outcome === "left") left++;
    }
    return left > 0;
  }

  /** Moves a page to the first tier behind its own that has room, unless that has enough to do; what a reading of it finds damaged stays. */
  #moveDown(number: number, slot: number): "left" | "leaving" | "stays" {
    const from = number * TIER_SLOTS + slot;
    const next = this.#behind(number);
    const tier = this.#tiers[next];
    if (tier === undefined || this.#moves.has(from)) return "stays";
    if (this.read(from, this.#page) !== "ok") return "stays";
    const target = tier.write(this.#page, this.ownerOf(from));
    if (target < 0) return "stays";
    const to = next * TIER_SLOTS + target;
    this.#moves.set(from, to);
    this.#unanswered++;
    const ended = (kept: boolean): void => {
      this.#moved(from, to, kept);
    };
    if (tier.whenWritten(target, ended)) return "leaving";
    ended(true);
    return "left";
  }

  /** The tier that takes what gives way in another: of the first priority behind it that has room, the next in turn that has little to do; −1: none now. */
  #behind(number: number): number {
    const roomy = (other: number): boolean => (this.#tiers[other]?.room ?? 0) > 0;
    const stripe = this.#stripes.slice(this.#priorityOf(number) + 1).find(({ numbers }) => numbers.some(roomy));
    if (stripe === undefined) return -1;
    const { numbers, turn } = stripe;
    const inTurn = [...numbers.slice(turn), ...numbers.slice(0, turn)];
    const next = inTurn.find((other) => roomy(other) && this.#tiers[other]?.isAtEase === true) ?? -1;
    if (next >= 0) stripe.turn = numbers.indexOf(next) + 1;
    return next;
  }

  #priorityOf(number: number): number {
    return this.#stripes.findIndex(({ numbers }) => numbers.includes(number));
  }

  /** The next store has answered; the page may have been given up, or used and stored anew, meanwhile. */
  #moved(from: number, to: number, kept: boolean): void {
    this.#unanswered--;
    const owner = this.ownerOf(from);
    const isWanted = this.#moves.get(from) === to;
    if (isWanted) this.#moves.delete(from);
    if (kept) this.release(isWanted ? from : to);
    if (kept && isWanted) this.#tierOf(from).movedDown++;
    this.moveEnded(owner, kept && isWanted ? to : -1);
  }

  #tierOf(reference: number): Tier {
    const number = Math.floor(reference / TIER_SLOTS);
    const tier = number === this.#tiers.length ? this.#aside : this.#tiers[number];
    if (tier === undefined) throw new VmmError("invariant", "A swap reference names no tier.", { reference });
    return tier;
  }
}

/** One page. Quickly read again, so that no copy stays behind. */
class Aside extends MemorySwap implements SwapStore {
  constructor() {
    super(1);
  }

  waits(): boolean {
    return false;
  }
}

function isList(priority: SwapPriority): priority is readonly (SwapStore | AsyncSwapStore)[] {
  return Array.isArray(priority);
}

function tierOver(store: SwapStore | AsyncSwapStore, restored: () => void): Tier {
  if (!Number.isInteger(store.slots) || store.slots < 0 || store.slots > TIER_SLOTS)
    throw new VmmError("out-of-range", "A swap store has 0 to 2^27 slots.", { slots: store.slots });
  return new Tier(store, restored);
}
