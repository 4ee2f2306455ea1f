import { requireInvariant } from "./allocator.ts";
import { BINS, binDown, binUp } from "./float-bins.ts";

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

/** No node. */
export const NONE = -1;
/** What stands for the previous range of its bin in a range that is live, and in a node that is not in use. */
const LIVE = -2;
const UNUSED = -3;

/**
 * Ranges of numbers, live or free, each a node of a table that grows with their number; the free ones sorted into bins.
 *
 * Invariants: nodes that know each other as neighbours touch; no two of these are free; a bin's bit is set ⇔ it holds a range.
 */
export class RangeNodes {
  /** Four numbers for each node: start and size, and the four links. */
  #numbers: Float64Array = new Float64Array(0);
  /** The same memory as words: the links of node n from word 8n + 4 on. */
  #links: Int32Array = new Int32Array(0);
  #unused: number = NONE;
  /** By bin: first node. */
  readonly #heads: Int32Array = new Int32Array(BINS).fill(NONE);
  /** One bit for each word of the next, then one for each bin that is not empty. */
  readonly #bits: Int32Array = new Int32Array(BINS / 32 + 1);
  /** Nodes are below it. */
  count = 0;
  /** The range that was added last, or what is at its end now. */
  tail: number = NONE;

  /** Own state, in bytes. */
  get bytes(): number {
    return (this.#links.length + this.#heads.length + this.#bits.length) * 4;
  }

  /** The first number of a range. */
  start(node: number): number {
    return this.#numbers[4 * node]!;
  }

  /** How many numbers a range has. */
  size(node: number): number {
    return this.#numbers[4 * node + 1]!;
  }

  /** The range that follows in memory, or none. */
  above(node: number): number {
    return this.#links[8 * node + ABOVE]!;
  }

  /** The range before it in memory, or none. */
  below(node: number): number {
    return this.#links[8 * node + BELOW]!;
  }

  /** Whether the node is a range that is free. */
  isFree(node: number): boolean {
    return this.#links[8 * node + PREVIOUS]! >= NONE;
  }

  /** Whether the node is a range that is live. */
  isLive(node: number): boolean {
    return this.#links[8 * node + PREVIOUS]! === LIVE;
  }

  /** How many numbers follow a range and are free. */
  roomAbove(node: number): number {
    const above = this.above(node);
    return above !== NONE && this.isFree(above) ? this.size(above) : 0;
  }

  /**
   * Makes `size` numbers of a free range live, from a multiple of `step` on: of the first of its own bin, or of the next one that is not empty, that has room for any
   * such multiple. What is left of it stays free.
   *
   * @returns the live range, or none.
   */
  take(size: number, step: number): number {
    const node = this.#find(size + step - 1);
    return node === NONE ? NONE : this.takeFrom(node, size, step);
  }

  /** Makes a part of a free range live, as {@link RangeNodes.take} does. */
  takeFrom(node: number, size: number, step: number): number {
    this.#unlink(node);
    let taken = node;
    if (step > 1) taken = this.#cutFront(node, step);
    if (this.#numbers[4 * taken + 1]! > size) this.#link(this.#split(taken, size));
    this.#links[8 * taken + PREVIOUS] = LIVE;
    return taken;
  }

  /** Splits off what lies below the first multiple of `step`. @returns the rest. */
  #cutFront(node: number, step: number): number {
    const start = this.#numbers[4 * node]!;
    const below = Math.ceil(start / step) * step - start;
    if (below === 0) return node;
    const upper = this.#split(node, below);
    this.#link(node);
    return upper;
  }

  /** Makes a live range free and merges it with its free neighbours. @returns the whole. */
  give(node: number): number {
    const links = this.#links;
    const above = links[8 * node + ABOVE]!;
    if (above !== NONE && links[8 * above + PREVIOUS]! >= NONE) {
      this.#unlink(above);
      this.#join(node, above);
    }
    const below = links[8 * node + BELOW]!;
    if (below === NONE || links[8 * below + PREVIOUS]! < NONE) {
      this.#link(node);
      return node;
    }
    this.#unlink(below);
    this.#join(below, node);
    this.#link(below);
    return below;
  }

  /** Makes a live range `size` long where it is: splits off its end, or takes from the free range above. @returns whether that was possible. */
  resize(node: number, size: number): boolean {
    const room = this.roomAbove(node);
    if (size > this.size(node) + room) return false;
    if (size === this.size(node)) return true;
    if (room > 0) {
      const above = this.above(node);
      this.#unlink(above);
      this.#join(node, above);
    }
    if (this.size(node) > size) this.#link(this.#split(node, size));
    return true;
  }

  #find(size: number): number {
    // The bin below may hold a range that fits too: its first one is worth a look.
    const lower = this.#heads[binDown(size)] ?? NONE;
    if (lower !== NONE && this.#numbers[4 * lower + 1]! >= size) return lower;
    const bin = binUp(size);
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

  /** A free range that has `size` from a multiple of `step` on, or none. Looks at every range that may just fit. */
  search(size: number, step: number): number {
    const end = Math.min(binUp(size + step - 1), BINS);
    for (let bin = binDown(size); bin < end; bin++)
      for (let node = this.#heads[bin]!; node !== NONE; node = this.#links[8 * node + NEXT]!)
        if (Math.ceil(this.start(node) / step) * step + size <= this.start(node) + this.size(node)) return node;
    return NONE;
  }

  /** Adds a free range: after the last one, which it follows, or apart from all. */
  add(start: number, size: number, follows: boolean): void {
    const below = follows ? this.tail : NONE;
    const node = this.#newNode();
    this.#numbers[4 * node] = start;
    this.#numbers[4 * node + 1] = size;
    this.#links[8 * node + BELOW] = below;
    this.#links[8 * node + ABOVE] = NONE;
    if (below !== NONE) this.#links[8 * below + ABOVE] = node;
    this.tail = node;
    this.give(node);
  }

  /** Cuts a range after `size`. @returns the node of the rest, in no bin. */
  #split(node: number, size: number): number {
    const rest = this.#newNode();
    this.#numbers[4 * rest] = this.#numbers[4 * node]! + size;
    this.#numbers[4 * rest + 1] = this.#numbers[4 * node + 1]! - size;
    this.#numbers[4 * node + 1] = size;
    const above = this.#links[8 * node + ABOVE]!;
    this.#links[8 * rest + BELOW] = node;
    this.#links[8 * rest + ABOVE] = above;
    this.#links[8 * node + ABOVE] = rest;
    if (above !== NONE) this.#links[8 * above + BELOW] = rest;
    else if (node === this.tail) this.tail = rest;
    return rest;
  }

  /** Joins a range to the one below it, neither in a bin. */
  #join(node: number, above: number): void {
    this.#numbers[4 * node + 1] = this.#numbers[4 * node + 1]! + this.#numbers[4 * above + 1]!;
    const next = this.#links[8 * above + ABOVE]!;
    this.#links[8 * node + ABOVE] = next;
    if (next !== NONE) this.#links[8 * next + BELOW] = node;
    else if (above === this.tail) this.tail = node;
    this.#drop(above);
  }

  /** Takes the last `size` numbers from a free range that nothing follows. @returns the range that is the last there now, or none. */
  cut(node: number, size: number): number {
    this.#unlink(node);
    const left = this.size(node) - size;
    this.#numbers[4 * node + 1] = left;
    let last = node;
    if (left > 0) this.#link(node);
    else {
      last = this.#links[8 * node + BELOW]!;
      if (last !== NONE) this.#links[8 * last + ABOVE] = NONE;
      this.#drop(node);
    }
    if (node === this.tail) this.tail = last;
    return last;
  }

  #newNode(): number {
    const node = this.#unused;
    if (node !== NONE) {
      this.#unused = this.#links[8 * node + NEXT]!;
      return node;
    }
    if (this.count * 8 === this.#links.length) {
      const numbers = new Float64Array(4 * Math.max(64, Math.ceil(this.count * 1.25)));
      numbers.set(this.#numbers);
      this.#numbers = numbers;
      this.#links = new Int32Array(numbers.buffer);
    }
    return this.count++;
  }

  #drop(node: number): void {
    this.#links[8 * node + PREVIOUS] = UNUSED;
    this.#links[8 * node + NEXT] = this.#unused;
    this.#unused = node;
  }

