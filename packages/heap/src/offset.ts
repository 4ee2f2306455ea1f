import { BaseAllocator, memoryOf, NO_ADDRESS, requireInvariant, requireRequest } from "./allocator.ts";
import type { HeapSource, HeapStats } from "./allocator.ts";
import { Chunks } from "./chunks.ts";
import type { GrowthPolicy } from "./chunks.ts";
import { HeapError } from "./errors.ts";

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

/** The last bin whose ranges may be smaller than `granules` but not smaller than its own size: rounds down. */
function binDown(granules: number): number {
  if (granules < 16) return granules;
  const exponent = granules < 2 ** 32 ? 31 - Math.clz32(granules) : Math.floor(Math.log2(granules));
  const mantissa = Math.floor(granules / 2 ** (exponent - MANTISSA)) - 8;
  return (exponent - MANTISSA) * 8 + 8 + mantissa;
}

/** The smallest number of granules in a bin. */
function sizeOfBin(bin: number): number {
  if (bin < 16) return bin;
  const exponent = (bin >>> 3) - 1;
  return (8 + (bin & 7)) * 2 ** exponent;
}

/** The first bin all of whose ranges are at least `granules`: rounds up. */
function binUp(granules: number): number {
  const bin = binDown(granules);
  return sizeOfBin(bin) < granules ? bin + 1 : bin;
}

/**
 * An allocator of plain numbers up to 2^53: all it knows is in a table of nodes, one for each live or free range, which
 * grows with their number and not with the size of the memory. For GPU buffers, file offsets, address space.
 */
export class OffsetAllocator extends BaseAllocator {
  readonly #chunks: Chunks;
  readonly #granule: number;
  /** By node: start and size in granules. */
  #start: Float64Array = new Float64Array(0);
  #size: Float64Array = new Float64Array(0);
  /** By node: 1 live, 0 free, 2 a node that is not in use. */
  #state: Uint8Array = new Uint8Array(0);
  /** By node, four fields: neighbour below and above, next and previous of its bin (of a node not in use: the next such). */
  #links: Int32Array = new Int32Array(0);
  #unused: number = NONE;
  /** By bin: first node. */
  readonly #heads: Int32Array = new Int32Array(BINS).fill(NONE);
  /** One bit for each bin that is not empty, and one for each word of these. */
  readonly #bits: Int32Array = new Int32Array(BINS / 32 + 1);
  /** Open addressing by start: node + 1, or 0. A power of two of slots, at most half of them taken. */
  #table: Int32Array = new Int32Array(64);
  #live = 0;
  #nodes = 0;

  constructor(source: HeapSource, options: OffsetOptions = {}) {
    super(memoryOf(source));
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
    this.#state[node] = 1;
    this.#enter(node);
    return this.#start[node]! * this.#granule;
  }

  #find(granules: number): number {
    // The bin below may hold a range that fits too: its first one is worth a look.
    const lower = this.#heads[binDown(granules)] ?? NONE;
    if (lower !== NONE && this.#size[lower]! >= granules) return lower;
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
    const start = this.#start[node]!;
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
    if (this.#size[node]! > granules) this.#link(this.#split(node, granules));
  }

  /** Cuts a node after `granules`. @returns the node of the rest, in no bin. */
  #split(node: number, granules: number): number {
    const rest = this.#newNode();
    this.#start[rest] = this.#start[node]! + granules;
    this.#size[rest] = this.#size[node]! - granules;
    this.#size[node] = granules;
    const above = this.#links[4 * node + 1]!;
    this.#links[4 * rest] = node;
    this.#links[4 * rest + 1] = above;
    this.#links[4 * node + 1] = rest;
    if (above !== NONE) this.#links[4 * above] = rest;
    return rest;
  }

