import type { Pfn } from "../units.ts";

const CHUNK = 1024;
const FLAT_CHUNKS = 2 ** 20;

/**
 * One 32-bit number per frame, 0 where nothing was stored, for frame numbers up to 2^40. Chunks of 1024 frames come into
 * being when one of them is stored to.
 *
 * Invariant: a chunk that exists holds exactly 1024 numbers. Look-up: two array reads below 4 TiB, a map above.
 */
export class SparseTable {
  readonly #low: (Int32Array | undefined)[] = [];
  readonly #high = new Map<number, Int32Array>();

  /** Returns the number stored for a frame, or 0. */
  get(pfn: Pfn): number {
    const chunk = Math.floor(pfn / CHUNK);
    const words = chunk < FLAT_CHUNKS ? this.#low[chunk] : this.#high.get(chunk);
    return words === undefined ? 0 : words[pfn & (CHUNK - 1)]!;
  }

  /** Stores a number for a frame. */
  set(pfn: Pfn, value: number): void {
    const chunk = Math.floor(pfn / CHUNK);
    let words = chunk < FLAT_CHUNKS ? this.#low[chunk] : this.#high.get(chunk);
    if (words === undefined) {
      words = new Int32Array(CHUNK);
      if (chunk < FLAT_CHUNKS) {
        while (this.#low.length <= chunk) this.#low.push(undefined);
        this.#low[chunk] = words;
      } else this.#high.set(chunk, words);
    }
    words[pfn & (CHUNK - 1)] = value;
  }

  /** Forgets everything. */
  clear(): void {
    this.#low.length = 0;
    this.#high.clear();
  }

  /** Calls `visit` for every frame with a number other than 0, in ascending order below 4 TiB. */
  forEach(visit: (pfn: Pfn, value: number) => void): void {
    const walkChunk = (chunk: number, words: Int32Array): void => {
      for (let at = 0; at < CHUNK; at++) {
        const value = words[at]!;
        if (value !== 0) visit(chunk * CHUNK + at, value);
      }
    };
    this.#low.forEach((words, chunk) => {
      if (words !== undefined) walkChunk(chunk, words);
    });
    for (const [chunk, words] of this.#high) walkChunk(chunk, words);
  }
}
