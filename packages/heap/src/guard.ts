import { NO_ADDRESS, requireInvariant, requireRequest } from "./allocator.ts";
import type { Allocator, HeapStats } from "./allocator.ts";
import { HeapError } from "./errors.ts";
import type { BlockMemory, RangeSource } from "./ports.ts";
import { Wrapper } from "./wrapper.ts";

/** Takes pages away and brings them back, so that touching them faults at the access: `mprotect` of a virtual memory. */
export interface PageGuard {
  /** Makes `[address, address + bytes)` inaccessible (`"none"`) or accessible; whole pages. */
  protect(address: number, bytes: number, access: "none" | "read-write"): void;
}

/** How a sampling guard samples. */
export interface GuardOptions {
  /** One allocation out of so many is guarded; 5000 by default. */
  readonly every?: number;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  /** How many blocks are guarded at once; 16 by default. Larger ones than a page never are. */
  readonly slots?: number;
  /** Bytes of a page; 4096 by default. */
  readonly pageBytes?: number;
}

/**
 * A wrapper that guards a few blocks, chosen at random, with pages that nobody may touch: one before, one after, and the
 * block's own as soon as it is freed. An overflow or a use after free of such a block faults at the access itself, at next to no cost for the others. With
 * `every: 1` and enough slots it guards all of them.
 *
 *      ┌─ none ─┬─ slot 0 ─┬─ none ─┬─ slot 1 ─┬─ none ─┬ …     a block lies at the end of its slot, so that its
 *      └────────┴──────────┴────────┴──────────┴────────┴ …     last byte borders on the page that is away
 *
 * Evans, Serebryany and others: GWP-ASan: Sampling-Based Detection of Memory-Safety Bugs in Production (2024).
 */
export class SamplingGuard extends Wrapper {
  readonly #memory: BlockMemory;
  readonly #source: RangeSource;
  readonly #guard: PageGuard;
  readonly #every: number;
  readonly #random: () => number;
  readonly #page: number;
  #slots: number;
  readonly #base: number;
  /** Free slots, the longest free first. */
  readonly #free: number[];
  /** By slot: address of its block, live or freed last. */
  readonly #addresses: Float64Array;
  /** By slot: size of its live block, or −1. */
  readonly #sizes: Float64Array;
  #left: number;
  #isDestroyed = false;