  /** Makes a range free: puts it into its bin. */
  #link(node: number): void {
    const bin = binDown(this.#numbers[4 * node + 1]!);
    const first = this.#heads[bin]!;
    this.#links[8 * node + NEXT] = first;
    this.#links[8 * node + PREVIOUS] = NONE;
    if (first !== NONE) this.#links[8 * first + PREVIOUS] = node;
    this.#heads[bin] = node;
    this.#bits[1 + (bin >>> 5)] = this.#bits[1 + (bin >>> 5)]! | (1 << bin);
    this.#bits[0] = this.#bits[0]! | (1 << (bin >>> 5));
  }

  /** Takes a free range out of its bin. */
  #unlink(node: number): void {
    const next = this.#links[8 * node + NEXT]!;
    const before = this.#links[8 * node + PREVIOUS]!;
    if (next !== NONE) this.#links[8 * next + PREVIOUS] = before;
    if (before !== NONE) {
      this.#links[8 * before + NEXT] = next;
      return;
    }
    const bin = binDown(this.#numbers[4 * node + 1]!);
    this.#heads[bin] = next;
    if (next !== NONE) return;
    const bits = this.#bits[1 + (bin >>> 5)]! & ~(1 << bin);
    this.#bits[1 + (bin >>> 5)] = bits;
    if (bits === 0) this.#bits[0] = this.#bits[0]! & ~(1 << (bin >>> 5));
  }

