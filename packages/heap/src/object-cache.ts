import { endUse, NO_ADDRESS, requireInvariant, requireRequest } from "./allocator.ts";
import type { Allocator, HeapStats } from "./allocator.ts";
import { HeapError } from "./errors.ts";
import type { RangeSource } from "./ports.ts";

/** What an object cache keeps. */
export interface ObjectCacheOptions {
  /** Bytes of an object. */
  readonly objectBytes: number;
  /** Alignment of an object; 8 by default. */
  readonly alignment?: number;
  /**
   * Brings fresh memory into the constructed state; called once for an object, not once for an allocation, and must not use the cache. Where it throws, so does the
   * allocation, and the slab is given back.
   */
  readonly construct?: (address: number) => void;
  /** Undoes what the constructor did, before the memory is given back. */
  readonly destruct?: (address: number) => void;
  /** Bytes of a slab, a power of two, for each of which the source is called once; by default enough for 8 objects, at least 4096. */
  readonly slabBytes?: number;
  /** Bytes of a cache line: slabs start their objects at different lines, as far as what is left over allows; 64 by default, 0 turns colouring off. */
  readonly lineBytes?: number;
  /** CPUs or workers with magazines of their own; 1 by default. */
  readonly cpus?: number;
  /** Objects in a magazine; 32 by default. */
  readonly magazine?: number;
}

/** One slab: `objects` from `start`, of which the bits say which are handed out. */
interface Slab {
  readonly base: number;
  readonly start: number;
  readonly live: Uint8Array;
  /** Objects in the slab itself, as opposed to live ones and those in magazines. */
  readonly free: number[];
}

/** The two magazines of a CPU: allocations come from the first, the other is full or empty. */
interface CpuMagazines {
  loaded: number[];
  spare: number[];
}

/**
 * A cache of constructed objects of one kind: slabs whose objects keep their constructed state while they are free, cache colouring, and
 * magazines for each CPU with a depot behind them.
 *
 * `allocate` takes its CPU in place of a hint. A freed object must be in its constructed state again. Bonwick: The Slab Allocator (1994);
 * Bonwick, Adams: Magazines and Vmem (2001).
 */
export class ObjectCache implements Allocator {
  readonly #source: RangeSource;
  readonly #objectBytes: number;
  readonly #alignment: number;
  readonly #construct: (address: number) => void;
  readonly #destruct: (address: number) => void;
  readonly #slabBytes: number;
  readonly #colours: number;
  readonly #line: number;
  readonly #perSlab: number;
  readonly #magazine: number;
  readonly #cpus: CpuMagazines[];
  /** Full magazines that no CPU has. */
  #depot: number[][] = [];
  /** By slab base / slab bytes. */
  readonly #slabs = new Map<number, Slab>();
  /** Slabs with free objects. */
  readonly #partial = new Set<Slab>();
  #nextColour = 0;
  #live = 0;
  #calls = 0;