  /** @throws HeapError `bad-option` where the source has no room for the slots, there are none, a page is no power of two from 8 on, or nothing is sampled. */
  constructor(inner: Allocator, source: RangeSource & BlockMemory, guard: PageGuard, options: GuardOptions) {
    super(inner);
    this.#memory = source;
    this.#source = source;
    this.#guard = guard;
    this.#every = options.every ?? 5000;
    this.#random = options.random;
    this.#page = options.pageBytes ?? 4096;
    this.#slots = options.slots ?? 16;
    const isSound = this.#every > 0 && Number.isInteger(this.#slots) && this.#slots > 0;
    if (!isSound || !(this.#page >= 8) || !Number.isInteger(Math.log2(this.#page)))
      throw new HeapError("bad-option", this.#page, "a guard samples, has slots, and its pages are powers of two");
    this.#base = source.reserve(this.#bytes, this.#page);
    if (this.#base === -1) throw new HeapError("bad-option", this.#bytes, "the source has no room for guarded slots");
    guard.protect(this.#base, this.#bytes, "none");
    this.#free = Array.from({ length: this.#slots }, (_, slot) => slot);
    this.#addresses = new Float64Array(this.#slots).fill(NO_ADDRESS);
    this.#sizes = new Float64Array(this.#slots).fill(-1);
    this.#left = this.#distance();
  }

  get #bytes(): number {
    return (this.#slots * 2 + 1) * this.#page;
  }

  #distance(): number {
    return this.#every === 1 ? 1 : 1 + Math.floor(this.#random() * 2 * this.#every);
  }

  #pageOf(slot: number): number {
    return this.#base + (slot * 2 + 1) * this.#page;
  }

  /** The slot that an address lies in, or −1. */
  #slotAt(address: number): number {
    const page = Math.floor((address - this.#base) / this.#page);
    return page >= 0 && page < this.#slots * 2 + 1 ? page >>> 1 : -1;
  }

  /** Guards one in so many. */
  override allocate(size: number, alignment = 0, hint = 0): number {
    if (--this.#left > 0 || this.#isDestroyed) return this.inner.allocate(size, alignment, hint);
    this.#left = this.#distance();
    requireRequest(size, alignment);
    const slot = size > this.#page || alignment > this.#page ? undefined : this.#free.shift();
    if (slot === undefined) return this.inner.allocate(size, alignment, hint);
    // As aligned as any allocator's blocks: wrappers around this one count on it.
    const unit = Math.max(alignment, 8);
    const page = this.#pageOf(slot);
    const address = page + Math.floor((this.#page - Math.max(size, 1)) / unit) * unit;
    this.#guard.protect(page, this.#page, "read-write");
    this.#addresses[slot] = address;
    this.#sizes[slot] = size;
    return address;
  }

  /** A guarded block's page goes away; so does any access to it. */
  override free(address: number): void {
    const slot = this.#slotAt(address);
    if (slot < 0) {
      this.inner.free(address);
      return;
    }
    if (this.#addresses[slot] !== address) throw new HeapError("wild-free", address);
    if (this.#sizes[slot]! < 0) throw new HeapError("double-free", address);
    this.#sizes[slot] = -1;
    this.#guard.protect(this.#pageOf(slot), this.#page, "none");
    this.#free.push(slot);
  }

  /** What a faulting address means, for a fault handler: the block that it missed, or null for an address elsewhere. */
  explain(
    address: number,
  ): { readonly block: number; readonly kind: "overflow" | "underflow" | "use-after-free" } | null {
    const slot = this.#slotAt(address);
    if (slot < 0) return null;
    const at =
      address < this.#pageOf(slot) && slot > 0 && this.#sizes[slot]! < 0 ? slot - 1 : Math.min(slot, this.#slots - 1);
    const block = this.#addresses[at]!;
    if (block === NO_ADDRESS) return null;
    if (this.#sizes[at]! < 0) return { block, kind: "use-after-free" };
    return { block, kind: address < block ? "underflow" : "overflow" };
  }

  /** A guarded block always moves. */
  override resize(address: number, size: number, alignment = 0, hint = 0): number {
    const slot = this.#slotAt(address);
    if (slot < 0) return this.inner.resize(address, size, alignment, hint);
    const before = this.usableSize(address);
    const to = this.allocate(size, alignment, hint);
    if (to === NO_ADDRESS) return to;
    this.#memory.copy(address, to, Math.min(before, size));
    this.free(address);
    return to;
  }

  /** Of a guarded block exactly what was asked for. */
  override usableSize(address: number): number {
    const slot = this.#slotAt(address);
    if (slot < 0) return this.inner.usableSize(address);
    if (!this.owns(address)) throw new HeapError("wild-free", address);
    return this.#sizes[slot]!;
  }

  /** Whether a live block starts there. */
  override owns(address: number): boolean {
    const slot = this.#slotAt(address);
    return slot < 0 ? this.inner.owns(address) : this.#addresses[slot] === address && this.#sizes[slot]! >= 0;
  }

  /** With the guarded blocks. */
  override walk(visit: (address: number, bytes: number) => void): void {
    this.inner.walk(visit);
    this.#sizes.forEach((size, slot) => {
      if (size >= 0) visit(this.#addresses[slot]!, size);
    });
  }

  /** With the guarded blocks. */
  override stats(): HeapStats {
    const stats = this.inner.stats();
    const guarded = this.#sizes.filter((size) => size >= 0);
    return {
      ...stats,
      liveBlocks: stats.liveBlocks + guarded.length,
      liveBytes: stats.liveBytes + guarded.reduce((sum, size) => sum + size, 0),
      reservedBytes: stats.reservedBytes + this.#bytes,
    };
  }

  /** Ends all lives, the guarded ones too. */
  override reset(): void {
    this.inner.reset();
    this.#sizes.forEach((size, slot) => {
      if (size >= 0) this.free(this.#addresses[slot]!);
    });
  }

  /** Checks the allocator behind, and that each slot is free or has a block that ends in its page. */
  override check(): void {
    this.inner.check();
    const free = new Set(this.#free);
    requireInvariant(free.size === this.#free.length, this.#base, "a slot is free once");
    this.#sizes.forEach((size, slot) => {
      const within = this.#addresses[slot]! - this.#pageOf(slot);
      requireInvariant(size >= 0 !== free.has(slot), slot, "a slot is free or has a block");
      requireInvariant(
        size < 0 || (within >= 0 && within + size <= this.#page),
        slot,
        "a block lies in its slot's page",
      );
    });
  }

  /** Gives the guarded slots back, accessible again. */
  override destroy(): void {
    if (!this.#isDestroyed) {
      this.#isDestroyed = true;
      this.#sizes.fill(-1);
      this.#addresses.fill(NO_ADDRESS);
      this.#guard.protect(this.#base, this.#bytes, "read-write");
      this.#source.release(this.#base, this.#bytes);
    }
    this.inner.destroy();
  }
}
