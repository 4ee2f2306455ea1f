import { endUse, measure, moveBlock, NO_ADDRESS, requireInvariant, requireRequest } from "./allocator.ts";
import type { Allocator, HeapSource, HeapStats } from "./allocator.ts";
import { Chunks } from "./chunks.ts";
import type { GrowthPolicy } from "./chunks.ts";
import { HeapError } from "./errors.ts";
import { LiveTable } from "./live-table.ts";

/** How an offset allocator is built. */
export interface OffsetOptions extends GrowthPolicy {
  /** All addresses and sizes are multiples of this; 8 by default, 256 for most GPU buffers. Any whole number. */
  readonly granule?: number;
}

/*
 * Free ranges are sorted into bins whose sizes grow as a floating-point number with three bits of mantissa does:
 *
 *      granules   0 1 2 3 4 5 6 7 8 9 … 15   16 18 20 … 30   32 36 40 … 60   64 72 …
 *                 └──── exact ────────────┘  └─ 2 apart ──┘  └─ 4 apart ──┘  └─ 8 apart
 *
 * so that a range taken from the next bin up is at most 12.5 % larger than what was asked for, and what is left of it is free again.
 * Aaltonen, OffsetAllocator (2023).
 */
const MANTISSA = 3;
const BINS = 512;
const NONE = -1;
/** What stands for the previous range of its bin in a range that is live, and in a node that is not in use. */
const LIVE = -2;
const UNUSED = -3;

/*
 * A node is 32 bytes, so that it lies in one cache line: start and size as float64, then four words.
 *
 *      ┌───────────────┬───────────────┬───────┬───────┬───────┬──────────┐
 *      │     start     │     size      │ below │ above │ next  │ previous │
 *      └───────────────┴───────────────┴───────┴───────┴───────┴──────────┘
 *                         neighbours in memory └───────┘ └────────────────┘ in the bin; next also links unused nodes
 */
const BELOW = 4;
const ABOVE = 5;
const NEXT = 6;
const PREVIOUS = 7;

/** The bin of ranges of `granules`. */
function binDown(granules: number): number {
  if (granules < 16) return granules;
  const large = granules < 2 ** 31 ? 0 : Math.floor(Math.log2(granules)) - 30;
  // What is cut off below does not change the bin.
  const high = large === 0 ? granules : Math.floor(granules / 2 ** large);
  const shift = 31 - MANTISSA - Math.clz32(high);
  return ((shift + large) << MANTISSA) + (high >>> shift);
}

/** The first bin all of whose ranges are at least `granules`. */
function binUp(granules: number): number {
  return granules < 16 ? granules : binDown(granules - 1) + 1;
}

/**
 * An allocator of plain numbers up to 2^53: all it knows is in a table of nodes, one for each live or free range, which
 * grows with their number and not with the size of the memory. For GPU buffers, file offsets, address space.
 */
export class OffsetAllocator implements Allocator {
  readonly #source: HeapSource;
  readonly #chunks: Chunks;
  readonly #granule: number;
  /** Four numbers for each node: start and size in granules, and the four links. */
  #numbers: Float64Array = new Float64Array(0);
  /** The same memory as words: the links of node n from word 8n + 4 on. */
  #links: Int32Array = new Int32Array(0);
  #unused: number = NONE;
  /** By bin: first node. */
  readonly #heads: Int32Array = new Int32Array(BINS).fill(NONE);
  /** One bit for each bin that is not empty, and one for each word of these. */
  readonly #bits: Int32Array = new Int32Array(BINS / 32 + 1);
  /** The live ranges by their first granule. */
  readonly #live: LiveTable = new LiveTable((node) => this.#numbers[4 * node]!);
  #nodes = 0;

