/** Shared anonymous memory, with or without a name: pages that read as zero until stored to, and go to swap when they must leave. */
import type { Core } from "../core.ts";
import { zeroBlock } from "../large/blocks.ts";
import { PAGE_POISONED } from "../pages/pages.ts";
import { WRITE } from "../rights.ts";
import { PAGE_SIZE, TABLE_PAGES } from "../units.ts";
import { MemoryObject, SUPPLY_BUS, SUPPLY_NO_MEMORY, SUPPLY_PENDING, demandSize } from "./object.ts";

/** What may not be done to an object any more. Only ever added. */
export type Seal = "seal" | "shrink" | "grow" | "write" | "future-write";

/**
 * Outcome of a change that seals or users may forbid. `no-memory`, `failed`, `pending`: a page whose tail has to become zero is in swap, and there is no frame for it, it
 * cannot be read now, or it comes later (await {@link MemoryObject.pending}, then ask again). Nothing has changed but for `ok`.
 */
export type ObjectOutcome = "ok" | "sealed" | "busy" | "no-memory" | "failed" | "pending";

/** Zero-filled memory that several regions share. */
export class AnonymousObject extends MemoryObject {
  readonly kind = "anonymous";
  readonly #seals: Set<Seal> = new Set();
  #size: number;

  /** An object of `bytes` bytes. With `sealable`, seals can be added; else it is born sealed against seals. */
  constructor(core: Core, bytes: number, sealable = false) {
    super(core);
    demandSize(bytes);
    this.#size = bytes;
    if (!sealable) this.#seals.add("seal");
  }

  /** Bytes of the object now. */
  get size(): number {
    return this.#size;
  }

  /** The seals that hold. */
  get seals(): ReadonlySet<Seal> {
    return this.#seals;
  }

  /** See {@link MemoryObject.supply}: a frame of zeroes. */
  supply(index: number): number {
    if (index * PAGE_SIZE >= this.#size) return SUPPLY_BUS;
    const pfn = this.core.keeper.takeZeroed();
    return pfn < 0 ? SUPPLY_NO_MEMORY : this.adopt(index, pfn);
  }

  /** See {@link MemoryObject.canFillBlock}: nobody has stored to the pages. */
  override canFillBlock(index: number): boolean {
    return (index + TABLE_PAGES) * PAGE_SIZE <= this.#size && !this.pages.hasAny(index, index + TABLE_PAGES);
  }

  /** See {@link MemoryObject.fillBlock}: zeroes. */
  override fillBlock(_index: number, pfn: number): boolean {
    zeroBlock(this.core, pfn, TABLE_PAGES);
    return true;
  }

  /** Sets the size; bytes beyond the old one read as zero. All or nothing. */
  resize(bytes: number): ObjectOutcome {
    this.demandAlive();
    demandSize(bytes);
    if (bytes < this.#size && this.#seals.has("shrink")) return "sealed";
    if (bytes > this.#size && this.#seals.has("grow")) return "sealed";
    this.settle();
    const before = this.#size;
    const brought = this.#bringTail(Math.min(before, bytes));
    if (brought !== "ok") return brought;
    if (this.#size !== before) return this.resize(bytes); // Others ran while there was made room for the tail.
    this.#size = bytes;
    this.resized(before, bytes);
    return "ok";
  }

  /** Adds seals, all or none. `busy`: sealing against stores while a shared mapping could store, or a device or `run` has pages of the object. */
  addSeals(seals: readonly Seal[]): ObjectOutcome {
    this.demandAlive();
    if (this.#seals.has("seal")) return "sealed";
    if (seals.includes("write") && !this.#seals.has("write") && this.#mayBeStoredTo()) return "busy";
    for (const seal of seals) this.#seals.add(seal);
    return "ok";
  }

  /** See {@link MemoryObject.isWritable}: not with the seals `write` and `future-write`. */
  override get isWritable(): boolean {
    return !this.#seals.has("write") && !this.#seals.has("future-write");
  }

  /** Brings the page in whose bytes from `end` on have to become zero; `ok` also where there is none, or its content is lost for good. */
  #bringTail(end: number): "ok" | "no-memory" | "failed" | "pending" {
    const index = Math.floor(end / PAGE_SIZE);
    const known = this.pages.get(index);
    if (end % PAGE_SIZE === 0 || known < 0 || this.core.pages.has(known, PAGE_POISONED)) return "ok";
    const page = this.obtain(index);
    if (page === SUPPLY_PENDING) return "pending";
    if (page === SUPPLY_NO_MEMORY) return "no-memory";
    return page >= 0 || this.core.pages.has(known, PAGE_POISONED) ? "ok" : "failed";
  }

  #mayBeStoredTo(): boolean {
    for (const region of this.regions.keys()) if (region.shared && (region.ceiling & WRITE) !== 0) return true;
    let isPinned = false;
    this.pages.forEach(0, this.pageCount, (page) => (isPinned ||= this.core.pages.isPinned(page)));
    return isPinned;
  }
}
