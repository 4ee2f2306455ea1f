/**
 * A last-level cache: set-associative, physically indexed, least recently used first out. It holds no data, only which lines
 * are present, so that page colouring has an effect that can be counted.
 *
 *   address = … tag … | set index | offset in line
 *   colour of a frame = the part of the set index above the page offset
 */
import { invariant, MachineError } from "../errors.ts";
import type { Snapshotted } from "./snapshotted.ts";
import { FRAME_BYTES, isPowerOfTwo } from "../units.ts";
import type { Pfn, PhysAddr } from "../units.ts";

/** Shape of a cache. */
export interface CacheShape {
  /** Bytes, sets × ways × lineBytes. */
  readonly bytes: number;
  /** Lines of a set. */
  readonly ways: number;
  /** Bytes of a line. Default 64. */
  readonly lineBytes?: number;
}

/** Figures of a cache. */
export interface CacheStats {
  /** Accesses that found their line. */
  readonly hits: number;
  /** Accesses that did not. */
  readonly misses: number;
  /** Lines that were evicted. */
  readonly evictions: number;
}

/** A cache as plain data. */
export interface CacheState {
  /** Line numbers, way by way; NaN for an empty way. */
  readonly tags: Float64Array;
  /** When each was last used. */
  readonly stamps: Float64Array;
  /** The time of the last use. */
  readonly clock: number;
  /** The figures. */
  readonly stats: CacheStats;
}

/** A physically indexed cache without data. */
export class LastLevelCache implements Snapshotted<CacheState> {
  /** Sets, a power of two. */
  readonly sets: number;
  /** Lines of a set. */
  readonly ways: number;
  /** Bytes of a line. */
  readonly lineBytes: number;
  readonly #tags: Float64Array;
  readonly #stamps: Float64Array;
  #clock = 0;
  #hits = 0;
  #misses = 0;
  #evictions = 0;

  /** Creates an empty cache; `bad-argument` unless its sets are a power of two. */
  constructor(shape: CacheShape) {
    this.lineBytes = shape.lineBytes ?? 64;
    this.ways = shape.ways;
    this.sets = shape.bytes / this.lineBytes / this.ways;
    if (!isPowerOfTwo(this.sets))
      throw new MachineError("bad-argument", `${shape.bytes} bytes of ${shape.ways} ways are not 2^n sets`, {
        ...shape,
      });
    this.#tags = new Float64Array(this.sets * this.ways).fill(NaN);
    this.#stamps = new Float64Array(this.sets * this.ways);
  }

  /** How many colours frames have: frames of different colours never meet in a set. */
  get colours(): number {
    return Math.max(1, (this.sets * this.lineBytes) / FRAME_BYTES);
  }

  /** Returns the colour of a frame. */
  colourOf(pfn: Pfn): number {
    return pfn & (this.colours - 1);
  }

  /** Notes an access to the line of `address`; returns whether it was there. */
  access(address: PhysAddr): boolean {
    const line = Math.floor(address / this.lineBytes);
    const first = (line & (this.sets - 1)) * this.ways;
    let victim = first;
    for (let at = first; at < first + this.ways; at++) {
      if (this.#tags[at]! === line) {
        this.#stamps[at] = ++this.#clock;
        this.#hits++;
        return true;
      }
      if (Number.isNaN(this.#tags[at]!)) {
        if (!Number.isNaN(this.#tags[victim]!)) victim = at;
      } else if (!Number.isNaN(this.#tags[victim]!) && this.#stamps[at]! < this.#stamps[victim]!) victim = at;
    }
    this.#misses++;
    if (!Number.isNaN(this.#tags[victim]!)) this.#evictions++;
    this.#tags[victim] = line;
    this.#stamps[victim] = ++this.#clock;
    return false;
  }

  /** WBINVD: empties the cache. */
  flush(): void {
    this.#tags.fill(NaN);
  }

  /** Drops the lines of `[start, end)`: CLFLUSH over a range. */
  flushRange(start: PhysAddr, end: PhysAddr): void {
    for (let at = 0; at < this.#tags.length; at++) {
      const address = this.#tags[at]! * this.lineBytes;
      if (address + this.lineBytes > start && address < end) this.#tags[at] = NaN;
    }
  }

  /** Snapshotted: the lines that are there, and the figures. */
  saveState(): CacheState {
    return { tags: this.#tags.slice(), stamps: this.#stamps.slice(), clock: this.#clock, stats: this.stats() };
  }

  /** Snapshotted: the lines that were there, and the figures. */
  restoreState({ tags, stamps, clock, stats }: CacheState): void {
    this.#tags.set(tags);
    this.#stamps.set(stamps);
    this.#clock = clock;
    this.#hits = stats.hits;
    this.#misses = stats.misses;
    this.#evictions = stats.evictions;
  }

  /** Returns the figures. */
  stats(): CacheStats {
    return { hits: this.#hits, misses: this.#misses, evictions: this.#evictions };
  }

  /** Throws `broken-invariant` unless every line is in its set, once. */
  check(): void {
    for (let set = 0; set < this.sets; set++) {
      const lines = this.#tags.subarray(set * this.ways, (set + 1) * this.ways).filter((tag) => !Number.isNaN(tag));
      invariant(new Set(lines).size === lines.length, "a line is in the cache once");
      invariant(
        lines.every((line) => (line & (this.sets - 1)) === set),
        "a line is in its set",
      );
    }
  }
}
