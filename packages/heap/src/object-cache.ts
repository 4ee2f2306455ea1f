import { endUse, NO_ADDRESS, requireInvariant, requireRequest } from "./allocator.ts";
import type { Allocator, HeapStats } from "./allocator.ts";
import { Chunks, discard, releaseAll } from "./chunks.ts";
import type { Chunk, GrowthPolicy } from "./chunks.ts";
import { HeapError } from "./errors.ts";
import { LiveTable } from "./live-table.ts";
import { Magazines } from "./magazines.ts";
import type { RangeSource } from "./ports.ts";

/** What an object cache keeps, and how it takes memory. */
export interface ObjectCacheOptions extends Pick<GrowthPolicy, "chunkBytes"> {
  /** Bytes of an object. */
  readonly objectBytes: number;
  /** Alignment of an object; 8 by default. */
  readonly alignment?: number;
  /**
   * Brings fresh memory into the constructed state; called once for an object, not once for an allocation, and must not use the cache. Where it throws, so does the
   * allocation, and the objects of its slab that were constructed are destructed.
   */
  readonly construct?: (address: number) => void;
  /** Undoes what the constructor did, before the memory is given back. */
  readonly destruct?: (address: number) => void;
  /** Bytes of a slab, a power of two, whose objects are constructed together; by default enough for 8 objects, at least 4096. */
  readonly slabBytes?: number;
  /** Bytes of a cache line: slabs start their objects at different lines, as far as what is left over allows; 64 by default, 0 turns colouring off. */
  readonly lineBytes?: number;
  /** CPUs or workers with magazines of their own; 1 by default. */
  readonly cpus?: number;
  /** Objects in a magazine; 32 by default. */
  readonly magazine?: number;
}

/*
 * An object is known by its slab's number × 2^shift + its place in the slab. Its word says where it is; free objects of a slab are chained:
 *
 *      ≥ 0   free in its slab: 1 + the next free one, 0 where there is none
 *      −1    live                 −2    in a magazine
 */
const LIVE = -1;
const HELD = -2;
/** What has no object to be free: a slab whose memory holds nothing constructed. */
const RAW = -1;

/**
 * A cache of constructed objects of one kind: slabs whose objects keep their constructed state while they are free, cache colouring, and
 * magazines for each CPU with a depot behind them. Its memory is taken in growing chunks of slabs.
 *
 * `allocate` takes its CPU in place of a hint. A freed object must be in its constructed state again. Bonwick: The Slab Allocator (1994);
 * Bonwick, Adams: Magazines and Vmem (2001).
 */
export class ObjectCache implements Allocator {
  readonly #source: RangeSource;
  readonly #chunks: Chunks;
  readonly #objectBytes: number;
  readonly #alignment: number;
  readonly #construct: (address: number) => void;
  readonly #destruct: (address: number) => void;
  readonly #slabBytes: number;
  readonly #colours: number;
  readonly #line: number;
  readonly #perSlab: number;
  readonly #shift: number;
  readonly #magazines: Magazines;
  /** By object: where it is. */
  #words: Int32Array = new Int32Array(0);
  /** By slab: the address of its first object, of a raw one its own; 1 + its first free object or 0; how many are free, or RAW. */
  #starts: Float64Array = new Float64Array(0);
  #heads: Int32Array = new Int32Array(0);
  #free: Int32Array = new Int32Array(0);
  /** From an address / slab bytes to the slab there. */
  readonly #slabs: LiveTable = new LiveTable((slab) => Math.floor(this.#starts[slab]! / this.#slabBytes));
  /** Slabs with free objects, the first to be used last; raw slabs; numbers of slabs that are no more. */
  #partial: number[] = [];
  #raw: number[] = [];
  #unused: number[] = [];
  /** Slabs that ever were at once. */
  #count = 0;
  #nextColour = 0;
  #live = 0;