  /** The range in use that ends there, or none. Slow: looks at all. */
  endingAt(end: number): number {
    for (let node = 0; node < this.count; node++)
      if ((this.isFree(node) || this.isLive(node)) && this.start(node) + this.size(node) === end) return node;
    return NONE;
  }

  /** The free ranges that nothing follows, the highest first. Slow: looks at all. */
  freeEnds(): number[] {
    const ends: number[] = [];
    for (let node = 0; node < this.count; node++) if (this.isFree(node) && this.above(node) === NONE) ends.push(node);
    return ends.sort((a, b) => this.start(b) - this.start(a));
  }

  /** Forgets all. */
  clear(): void {
    this.count = 0;
    this.#unused = this.tail = NONE;
    this.#heads.fill(NONE);
    this.#bits.fill(0);
  }

  /** Neighbours fit together, free ones are merged and in their bins. @throws HeapError `corrupt`. */
  check(): void {
    let free = 0;
    for (let node = 0; node < this.count; node++) {
      if (this.isFree(node)) free++;
      else if (!this.isLive(node)) continue;
      const above = this.above(node);
      if (above === NONE) continue;
      requireInvariant(this.start(node) + this.size(node) === this.start(above), node, "neighbours touch");
      requireInvariant(this.below(above) === node, node, "neighbours know each other");
      requireInvariant(this.isLive(node) || this.isLive(above), node, "no two free ranges touch");
    }
    for (let bin = 0; bin < BINS; bin++) {
      const bit = (this.#bits[1 + (bin >>> 5)]! & (1 << bin)) !== 0;
      requireInvariant(bit === (this.#heads[bin] !== NONE), bin, "a bin's bit is set exactly where it holds a range");
      for (let node = this.#heads[bin]!; node !== NONE; node = this.#links[8 * node + NEXT]!) {
        requireInvariant(--free >= 0 && this.isFree(node), node, "a bin holds free ranges, each once");
        requireInvariant(binDown(this.size(node)) === bin, node, "a range is in the bin of its size");
      }
    }
    requireInvariant(free === 0, free, "every free range is in a bin");
  }
}
