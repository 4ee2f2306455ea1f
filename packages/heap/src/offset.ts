import { endUse, measure, moveBlock, NO_ADDRESS, requireInvariant, requireRequest } from "./allocator.ts";
import type { Allocator, HeapSource, HeapStats } from "./allocator.ts";
import { Chunks, discard, releaseAll } from "./chunks.ts";
import type { Chunk, GrowthPolicy } from "./chunks.ts";
import { HeapError } from "./errors.ts";
import { LiveTable } from "./live-table.ts";
import { NONE, RangeNodes } from "./range-nodes.ts";

/** How an offset allocator is built. */
export interface OffsetOptions extends GrowthPolicy {
  /** All addresses and sizes are multiples of this; 8 by default, 256 for most GPU buffers. Any whole number. */
  readonly granule?: number;
}

/** Smaller free ranges are not worth a call to discard them. */
const LEAST_DISCARD = 32768;

/**
 * An allocator of plain numbers up to 2^53: all it knows is in a table of nodes (`RangeNodes`), one for each live or free range, which
 * grows with their number and not with the size of the memory. For GPU buffers, file offsets, address space.
 */
export class OffsetAllocator implements Allocator {
  readonly #source: HeapSource;
  readonly #chunks: Chunks;
  readonly #granule: number;
  /** The largest power of two that divides the granule: what all addresses are aligned to. */
  readonly #lowest: number;
  /** Free ranges of so many granules may be worth giving back: asks the policy. */
  readonly #surplus: number;
  readonly #policy: GrowthPolicy;
  /** Milliseconds: until then nothing is discarded. */
  #nextDiscard = 0;
  /** Places and sizes are in granules. */
  readonly #ranges: RangeNodes = new RangeNodes();
  /** The live ranges by their first granule. */
  readonly #live: LiveTable = new LiveTable((node) => this.#ranges.start(node));

  /** @throws HeapError `bad-option` for a granule that is no whole number above 0. */
  constructor(source: HeapSource, options: OffsetOptions = {}) {
    const { granule = 8, clock, retainBytes = 2 ** 20 } = options;
    if (!(granule >= 1) || !Number.isSafeInteger(granule)) throw new HeapError("bad-option", granule);
    this.#source = source;
    this.#granule = granule;
    let lowest = 1;
    while (granule % (2 * lowest) === 0) lowest *= 2;
    this.#lowest = lowest;
    this.#surplus = clock === undefined ? Infinity : Math.ceil(retainBytes / granule);
    this.#policy = options;
    this.#chunks = new Chunks(source, options);
  }

