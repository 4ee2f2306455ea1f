/**
 * Memory whose pages a user's pager supplies, in the manner of userfaultfd: asked for by a call or a promise, provided ahead, poisoned, and
 * asked again before a store.
 *
 * ```
 *  access ─ page there? ── yes ─► mapped (write-protected: the pager is asked before a store)
 *             └─ no ─► pager.request ─ filled ─► page      poison ─► bus error      promise ─► pending, then filled or poison
 * ```
 * A pager that throws or rejects has failed: that access is a bus error, the next one asks again, and {@link PagerObject.lastError} is what it threw.
 *
 * Pages that must leave their frames: with `again`, clean ones are dropped and asked for anew; all others go to swap.
 */
import type { Core } from "../core.ts";
import { invariant, VmmError } from "../errors.ts";
import { NO_PAGE, PAGE_DIRTY } from "../pages/pages.ts";
import type { Pager } from "../ports.ts";
import { PAGE_SIZE, addressOf, type Vpn } from "../units.ts";
import { MemoryObject, SUPPLY_BUS, SUPPLY_NO_MEMORY, SUPPLY_PENDING, demandSize } from "./object.ts";

/** Outcome of providing a page ahead. */
export type ProvideOutcome = "ok" | "exists" | "poisoned" | "no-memory";

/** How a pager's pages are treated. */
export interface PagerOptions {
  /** Whether clean pages may be dropped and asked for again; otherwise they go to swap. Default false. */
  readonly again?: boolean;
}

/** Pages that a pager supplies. Its size is fixed. */
export class PagerObject extends MemoryObject {
  readonly kind = "pager";
  /** Bytes of the object. */
  readonly size: number;
  /** What the pager last threw or rejected with, null if it never did. */
  lastError: unknown = null;
  readonly #pager: Pager;
  readonly #again: boolean;
  /** Requests that have not been answered, by page. */
  readonly #inFlight: Map<number, Promise<void>> = new Map();
  /** Pages whose access is a bus error for good. */
  readonly #poisoned: Set<number> = new Set();
  /** Pages whose last request failed: the next access hears of it, the one after asks again. */
  readonly #failed: Set<number> = new Set();
  /** Present pages that the pager wants to be asked about before they are stored to. */
  readonly #protected: Set<number> = new Set();

  /** An object of `bytes` bytes whose pages come from the pager. */
  constructor(core: Core, bytes: number, pager: Pager, options: PagerOptions = {}) {
    super(core);
    demandSize(bytes);
    this.size = bytes;
    this.#pager = pager;
    this.#again = options.again ?? false;
  }

  /** Requests that have not been answered. */
  get waiting(): number {
    return this.#inFlight.size;
  }

  /** See {@link MemoryObject.supply}. */
  supply(index: number): number {
    if (index * PAGE_SIZE >= this.size || this.#poisoned.has(index) || this.#failed.delete(index)) return SUPPLY_BUS;
    const waiting = this.#inFlight.get(index);
    if (waiting !== undefined) return this.#wait(waiting);
    const into = new Uint8Array(PAGE_SIZE);
    const answer = this.#attempt(() => this.#pager.request(index, into), "poison");
    if (answer === "poison") return SUPPLY_BUS;
    this.supplyRead = true;
    if (answer === "filled") {
      if (this.isDestroyed || this.#poisoned.has(index)) return SUPPLY_BUS;
      return this.pages.get(index) === NO_PAGE ? this.#fill(index, into) : this.obtain(index); // It may have provided it, too.
    }
    const arrival = answer
      .catch((error: unknown) => this.#noted(error))
      .then((late) => this.#arrived(index, into, late === "filled"));
    this.#inFlight.set(index, arrival);
    return this.#wait(arrival);
  }

  /** Puts a page there before it is asked for. `exists`: it is there already and stays as it is. */
  provide(index: number, content: Uint8Array): ProvideOutcome {
    this.#demandIndex(index);
    if (content.length !== PAGE_SIZE)
      throw new VmmError("bad-argument", "A page has 4096 bytes.", { bytes: content.length });
    this.settle();
    if (this.#poisoned.has(index)) return "poisoned";
    if (this.pages.get(index) !== NO_PAGE) return "exists";
    return this.#fill(index, content) < 0 ? "no-memory" : "ok";
  }

  /** Makes every access of a page a bus error, also of those that map it now. Its content is lost. */
  poison(index: number): void {
    this.#demandIndex(index);
    this.#poisoned.add(index);
    this.dropPages(index, index + 1);
  }

  /** From now on the pager is asked before a present page of `[start, end)` is stored to, in regions mapped with `writeNotify`. */
  protectPages(start: number, end: number): void {
    this.demandAlive();
    this.pages.forEach(start, end, (_page, index) => this.#protected.add(index));
    this.unmapPages(start, end);
  }

  /** Ends {@link protectPages}. */
  unprotectPages(start: number, end: number): void {
    this.demandAlive();
    for (const index of [...this.#protected]) if (index >= start && index < end) this.#protected.delete(index);
  }

  /** See {@link MemoryObject.writeFault}. */
  override writeFault(index: number, vpn: Vpn): "allow" | "deny" {
    if (!this.#protected.has(index)) return "allow";
    const answer = this.#attempt(() => this.#pager.writeFault?.(index, addressOf(vpn)) ?? "deny", "deny");
    if (answer === "allow") this.#protected.delete(index);
    return answer;
  }

  /** See {@link MemoryObject.hasStoreFor}: the pager can be asked again for what nobody has changed. */
  override hasStoreFor(page: number): boolean {
    const { pages } = this.core;
    return this.#again && !pages.has(page, PAGE_DIRTY) && pages.swap[page] === -1;
  }

  /** Walks everything; throws with the sentence of the broken invariant. */
  override check(): void {
    super.check();
    for (const index of this.#poisoned)
      invariant(this.pages.get(index) === NO_PAGE, "A poisoned page has a content.", { index });
    for (const index of this.#failed)
      invariant(!this.#inFlight.has(index), "A request that has failed is under way.", { index });
  }

  /** Asks the pager; `failed` where it throws. */
  #attempt<T>(ask: () => T, failed: T): T {
    try {
      return this.core.asking(ask);
    } catch (error) {
      this.#noted(error);
      return failed;
    }
  }

  #noted(error: unknown): void {
    this.lastError = error;
    this.core.stats.ioErrors++;
  }

  #fill(index: number, content: Uint8Array): number {
    const { core } = this;
    const pfn = core.keeper.take();
    if (pfn < 0) return SUPPLY_NO_MEMORY;
    core.window.write(pfn, 0, content);
    const page = this.adopt(index, pfn);
    if (!this.#again) core.pages.mark(page, PAGE_DIRTY);
    return page;
  }

  #arrived(index: number, content: Uint8Array, filled: boolean): void {
    this.#inFlight.delete(index);
    this.settle();
    if (this.isDestroyed || this.#poisoned.has(index) || this.pages.get(index) !== NO_PAGE) return;
    if (!filled) this.#failed.add(index);
    else this.#fill(index, content); // Without a frame the page stays absent: the next access asks again.
  }

  #wait(arrival: Promise<void>): number {
    this.pending = arrival;
    return SUPPLY_PENDING;
  }

  #demandIndex(index: number): void {
    this.demandAlive();
    if (!Number.isInteger(index) || index < 0 || index >= this.pageCount)
      throw new VmmError("out-of-range", "The object has no such page.", { index, pages: this.pageCount });
  }
}