  /** @throws HeapError `bad-size` or `bad-alignment` for an object out of range, `bad-option` for a slab that holds none, no CPU, a magazine for nothing, or a line of less than nothing. */
  constructor(source: RangeSource, options: ObjectCacheOptions) {
    const { objectBytes, alignment = 8, lineBytes = 64, cpus = 1, magazine = 32 } = options;
    requireRequest(objectBytes, alignment);
    this.#source = source;
    this.#chunks = new Chunks(source, options);
    this.#alignment = Math.max(alignment, 1);
    this.#objectBytes = Math.max(Math.ceil(objectBytes / this.#alignment), 1) * this.#alignment;
    const wanted = Math.max(4096, 2 ** Math.ceil(Math.log2(this.#objectBytes * 8)));
    this.#slabBytes = options.slabBytes ?? wanted;
    this.#perSlab = Math.floor(this.#slabBytes / this.#objectBytes);
    if (this.#perSlab < 1 || !Number.isInteger(Math.log2(this.#slabBytes)))
      throw new HeapError("bad-option", this.#slabBytes, "a slab is a power of two and holds an object");
    for (const count of [cpus, magazine, lineBytes + 1])
      if (!Number.isSafeInteger(count) || count < 1) throw new HeapError("bad-option", count);
    this.#shift = Math.ceil(Math.log2(this.#perSlab));
    this.#line = Math.max(Math.ceil(lineBytes / this.#alignment), 1) * this.#alignment;
    const over = this.#slabBytes - this.#perSlab * this.#objectBytes;
    this.#colours = lineBytes === 0 ? 1 : Math.floor(over / this.#line) + 1;
    this.#construct = options.construct ?? (() => undefined);
    this.#destruct = options.destruct ?? (() => undefined);
    this.#magazines = new Magazines(cpus, magazine);
  }

  /** A constructed object out of the CPU's magazine, else the depot, else a slab: of a magazine four reads, two writes. */
  allocate(size: number = this.#objectBytes, alignment = 0, cpu = 0): number {
    requireRequest(size, alignment);
    if (size > this.#objectBytes || alignment > this.#alignment) return NO_ADDRESS;
    this.#requireCpu(cpu);
    const held = this.#magazines.take(cpu);
    const object = held < 0 ? this.#refill(cpu) : held;
    if (object < 0) return NO_ADDRESS;
    this.#words[object] = LIVE;
    this.#live++;
    return this.#addressOf(object);
  }

  #requireCpu(cpu: number): void {
    if (!this.#magazines.has(cpu)) throw new HeapError("bad-option", cpu, "there is no such CPU");
  }

  #addressOf(object: number): number {
    const slab = object >>> this.#shift;
    return this.#starts[slab]! + (object - (slab << this.#shift)) * this.#objectBytes;
  }

  /** The object that starts at an address, or −1. */
  #objectAt(address: number): number {
    const slab = this.#slabs.find(Math.floor(address / this.#slabBytes));
    if (slab < 0) return -1;
    const place = (address - this.#starts[slab]!) / this.#objectBytes;
    return place >>> 0 === place && place < this.#perSlab ? (slab << this.#shift) + place : -1;
  }

  /** A live object. Throws what is wrong. */
  #requireLive(address: number): number {
    const object = this.#objectAt(address);
    const word = this.#words[object];
    if (word === LIVE) return object;
    const isObject = word !== undefined && this.#free[object >>> this.#shift] !== RAW;
    throw new HeapError(isObject ? "double-free" : "wild-free", address);
  }

  /** Fills a magazine from a slab. @returns one object more, with no memory left out of any CPU's magazines; or −1. */
  #refill(cpu: number): number {
    const slab = this.#partial.at(-1) ?? this.#addSlab();
    if (slab < 0) return this.#magazines.steal();
    const words = this.#words;
    const count = Math.min(this.#free[slab]!, this.#magazines.size);
    let object = this.#heads[slab]! - 1;
    // The first is put in last, so that it is the next one.
    const taken = new Int32Array(count).map(() => {
      const one = object;
      object = words[one]! - 1;
      return one;
    });
    this.#heads[slab] = object + 1;
    this.#free[slab] = this.#free[slab]! - count;
    if (object < 0) this.#partial.pop();
    for (const one of taken.subarray(1).reverse()) {
      words[one] = HELD;
      this.#magazines.put(cpu, one);
    }
    return taken[0]!;
  }

  /** Constructs the objects of one slab more. @returns its number, or −1. */
  #addSlab(): number {
    if (this.#raw.length === 0 && !this.#grow()) return -1;
    const slab = this.#raw.pop() ?? -1;
    const base = this.#starts[slab]!;
    const start = base + this.#nextColour * this.#line;
    this.#constructAll(slab, start);
    this.#nextColour = (this.#nextColour + 1) % this.#colours;
    this.#starts[slab] = start;
    this.#heads[slab] = 0;
    this.#free[slab] = 0;
    for (let place = this.#perSlab - 1; place >= 0; place--) this.#putBack((slab << this.#shift) + place);
    return slab;
  }

  /** Takes a chunk of slabs. @returns whether there was one. */
  #grow(): boolean {
    const bytes = this.#chunks.grow(this.#slabBytes, this.#slabBytes, this.#slabBytes);
    const last = this.#chunks.list.at(-1);
    if (bytes === 0 || last === undefined) return false;
    const end = last.address + last.bytes;
    // Downwards, so that the lowest is used first.
    for (let at = this.#slabBytes; at <= bytes; at += this.#slabBytes) this.#addRaw(end - at);
    return true;
  }

  #addRaw(address: number): void {
    const slab = this.#unused.pop() ?? this.#count++;
    if (slab === this.#starts.length) this.#extend(Math.max(slab * 2, 16));
    this.#starts[slab] = address;
    this.#free[slab] = RAW;
    this.#slabs.add(Math.floor(address / this.#slabBytes), slab);
    this.#raw.push(slab);
  }

  /** Makes the arrays long enough for so many slabs. */
  #extend(slabs: number): void {
    const [words, starts, heads, free] = [this.#words, this.#starts, this.#heads, this.#free];
    (this.#words = new Int32Array(slabs << this.#shift)).set(words);
    (this.#starts = new Float64Array(slabs)).set(starts);
    (this.#heads = new Int32Array(slabs)).set(heads);
    (this.#free = new Int32Array(slabs)).set(free);
  }

  /** Where a constructor throws, undoes the others and keeps the slab as it was. */
  #constructAll(slab: number, start: number): void {
    let done = 0;
    try {
      for (; done < this.#perSlab; done++) this.#construct(start + done * this.#objectBytes);
    } catch (error) {
      while (done-- > 0) this.#destruct(start + done * this.#objectBytes);
      this.#raw.push(slab);
      throw error;
    }
  }

  /** Into the CPU's magazine, a full one into the depot. */
  free(address: number, cpu = 0): void {
    const object = this.#requireLive(address);
    this.#requireCpu(cpu);
    this.#words[object] = HELD;
    this.#live--;
    this.#magazines.put(cpu, object);
  }

  /** Puts an object back into its slab. */
  #putBack(object: number): void {
    const slab = object >>> this.#shift;
    this.#words[object] = this.#heads[slab]!;
    this.#heads[slab] = object + 1;
    if (this.#free[slab] === 0) this.#partial.push(slab);
    this.#free[slab] = this.#free[slab]! + 1;
  }

  /**
   * Empties magazines and depot and destructs the objects of wholly free slabs. Those at the end of a chunk are given back, the others kept without contents.
   *
   * @returns how many wholly free slabs there were.
   */
  reap(): number {
    this.#magazines.forEach((object) => this.#putBack(object));
    this.#magazines.clear();
    const idle = this.#partial.filter((slab) => this.#free[slab] === this.#perSlab);
    this.#partial = this.#partial.filter((slab) => this.#free[slab]! < this.#perSlab);
    for (const slab of idle) this.#drop(slab);
    for (const chunk of [...this.#chunks.list]) this.#shrink(chunk);
    this.#raw = this.#raw.filter((slab) => this.#free[slab] === RAW);
    for (const slab of idle)
      if (this.#free[slab] === RAW) discard(this.#chunks, this.#source, this.#starts[slab]!, this.#slabBytes);
    return idle.length;
  }

  /** Destructs the objects of a slab and makes it a raw one. */
  #drop(slab: number): void {
    const start = this.#starts[slab]!;
    for (let place = 0; place < this.#perSlab; place++) this.#destruct(start + place * this.#objectBytes);
    this.#starts[slab] = Math.floor(start / this.#slabBytes) * this.#slabBytes;
    this.#free[slab] = RAW;
    this.#raw.push(slab);
  }

  /** Gives the raw slabs at the end of a chunk back. */
  #shrink(chunk: Chunk): void {
    let bytes = 0;
    for (; bytes < chunk.bytes; bytes += this.#slabBytes) {
      const key = (chunk.address + chunk.bytes - bytes) / this.#slabBytes - 1;
      const slab = this.#slabs.find(key);
      if (this.#free[slab] !== RAW) break;
      this.#slabs.take(key);
      this.#free[slab] = 0;
      this.#unused.push(slab);
    }
    if (bytes > 0) this.#chunks.shrink(chunk, bytes);
  }

  /** In place up to the object's size; no object is larger. */
  resize(address: number, size: number, alignment = 0): number {
    requireRequest(size, alignment);
    return size > this.usableSize(address) ? NO_ADDRESS : address;
  }

  /** The object's size. */
  usableSize(address: number): number {
    this.#requireLive(address);
    return this.#objectBytes;
  }

  /** Exact. */
  owns(address: number): boolean {
    return this.#words[this.#objectAt(address)] === LIVE;
  }

  /** A snapshot. */
  stats(): HeapStats {
    return {
      liveBlocks: this.#live,
      liveBytes: this.#live * this.#objectBytes,
      reservedBytes: this.#chunks.bytes,
      metadataBytes: this.#words.length * 4 + this.#starts.length * 16 + this.#slabs.bytes + this.#magazines.bytes,
      sourceCalls: this.#chunks.calls,
    };
  }

  /** Every object of every slab is live, in a magazine, or in its slab's list: once. */
  check(): void {
    let held = 0;
    const seen = new Set<number>();
    this.#magazines.forEach((object) => {
      requireInvariant(this.#words[object] === HELD && !seen.has(object), object, "an object is in one place");
      seen.add(object);
    });
    const partial = new Set(this.#partial);
    let [live, slabs] = [0, this.#raw.length];
    this.#forEachSlab((slab) => {
      const first = slab << this.#shift;
      let free = 0;
      for (let object = this.#heads[slab]! - 1; object >= 0 && free <= this.#perSlab; free++) {
        requireInvariant(object >>> this.#shift === slab, object, "a slab's free objects are its own");
        object = this.#words[object]! - 1;
      }
      requireInvariant(free === this.#free[slab], slab, "a slab's free objects are counted");
      requireInvariant(partial.has(slab) === free > 0, slab, "slabs with free objects are listed");
      const words = this.#words.subarray(first, first + this.#perSlab);
      const [ofSlab, ofMagazines] = [LIVE, HELD].map((state) => words.filter((word) => word === state).length);
      live += ofSlab ?? 0;
      held += ofMagazines ?? 0;
      requireInvariant(free + (ofSlab ?? 0) + (ofMagazines ?? 0) === this.#perSlab, slab, "no object is lost");
      slabs++;
    });
    requireInvariant(held === seen.size, held, "what was freed is in a magazine or its slab");
    requireInvariant(live === this.#live, live, "live objects are counted");
    requireInvariant(slabs * this.#slabBytes === this.#chunks.bytes, slabs, "slabs fill the chunks");
  }

  #forEachSlab(visit: (slab: number) => void): void {
    const unused = new Set(this.#unused);
    for (let slab = 0; slab < this.#count; slab++) if (this.#free[slab] !== RAW && !unused.has(slab)) visit(slab);
  }

  /** By slab. */
  walk(visit: (address: number, bytes: number) => void): void {
    this.#forEachSlab((slab) => {
      for (let object = slab << this.#shift, place = 0; place < this.#perSlab; place++, object++)
        if (this.#words[object] === LIVE) visit(this.#addressOf(object), this.#objectBytes);
    });
  }

  /** Frees every object, which must be in its constructed state. */
  reset(): void {
    this.walk((address) => this.free(address));
  }

  /** Destructs every object and gives every slab back. */
  destroy(): void {
    this.#forEachSlab((slab) => this.#drop(slab));
    this.#magazines.clear();
    this.#slabs.clear();
    releaseAll(this.#chunks);
    this.#partial = this.#raw = this.#unused = [];
    this.#count = this.#live = 0;
    endUse(this);
  }
}