  /** Takes the first range of the first bin that fits, and splits off what is left. */
  allocate(size: number, alignment = 0): number {
    requireRequest(size, alignment);
    const granules = Math.max(Math.ceil(size / this.#granule), 1);
    // One of so many granules that follow each other is aligned.
    const step = alignment > this.#lowest ? alignment / this.#lowest : 1;
    let node = this.#ranges.take(granules, step);
    if (node === NONE) node = this.#takeSlowly(granules, step);
    if (node === NONE) return NO_ADDRESS;
    const start = this.#ranges.start(node);
    this.#live.add(start, node);
    return start * this.#granule;
  }

  /**
   * Takes a range when there was none: asks the source for more, first for what the free range at the end lacks, then, where the new memory does not follow it, for
   * the whole, then for one without room to align in. With no more to be had it looks at every range that may just fit.
   */
  #takeSlowly(granules: number, step: number): number {
    const ranges = this.#ranges;
    const { tail } = ranges;
    const wanted = granules + step - 1;
    const lacking = tail !== NONE && ranges.isFree(tail) ? Math.max(wanted - ranges.size(tail), 1) : wanted;
    let node = this.#extend(lacking, 1) ? ranges.take(granules, step) : NONE;
    if (node === NONE && lacking !== wanted && this.#extend(wanted, 1)) node = ranges.take(granules, step);
    if (node !== NONE) return node;
    if (step > 1) this.#extend(granules, step);
    node = ranges.search(granules, step);
    return node === NONE ? NONE : ranges.takeFrom(node, granules, step);
  }

  /** Merges with free neighbours; gives memory back where that is due. */
  free(address: number): void {
    const node = this.#live.take(address / this.#granule);
    if (node < 0) this.#throwMisuse(address);
    const whole = this.#ranges.give(node);
    if (this.#ranges.size(whole) >= this.#surplus) this.#giveSurplus(this.#ranges.above(whole) === NONE);
  }

  /** Gives what is free at the ends of the chunks back, and discards what is free elsewhere, as far as the policy says so. */
  #giveSurplus(isEnd: boolean): void {
    if (!this.#chunks.isDue()) return;
    // Not at every free, as both look at all ranges.
    const { clock, retainMs = 1000 } = this.#policy;
    const now = clock?.now() ?? 0;
    const isDue = now >= this.#nextDiscard;
    if (isEnd || isDue) this.#giveEnds();
    if (!isDue) return;
    this.#nextDiscard = now + retainMs;
    this.#discard(this.#surplus);
  }

  #giveEnds(): void {
    const ends = this.#ranges.freeEnds();
    const free = ends.reduce((sum, node) => sum + this.#ranges.size(node), 0);
    let left = Math.max(free - this.#surplus, 0);
    for (const node of ends) {
      const granules = Math.min(left, this.#ranges.size(node));
      this.#cutEnd(node, granules);
      left -= granules;
    }
  }

  /** Discards the contents of free ranges of more than `keep` granules. */
  #discard(keep: number): void {
    const ranges = this.#ranges;
    for (let node = 0; node < ranges.count; node++) {
      const bytes = ranges.size(node) * this.#granule;
      if (ranges.isFree(node) && ranges.size(node) > keep && bytes >= LEAST_DISCARD)
        discard(this.#chunks, this.#source, ranges.start(node) * this.#granule, bytes);
    }
  }

  #throwMisuse(address: number): never {
    const granule = address / this.#granule;
    const ranges = this.#ranges;
    let isFree = false;
    for (let node = 0; node < ranges.count; node++) {
      const within = granule - ranges.start(node);
      if (ranges.isFree(node) && within >= 0 && within < ranges.size(node)) isFree = true;
    }
    throw new HeapError(isFree ? "double-free" : "wild-free", address);
  }

  /** In place where the range shrinks, the one above it is free, or the source has more behind it; else by moving. */
  resize(address: number, size: number, alignment = 0): number {
    const ranges = this.#ranges;
    const node = this.#nodeAt(address);
    requireRequest(size, alignment);
    const granules = Math.max(Math.ceil(size / this.#granule), 1);
    const now = ranges.size(node);
    if (ranges.resize(node, granules)) return address;
    const room = ranges.roomAbove(node);
    const isLast = (room > 0 ? ranges.above(node) : node) === ranges.tail;
    if (isLast && this.#extend(granules - now - room, 1) && ranges.resize(node, granules)) return address;
    return moveBlock(this, this.#source, address, now * this.#granule, size, alignment);
  }

  /** The range's granules. */
  usableSize(address: number): number {
    return this.#ranges.size(this.#nodeAt(address)) * this.#granule;
  }

  /** Exact. */
  owns(address: number): boolean {
    return this.#live.find(address / this.#granule) >= 0;
  }

  #nodeAt(address: number): number {
    const node = this.#live.find(address / this.#granule);
    return node < 0 ? this.#throwMisuse(address) : node;
  }

  /** The first whole granule of a chunk. */
  #startOf({ address }: Chunk): number {
    return Math.ceil(address / this.#granule) + 0;
  }

  /** The first granule after a chunk. */
  #endOf({ address, bytes }: Chunk): number {
    return Math.floor((address + bytes) / this.#granule);
  }

  /** Takes memory from the source: so many granules, the first of which is a multiple of `step`. @returns whether there was any. */
  #extend(granules: number, step: number): boolean {
    const unit = this.#granule;
    const before = this.#chunks.list.at(-1);
    const end = before === undefined ? 0 : this.#endOf(before);
    // Where addresses are no multiples of the granule, a new chunk may lack one, and some before the first that is aligned.
    const spare = this.#lowest === unit ? 0 : step;
    if (this.#chunks.grow((granules + spare) * unit, unit, step * this.#lowest) === 0) return false;
    const chunk = this.#chunks.list.at(-1);
    if (chunk === undefined) return false;
    const start = chunk === before ? end : this.#startOf(chunk);
    this.#ranges.add(start, this.#endOf(chunk) - start, chunk === before);
    return true;
  }

  /** Gives the last granules of the free range at the end of a chunk back to the source. */
  #cutEnd(node: number, granules: number): void {
    const ranges = this.#ranges;
    const end = ranges.start(node) + ranges.size(node);
    const chunk = this.#chunks.list.find((each) => this.#endOf(each) === end);
    if (granules <= 0 || chunk === undefined) return;
    const last = ranges.cut(node, granules);
    this.#chunks.shrink(chunk, last === NONE ? chunk.bytes : granules * this.#granule);
    if (ranges.tail === NONE) ranges.tail = this.#lastOf(this.#chunks.list.at(-1));
  }

  #lastOf(chunk: Chunk | undefined): number {
    return chunk === undefined ? NONE : this.#ranges.endingAt(this.#endOf(chunk));
  }

  /** Gives free memory at the ends of the chunks back to the source, and discards the contents of other large free ranges. */
  trim(): void {
    const ranges = this.#ranges;
    for (const node of ranges.freeEnds()) this.#cutEnd(node, ranges.size(node));
    this.#discard(0);
  }

  /** A snapshot. */
  stats(): HeapStats {
    return measure(this, this.#chunks.bytes, this.#ranges.bytes + this.#live.bytes, this.#chunks.calls);
  }

  /** Neighbours fit together, free ones are merged and in their bins, live ones can be found, and all together are the chunks. */
  check(): void {
    const ranges = this.#ranges;
    ranges.check();
    let live = 0;
    let granules = 0;
    for (let node = 0; node < ranges.count; node++) {
      if (ranges.isLive(node)) {
        live++;
        requireInvariant(this.#live.find(ranges.start(node)) === node, node, "a live range can be found");
      }
      if (ranges.isLive(node) || ranges.isFree(node)) granules += ranges.size(node);
    }
    requireInvariant(live === this.#live.count, live, "live ranges are counted");
    for (const chunk of this.#chunks.list) granules -= this.#endOf(chunk) - this.#startOf(chunk);
    requireInvariant(granules === 0, granules, "the ranges together are the chunks");
    requireInvariant(ranges.tail === this.#lastOf(this.#chunks.list.at(-1)), ranges.tail, "the last range is known");
  }

  /** In the order of the nodes. */
  walk(visit: (address: number, bytes: number) => void): void {
    const ranges = this.#ranges;
    for (let node = 0; node < ranges.count; node++)
      if (ranges.isLive(node)) visit(ranges.start(node) * this.#granule, ranges.size(node) * this.#granule);
  }

  /** Every chunk becomes one free range. */
  reset(): void {
    this.#ranges.clear();
    this.#live.clear();
    for (const chunk of this.#chunks.list) {
      const start = this.#startOf(chunk);
      this.#ranges.add(start, this.#endOf(chunk) - start, false);
    }
  }

  /** Gives every chunk back. */
  destroy(): void {
    releaseAll(this.#chunks);
    this.reset();
    endUse(this);
  }
}
