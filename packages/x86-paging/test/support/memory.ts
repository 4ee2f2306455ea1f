/** Small physical memories for tests. */

import { ABSENT_FRAME, NO_FRAME } from "@pagewright/x86-paging";
import type { Pfn, TableFrames, TableMemory } from "@pagewright/x86-paging";

/** A seeded generator: xorshift32. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0 === 0 ? 1 : seed >>> 0;
  }

  /** A word. */
  word(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }

  /** A whole number below a limit. */
  below(limit: number): number {
    return this.word() % limit;
  }

  /** True once in `n`. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  /** One of a list. */
  pick<T>(list: readonly T[]): T {
    const item = list[this.below(list.length)];
    if (item === undefined) throw new Error("nothing to pick from");
    return item;
  }

  /** 64 random bits. */
  long(): bigint {
    return (BigInt(this.word()) << 32n) | BigInt(this.word());
  }
}

/** Frames that exist from the first write on; others read as zero. */
export class SparseMemory implements TableMemory {
  readonly frames: Map<Pfn, Uint32Array> = new Map<Pfn, Uint32Array>();

  words(pfn: Pfn): Uint32Array {
    return this.frames.get(pfn) ?? ABSENT_FRAME;
  }

  base(): number {
    return 0;
  }

  has(pfn: Pfn): boolean {
    return this.frames.has(pfn);
  }

  /** Makes a frame. */
  make(pfn: Pfn): Uint32Array {
    const words = new Uint32Array(1024);
    this.frames.set(pfn, words);
    return words;
  }

  /** Reads 4 or 8 bytes. */
  read(address: bigint, bytes: number): bigint {
    const words = this.words(Number(address >> 12n));
    const at = Number(address & 0xfffn) >> 2;
    const low = BigInt(words[at] ?? 0);
    return bytes === 4 ? low : low | (BigInt(words[at + 1] ?? 0) << 32n);
  }

  /** Writes 8 bytes, making the frame. */
  write(address: bigint, value: bigint): void {
    const pfn = Number(address >> 12n);
    const words = this.frames.get(pfn) ?? this.make(pfn);
    const at = Number(address & 0xfffn) >> 2;
    words[at] = Number(value & 0xffffffffn);
    words[at + 1] = Number(value >> 32n);
  }
}

/** Table frames out of a sparse memory; counts, checks double gives, and can be made to run dry. */
export class CountingFrames implements TableFrames {
  readonly taken: Set<Pfn> = new Set<Pfn>();
  /** How many more `take` gives. */
  left: number = Infinity;
  readonly #memory: SparseMemory;
  #next: Pfn;

  constructor(memory: SparseMemory, first: Pfn) {
    this.#memory = memory;
    this.#next = first;
  }

  take(): Pfn {
    if (this.left <= 0) return NO_FRAME;
    this.left--;
    const pfn = this.#next++;
    this.#memory.make(pfn);
    this.taken.add(pfn);
    return pfn;
  }

  give(pfn: Pfn): void {
    if (!this.taken.delete(pfn)) throw new Error(`frame ${pfn} was given back twice or never taken`);
    this.#memory.frames.delete(pfn);
    this.left++;
  }
}

/** Where two memories differ first, or "none". */
export function firstDifference(got: ReadonlyMap<Pfn, Uint32Array>, wanted: ReadonlyMap<Pfn, Uint32Array>): string {
  if (got.size !== wanted.size) return `${got.size} frames, expected ${wanted.size}`;
  for (const [pfn, words] of wanted) {
    const other = got.get(pfn);
    if (other === undefined) return `frame ${pfn} is missing`;
    for (let i = 0; i < 1024; i++)
      if (words[i] !== other[i]) return `frame ${pfn} word ${i}: ${other[i]}, expected ${words[i]}`;
  }
  return "none";
}

/** A copy of all frames. */
export function snapshot(frames: ReadonlyMap<Pfn, Uint32Array>): Map<Pfn, Uint32Array> {
  return new Map([...frames].map(([pfn, words]) => [pfn, words.slice()]));
}