  constructor(source: HeapSource, options: OffsetOptions = {}) {
    this.#source = source;
    this.#granule = options.granule ?? 8;
    if (!(this.#granule >= 1) || !Number.isInteger(this.#granule)) throw new HeapError("bad-option", this.#granule);
    this.#chunks = new Chunks(source, options);
  }

  /** Takes the first range of the first bin that fits, and splits off what is left. */
  allocate(size: number, alignment = 0): number {
    requireRequest(size, alignment);
    const granules = Math.max(Math.ceil(size / this.#granule), 1);
    let slack = 0;
    if (alignment !== 0 && this.#granule % alignment !== 0) slack = Math.ceil(alignment / this.#granule);
    let node = this.#find(granules + slack);
    if (node === NONE) {
      if (!this.#grow(granules + slack)) return NO_ADDRESS;
      node = this.#find(granules + slack);
      if (node === NONE) return NO_ADDRESS;
    }
    this.#unlink(node);
    if (slack > 0) node = this.#cutFront(node, alignment);
    this.#cutBack(node, granules);
    this.#links[8 * node + PREVIOUS] = LIVE;
    this.#live.add(this.#numbers[4 * node]!, node);
    return this.#numbers[4 * node]! * this.#granule;
  }

  #find(granules: number): number {
    // The bin below may hold a range that fits too: its first one is worth a look.
    const lower = this.#heads[binDown(granules)] ?? NONE;
    if (lower !== NONE && this.#numbers[4 * lower + 1]! >= granules) return lower;
    const bin = binUp(granules);
    if (bin >= BINS) return NONE;
    let word = bin >>> 5;
    let bits = this.#bits[1 + word]! & (-1 << bin);
    if (bits === 0) {
      const words = word === 31 ? 0 : this.#bits[0]! & (-2 << word);
      if (words === 0) return NONE;
      word = 31 - Math.clz32(words & -words);
      bits = this.#bits[1 + word]!;
    }
    return this.#heads[word * 32 + 31 - Math.clz32(bits & -bits)]!;
  }

  /** Splits off what lies below the first multiple of `alignment`. @returns the aligned part. */
  #cutFront(node: number, alignment: number): number {
    const start = this.#numbers[4 * node]!;
    let aligned = start;
    while ((aligned * this.#granule) % alignment !== 0) aligned = this.#nextAligned(aligned, alignment);
    if (aligned === start) return node;
    const upper = this.#split(node, aligned - start);
    this.#link(node);
    return upper;
  }

  /** The next granule whose address is a multiple of the alignment: at once where one divides the other, else one by one. */
  #nextAligned(granule: number, alignment: number): number {
    if (alignment % this.#granule !== 0) return granule + 1;
    return (Math.floor((granule * this.#granule) / alignment) + 1) * (alignment / this.#granule);
  }

  #cutBack(node: number, granules: number): void {
    if (this.#numbers[4 * node + 1]! > granules) this.#link(this.#split(node, granules));
  }

  /** Cuts a node after `granules`. @returns the node of the rest, in no bin. */
  #split(node: number, granules: number): number {
    const rest = this.#newNode();
    this.#numbers[4 * rest] = this.#numbers[4 * node]! + granules;
    this.#numbers[4 * rest + 1] = this.#numbers[4 * node + 1]! - granules;
    this.#numbers[4 * node + 1] = granules;
    const above = this.#links[8 * node + ABOVE]!;
    this.#links[8 * rest + BELOW] = node;
    this.#links[8 * rest + ABOVE] = above;
    this.#links[8 * node + ABOVE] = rest;
    if (above !== NONE) this.#links[8 * above + BELOW] = rest;
    return rest;
  }

  /** Merges with free neighbours. */
  free(address: number): void {
    let node = this.#live.take(address / this.#granule);
    if (node < 0) this.#throwMisuse(address);
    const above = this.#links[8 * node + ABOVE]!;
    if (above !== NONE && this.#isFree(above)) this.#absorb(node, above);
    const below = this.#links[8 * node + BELOW]!;
    if (below !== NONE && this.#isFree(below)) {
      this.#unlink(below);
      this.#join(below, node);
      node = below;
    }
    this.#link(node);
  }

  #throwMisuse(address: number): never {
    const granule = address / this.#granule;
    let isFree = false;
    for (let node = 0; node < this.#nodes; node++)
      if (
        this.#isFree(node)
        && granule >= this.#numbers[4 * node]!
        && granule < this.#numbers[4 * node]! + this.#numbers[4 * node + 1]!
      )
        isFree = true;
    throw new HeapError(isFree ? "double-free" : "wild-free", address);
  }

  /** Takes a free node out of its bin and joins it to the one below it. */
  #absorb(node: number, above: number): void {
    this.#unlink(above);
    this.#join(node, above);
  }

  #join(node: number, above: number): void {
    this.#numbers[4 * node + 1] = this.#numbers[4 * node + 1]! + this.#numbers[4 * above + 1]!;
    const next = this.#links[8 * above + ABOVE]!;
    this.#links[8 * node + ABOVE] = next;
    if (next !== NONE) this.#links[8 * next + BELOW] = node;
    this.#links[8 * above + PREVIOUS] = UNUSED;
    this.#links[8 * above + NEXT] = this.#unused;
    this.#unused = above;
  }

  /** In place where the range shrinks or the one above it is free, else by moving. */
  resize(address: number, size: number): number {
    const node = this.#nodeAt(address);
    requireRequest(size, 0);
    const granules = Math.max(Math.ceil(size / this.#granule), 1);
    const now = this.#numbers[4 * node + 1]!;
    const above = this.#links[8 * node + ABOVE]!;
    const room = above !== NONE && this.#isFree(above) ? this.#numbers[4 * above + 1]! : 0;
    if (granules > now + room) return moveBlock(this, this.#source, address, now * this.#granule, size);
    if (granules !== now && room > 0) this.#absorb(node, above);
    this.#cutBack(node, granules);
    return address;
  }

  /** The range's granules. */
  usableSize(address: number): number {
    return this.#numbers[4 * this.#nodeAt(address) + 1]! * this.#granule;
  }

  /** Exact. */
  owns(address: number): boolean {
    return this.#live.find(address / this.#granule) >= 0;
  }

  #nodeAt(address: number): number {
    const node = this.#live.find(address / this.#granule);
    return node < 0 ? this.#throwMisuse(address) : node;
  }

  #isFree(node: number): boolean {
    return this.#links[8 * node + PREVIOUS]! >= NONE;
  }

  #isLive(node: number): boolean {
    return this.#links[8 * node + PREVIOUS]! === LIVE;
  }

  #newNode(): number {
    const node = this.#unused;
    if (node !== NONE) {
      this.#unused = this.#links[8 * node + NEXT]!;
      return node;
    }
    if (this.#nodes * 8 === this.#links.length) {
      const numbers = new Float64Array(4 * Math.max(64, Math.ceil(this.#nodes * 1.25)));
      numbers.set(this.#numbers);
      this.#numbers = numbers;
      this.#links = new Int32Array(numbers.buffer);
    }
    return this.#nodes++;
  }

  #link(node: number): void {
    const bin = Math.min(binDown(this.#numbers[4 * node + 1]!), BINS - 1);
    const first = this.#heads[bin]!;
    this.#links[8 * node + NEXT] = first;
    this.#links[8 * node + PREVIOUS] = NONE;
    if (first !== NONE) this.#links[8 * first + PREVIOUS] = node;
    this.#heads[bin] = node;
    this.#bits[1 + (bin >>> 5)] = this.#bits[1 + (bin >>> 5)]! | (1 << bin);
    this.#bits[0] = this.#bits[0]! | (1 << (bin >>> 5));
  }

  #unlink(node: number): void {
    const next = this.#links[8 * node + NEXT]!;
    const before = this.#links[8 * node + PREVIOUS]!;
    if (next !== NONE) this.#links[8 * next + PREVIOUS] = before;
    if (before !== NONE) {
      this.#links[8 * before + NEXT] = next;
      return;
    }
    const bin = Math.min(binDown(this.#numbers[4 * node + 1]!), BINS - 1);
    this.#heads[bin] = next;
    if (next !== NONE) return;
    const bits = this.#bits[1 + (bin >>> 5)]! & ~(1 << bin);
    this.#bits[1 + (bin >>> 5)] = bits;
    if (bits === 0) this.#bits[0] = this.#bits[0]! & ~(1 << (bin >>> 5));
  }

  /** Takes memory from the source: first what the free range at the end lacks, then, where the new range does not follow it, the whole. */
  #grow(granules: number): boolean {
    const last = this.#chunks.list.at(-1);
    const end = last === undefined ? NONE : Math.floor((last.address + last.bytes) / this.#granule);
    const tail = this.#nodeEndingAt(end);
    const lacking = tail === NONE || this.#isLive(tail) ? granules : granules - this.#numbers[4 * tail + 1]!;
    if (lacking < granules && this.#extend(lacking, end)) return true;
    return this.#extend(granules, end);
  }

  /** @returns whether the new memory follows the last chunk or is enough by itself. */
  #extend(granules: number, lastEnd: number): boolean {
    const unit = this.#granule;
    const added = this.#chunks.grow(granules * unit, unit, unit & -unit);
    const chunk = this.#chunks.list.at(-1);
    if (added === 0 || chunk === undefined) return false;
    const end = Math.floor((chunk.address + chunk.bytes) / unit);
    const isNew = added === chunk.bytes;
    const from = isNew ? Math.ceil(chunk.address / unit) : lastEnd;
    if (end <= from) return false;
    const node = this.#newNode();
    this.#numbers[4 * node] = from;
    this.#numbers[4 * node + 1] = end - from;
    this.#links[8 * node + BELOW] = NONE;
    this.#links[8 * node + ABOVE] = NONE;
    const below = isNew ? NONE : this.#nodeEndingAt(from);
    if (below !== NONE) {
      this.#links[8 * below + ABOVE] = node;
      this.#links[8 * node + BELOW] = below;
    }
    if (below === NONE || this.#isLive(below)) this.#link(node);
    else {
      this.#unlink(below);
      this.#join(below, node);
      this.#link(below);
    }
    return !isNew || end - from >= granules;
  }

  /** The node whose range ends there, or none. Slow: looks at all, which growing can afford. */
  #nodeEndingAt(end: number): number {
    for (let node = 0; node < this.#nodes; node++)
      if (
        this.#links[8 * node + PREVIOUS]! !== UNUSED
        && this.#numbers[4 * node]! + this.#numbers[4 * node + 1]! === end
      )
        return node;
    return NONE;
  }

  /** A snapshot. */
  stats(): HeapStats {
    const tables = (this.#links.length + this.#heads.length + this.#bits.length) * 4 + this.#live.bytes;
    return measure(this, this.#chunks.bytes, tables, this.#chunks.calls);
  }

  /** Neighbours fit together, free ones are merged and in their bins, live ones can be found. */
  check(): void {
    let live = 0;
    let free = 0;
    for (let node = 0; node < this.#nodes; node++) {
      if (this.#isLive(node)) {
        live++;
        requireInvariant(this.#live.find(this.#numbers[4 * node]!) === node, node, "a live range can be found");
      } else if (this.#isFree(node)) free++;
      else continue;
      const above = this.#links[8 * node + ABOVE]!;
      if (above === NONE) continue;
      requireInvariant(
        this.#numbers[4 * node]! + this.#numbers[4 * node + 1]! === this.#numbers[4 * above]!,
        node,
        "neighbours touch",
      );
      requireInvariant(this.#links[8 * above + BELOW] === node, node, "neighbours know each other");
      requireInvariant(this.#isLive(node) || this.#isLive(above), node, "no two free ranges touch");
    }
    requireInvariant(live === this.#live.count, live, "live ranges are counted");
    for (let bin = 0; bin < BINS; bin++) {
      const bit = (this.#bits[1 + (bin >>> 5)]! & (1 << bin)) !== 0;
      requireInvariant(bit === (this.#heads[bin] !== NONE), bin, "a bin's bit is set exactly where it holds a range");
      for (let node = this.#heads[bin]!; node !== NONE; node = this.#links[8 * node + NEXT]!) {
        requireInvariant(--free >= 0 && this.#isFree(node), node, "a bin holds free ranges, each once");
        requireInvariant(binDown(this.#numbers[4 * node + 1]!) === bin, node, "a range is in the bin of its size");
      }
    }
    requireInvariant(free === 0, free, "every free range is in a bin");
  }

  /** In the order of the nodes. */
  walk(visit: (address: number, bytes: number) => void): void {
    for (let node = 0; node < this.#nodes; node++)
      if (this.#isLive(node))
        visit(this.#numbers[4 * node]! * this.#granule, this.#numbers[4 * node + 1]! * this.#granule);
  }

  /** Every range is free again: gives them back one by one. */
  reset(): void {
    const live: number[] = [];
    this.walk((address) => live.push(address));
    for (const address of live) this.free(address);
  }

  /** Gives every chunk back. */
  destroy(): void {
    this.reset();
    this.#chunks.releaseAll();
    this.#nodes = 0;
    this.#unused = NONE;
    this.#heads.fill(NONE);
    this.#bits.fill(0);
    endUse(this);
  }
}