  /** Merges with free neighbours. */
  free(address: number): void {
    const slot = this.#slotOf(address);
    const found = this.#table[slot]!;
    if (found === 0) this.#throwMisuse(address);
    this.#leave(slot);
    let node = found - 1;
    const above = this.#links[4 * node + 1]!;
    if (above !== NONE && this.#state[above] === 0) this.#absorb(node, above);
    const below = this.#links[4 * node]!;
    if (below !== NONE && this.#state[below] === 0) {
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
      if (this.#state[node] === 0 && granule >= this.#start[node]! && granule < this.#start[node]! + this.#size[node]!)
        isFree = true;
    throw new HeapError(isFree ? "double-free" : "wild-free", address);
  }

  /** Takes a free node out of its bin and joins it to the one below it. */
  #absorb(node: number, above: number): void {
    this.#unlink(above);
    this.#join(node, above);
  }

  #join(node: number, above: number): void {
    this.#size[node] = this.#size[node]! + this.#size[above]!;
    const next = this.#links[4 * above + 1]!;
    this.#links[4 * node + 1] = next;
    if (next !== NONE) this.#links[4 * next] = node;
    this.#state[above] = 2;
    this.#links[4 * above + 2] = this.#unused;
    this.#unused = above;
  }

  /** In place where the range shrinks or the one above it is free, else by moving. */
  override resize(address: number, size: number): number {
    const node = this.#nodeAt(address);
    requireRequest(size, 0);
    const granules = Math.max(Math.ceil(size / this.#granule), 1);
    const now = this.#size[node]!;
    const above = this.#links[4 * node + 1]!;
    const room = above !== NONE && this.#state[above] === 0 ? this.#size[above]! : 0;
    if (granules > now + room) return this.move(address, now * this.#granule, size);
    if (granules !== now && room > 0) this.#absorb(node, above);
    this.#cutBack(node, granules);
    return address;
  }

  /** The range's granules. */
  usableSize(address: number): number {
    return this.#size[this.#nodeAt(address)]! * this.#granule;
  }

  /** Exact. */
  owns(address: number): boolean {
    return this.#table[this.#slotOf(address)] !== 0;
  }

  #nodeAt(address: number): number {
    const found = this.#table[this.#slotOf(address)]!;
    if (found === 0) this.#throwMisuse(address);
    return found - 1;
  }

  #hash(granule: number): number {
    const low = granule >>> 0;
    return (Math.imul(low ^ ((granule - low) / 2 ** 32), 0x9e3779b1) >>> 12) & (this.#table.length - 1);
  }

  /** The slot of the live range that starts at an address, or the empty slot where it would be. */
  #slotOf(address: number): number {
    const granule = address / this.#granule;
    const mask = this.#table.length - 1;
    for (let slot = this.#hash(granule); ; slot = (slot + 1) & mask) {
      const node = this.#table[slot]!;
      if (node === 0 || this.#start[node - 1]! === granule) return slot;
    }
  }

  #enter(node: number): void {
    if (++this.#live * 2 > this.#table.length) {
      const old = this.#table;
      this.#table = new Int32Array(old.length * 2);
      for (const found of old)
        if (found !== 0) this.#table[this.#slotOf(this.#start[found - 1]! * this.#granule)] = found;
    }
    this.#table[this.#slotOf(this.#start[node]! * this.#granule)] = node + 1;
  }

  /** Empties a slot and closes the gap, so that no tombstones are needed. */
  #leave(slot: number): void {
    const table = this.#table;
    const mask = table.length - 1;
    this.#live--;
    let gap = slot;
    table[gap] = 0;
    for (let at = (slot + 1) & mask; table[at] !== 0; at = (at + 1) & mask) {
      const home = this.#hash(this.#start[table[at]! - 1]!);
      if (((at - home) & mask) < ((at - gap) & mask)) continue;
      table[gap] = table[at]!;
      table[at] = 0;
      gap = at;
    }
  }

  #newNode(): number {
    const node = this.#unused;
    if (node !== NONE) {
      this.#unused = this.#links[4 * node + 2]!;
      return node;
    }
    if (this.#nodes === this.#state.length) this.#growTable();
    return this.#nodes++;
  }

  #growTable(): void {
    const length = Math.max(64, Math.ceil(this.#nodes * 1.25));
    const start = new Float64Array(length);
    const size = new Float64Array(length);
    const state = new Uint8Array(length).fill(2);
    const links = new Int32Array(4 * length);
    start.set(this.#start);
    size.set(this.#size);
    state.set(this.#state);
    links.set(this.#links);
    this.#start = start;
    this.#size = size;
    this.#state = state;
    this.#links = links;
  }

  #link(node: number): void {
    const bin = Math.min(binDown(this.#size[node]!), BINS - 1);
    const first = this.#heads[bin]!;
    this.#state[node] = 0;
    this.#links[4 * node + 2] = first;
    this.#links[4 * node + 3] = NONE;
    if (first !== NONE) this.#links[4 * first + 3] = node;
    this.#heads[bin] = node;
    this.#bits[1 + (bin >>> 5)] = this.#bits[1 + (bin >>> 5)]! | (1 << bin);
    this.#bits[0] = this.#bits[0]! | (1 << (bin >>> 5));
  }

  #unlink(node: number): void {
    const next = this.#links[4 * node + 2]!;
    const before = this.#links[4 * node + 3]!;
    if (next !== NONE) this.#links[4 * next + 3] = before;
    if (before !== NONE) {
      this.#links[4 * before + 2] = next;
      return;
    }
    const bin = Math.min(binDown(this.#size[node]!), BINS - 1);
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
    const lacking = tail === NONE || this.#state[tail] === 1 ? granules : granules - this.#size[tail]!;
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
    this.#start[node] = from;
    this.#size[node] = end - from;
    this.#links[4 * node] = NONE;
    this.#links[4 * node + 1] = NONE;
    const below = isNew ? NONE : this.#nodeEndingAt(from);
    if (below !== NONE) {
      this.#links[4 * below + 1] = node;
      this.#links[4 * node] = below;
    }
    if (below === NONE || this.#state[below] === 1) this.#link(node);
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
      if (this.#state[node] !== 2 && this.#start[node]! + this.#size[node]! === end) return node;
    return NONE;
  }

  /** A snapshot. */
  stats(): HeapStats {
    const tables = this.#state.length * 33 + (this.#table.length + this.#heads.length + this.#bits.length) * 4;
    return this.measure(this.#chunks.bytes, tables, this.#chunks.calls);
  }

  /** Neighbours fit together, free ones are merged and in their bins, live ones can be found. */
  check(): void {
    let live = 0;
    let free = 0;
    for (let node = 0; node < this.#nodes; node++) {
      const state = this.#state[node]!;
      if (state === 2) continue;
      if (state === 1) live++;
      else free++;
      requireInvariant(
        state === 0 || this.#table[this.#slotOf(this.#start[node]! * this.#granule)] === node + 1,
        node,
        "a live range can be found",
      );
      const above = this.#links[4 * node + 1]!;
      if (above === NONE) continue;
      requireInvariant(this.#start[node]! + this.#size[node]! === this.#start[above]!, node, "neighbours touch");
      requireInvariant(this.#links[4 * above] === node, node, "neighbours know each other");
      requireInvariant(state === 1 || this.#state[above] === 1, node, "no two free ranges touch");
    }
    requireInvariant(live === this.#live, live, "live ranges are counted");
    for (let bin = 0; bin < BINS; bin++) {
      const bit = (this.#bits[1 + (bin >>> 5)]! & (1 << bin)) !== 0;
      requireInvariant(bit === (this.#heads[bin] !== NONE), bin, "a bin's bit is set exactly where it holds a range");
      for (let node = this.#heads[bin]!; node !== NONE; node = this.#links[4 * node + 2]!) {
        requireInvariant(--free >= 0 && this.#state[node] === 0, node, "a bin holds free ranges, each once");
        requireInvariant(binDown(this.#size[node]!) === bin, node, "a range is in the bin of its size");
      }
    }
    requireInvariant(free === 0, free, "every free range is in a bin");
  }

  /** In the order of the nodes. */
  walk(visit: (address: number, bytes: number) => void): void {
    for (let node = 0; node < this.#nodes; node++)
      if (this.#state[node] === 1) visit(this.#start[node]! * this.#granule, this.#size[node]! * this.#granule);
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
    this.end();
  }
}