  /** @throws HeapError `bad-size` or `bad-alignment` for an object out of range, `bad-option` for a slab that holds none, no CPU, or a magazine for nothing. */
  constructor(source: RangeSource, options: ObjectCacheOptions) {
    const { objectBytes, alignment = 8, lineBytes = 64, cpus = 1, magazine = 32 } = options;
    requireRequest(objectBytes, alignment);
    this.#source = source;
    this.#alignment = Math.max(alignment, 1);
    this.#objectBytes = Math.max(Math.ceil(objectBytes / this.#alignment), 1) * this.#alignment;
    const wanted = Math.max(4096, 2 ** Math.ceil(Math.log2(this.#objectBytes * 8)));
    this.#slabBytes = options.slabBytes ?? wanted;
    this.#perSlab = Math.floor(this.#slabBytes / this.#objectBytes);
    if (this.#perSlab < 1 || !Number.isInteger(Math.log2(this.#slabBytes)))
      throw new HeapError("bad-option", this.#slabBytes, "a slab is a power of two and holds an object");
    for (const count of [cpus, magazine])
      if (!Number.isSafeInteger(count) || count < 1) throw new HeapError("bad-option", count);
    this.#line = Math.max(Math.ceil(lineBytes / this.#alignment), 1) * this.#alignment;
    const over = this.#slabBytes - this.#perSlab * this.#objectBytes;
    this.#colours = lineBytes === 0 ? 1 : Math.floor(over / this.#line) + 1;
    this.#construct = options.construct ?? (() => undefined);
    this.#destruct = options.destruct ?? (() => undefined);
    this.#magazine = magazine;
    this.#cpus = Array.from({ length: cpus }, () => ({ loaded: [], spare: [] }));
  }

  #magazinesOf(cpu: number): CpuMagazines {
    const magazines = this.#cpus[cpu];
    if (magazines === undefined) throw new HeapError("bad-option", cpu, "there is no such CPU");
    return magazines;
  }

  /** A constructed object out of the CPU's magazine, else the depot, else a slab. */
  allocate(size: number = this.#objectBytes, alignment = 0, cpu = 0): number {
    requireRequest(size, alignment);
    if (size > this.#objectBytes || alignment > this.#alignment) return NO_ADDRESS;
    const address = this.#magazinesOf(cpu).loaded.pop() ?? this.#reload(cpu);
    if (address === NO_ADDRESS) return NO_ADDRESS;
    const slab = this.#slabAt(address);
    if (slab !== undefined) slab.live[(address - slab.start) / this.#objectBytes] = 1;
    this.#live++;
    return address;
  }

  #reload(cpu: number): number {
    const magazines = this.#magazinesOf(cpu);
    const full = magazines.spare.length > 0 ? magazines.spare : this.#depot.pop();
    if (full !== undefined) {
      magazines.spare = magazines.loaded;
      magazines.loaded = full;
      return full.pop() ?? NO_ADDRESS;
    }
    const [first = this.#addSlab()] = this.#partial;
    if (first === null) return this.#steal();
    const taken = first.free.splice(-Math.min(this.#magazine, first.free.length));
    if (first.free.length === 0) this.#partial.delete(first);
    magazines.loaded = taken;
    return taken.pop() ?? NO_ADDRESS;
  }

  /** With no memory left: an object out of any CPU's magazines. */
  #steal(): number {
    for (const { loaded, spare } of this.#cpus) {
      const address = loaded.pop() ?? spare.pop();
      if (address !== undefined) return address;
    }
    return NO_ADDRESS;
  }

  #addSlab(): Slab | null {
    this.#calls++;
    const base = this.#source.reserve(this.#slabBytes, this.#slabBytes);
    if (base === NO_ADDRESS) return null;
    const start = base + this.#nextColour * this.#line;
    this.#nextColour = (this.#nextColour + 1) % this.#colours;
    const free = Array.from({ length: this.#perSlab }, (_, at) => start + (this.#perSlab - 1 - at) * this.#objectBytes);
    const slab = { base, start, live: new Uint8Array(this.#perSlab), free };
    this.#constructAll(slab);
    this.#slabs.set(base / this.#slabBytes, slab);
    this.#partial.add(slab);
    return slab;
  }

  /** Where a constructor throws, undoes the others and gives the slab back. */
  #constructAll({ base, free }: Slab): void {
    let done = 0;
    try {
      for (; done < free.length; done++) this.#construct(free[done] ?? NO_ADDRESS);
    } catch (error) {
      for (const address of free.slice(0, done)) this.#destruct(address);
      this.#calls++;
      this.#source.release(base, this.#slabBytes);
      throw error;
    }
  }

  #slabAt(address: number): Slab | undefined {
    return this.#slabs.get(Math.floor(address / this.#slabBytes));
  }

  /** The slab of a live object. Throws what is wrong. */
  #requireLive(address: number): Slab {
    const slab = this.#slabAt(address);
    const at = slab === undefined ? -1 : (address - slab.start) / this.#objectBytes;
    const live = slab?.live[at];
    if (slab === undefined || live === undefined) throw new HeapError("wild-free", address);
    if (live === 0) throw new HeapError("double-free", address);
    return slab;
  }

  /** Into the CPU's magazine, a full one into the depot. */
  free(address: number, cpu = 0): void {
    const slab = this.#requireLive(address);
    const magazines = this.#magazinesOf(cpu);
    slab.live[(address - slab.start) / this.#objectBytes] = 0;
    this.#live--;
    if (magazines.loaded.length >= this.#magazine) {
      if (magazines.spare.length > 0) this.#depot.push(magazines.spare);
      magazines.spare = magazines.loaded;
      magazines.loaded = [];
    }
    magazines.loaded.push(address);
  }

  /** Empties magazines and depot, destructs the objects of wholly free slabs and gives these back. @returns how many. */
  reap(): number {
    for (const { loaded, spare } of this.#cpus) this.#depot.push(loaded.splice(0), spare.splice(0));
    for (const address of this.#depot.splice(0).flat()) {
      const slab = this.#slabAt(address);
      slab?.free.push(address);
      if (slab !== undefined) this.#partial.add(slab);
    }
    let count = 0;
    for (const slab of [...this.#partial]) {
      if (slab.free.length < this.#perSlab) continue;
      this.#drop(slab);
      count++;
    }
    return count;
  }

  #drop(slab: Slab): void {
    for (let at = 0; at < this.#perSlab; at++) this.#destruct(slab.start + at * this.#objectBytes);
    this.#partial.delete(slab);
    this.#slabs.delete(slab.base / this.#slabBytes);
    this.#calls++;
    this.#source.release(slab.base, this.#slabBytes);
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
    const slab = this.#slabAt(address);
    return slab?.live[(address - slab.start) / this.#objectBytes] === 1;
  }

  /** A snapshot. */
  stats(): HeapStats {
    return {
      liveBlocks: this.#live,
      liveBytes: this.#live * this.#objectBytes,
      reservedBytes: this.#slabs.size * this.#slabBytes,
      metadataBytes: this.#slabs.size * this.#perSlab * 9,
      sourceCalls: this.#calls,
    };
  }

  /** Every object is live, in a magazine, or in its slab: once. */
  check(): void {
    const seen = new Set<number>();
    const add = (address: number): void => {
      requireInvariant(!seen.has(address), address, "an object is in one place");
      seen.add(address);
    };
    for (const slab of this.#slabs.values()) {
      slab.free.forEach(add);
      requireInvariant(
        this.#partial.has(slab) === slab.free.length > 0,
        slab.base,
        "slabs with free objects are listed",
      );
    }
    for (const address of [this.#depot, ...this.#cpus.map(({ loaded, spare }) => [loaded, spare])].flat(2))
      add(address);
    let live = 0;
    this.walk((address) => {
      add(address);
      live++;
    });
    requireInvariant(live === this.#live, live, "live objects are counted");
    requireInvariant(seen.size === this.#slabs.size * this.#perSlab, seen.size, "no object is lost");
  }

  /** By slab. */
  walk(visit: (address: number, bytes: number) => void): void {
    for (const { live, start } of this.#slabs.values())
      live.forEach((isLive, at) => {
        if (isLive === 1) visit(start + at * this.#objectBytes, this.#objectBytes);
      });
  }

  /** Frees every object, which must be in its constructed state. */
  reset(): void {
    const live: number[] = [];
    this.walk((address) => live.push(address));
    for (const address of live) this.free(address);
  }

  /** Destructs every object and gives every slab back. */
  destroy(): void {
    for (const slab of [...this.#slabs.values()]) this.#drop(slab);
    for (const magazines of this.#cpus) magazines.loaded = magazines.spare = [];
    this.#depot = [];
    this.#live = 0;
    endUse(this);
  }
}
