/**
 * From a frame number to the page whose content it holds. Frames are sparse (64 GiB machines, 52-bit addresses), so the numbers lie in chunks
 * that are made when first used.
 *
 * ```
 *  pfn ─ floor(pfn / 4096) → chunk ─ pfn & 4095 → page + 1, 0 = none
 * ```
 */
import { VmmError } from "../errors.ts";
import type { Pfn } from "../units.ts";

const CHUNK_FRAMES = 4096;
/** Chunks below this number are found through an array (1 TiB of memory), others through a Map. */
const NEAR_CHUNKS = 65536;

/** Which page a frame holds. */
export class FrameMap {
  readonly #near: (Int32Array | null)[] = [];
  readonly #far: Map<number, Int32Array> = new Map();
  #count = 0;

  /** Frames that hold a page. */
  get count(): number {
    return this.#count;
  }

  /** The page that the frame holds, −1 if none. Two array reads. */
  pageAt(pfn: Pfn): number {
    const number = Math.floor(pfn / CHUNK_FRAMES);
    const chunk = number < NEAR_CHUNKS ? this.#near[number] : this.#far.get(number);
    if (chunk === undefined || chunk === null) return -1;
    return chunk[pfn & (CHUNK_FRAMES - 1)]! - 1;
  }

  /** Notes that the frame holds `page`. Throws `port-contract` if it holds another: the frame source handed it out twice. */
  set(pfn: Pfn, page: number): void {
    const chunk = this.#chunk(Math.floor(pfn / CHUNK_FRAMES));
    const at = pfn & (CHUNK_FRAMES - 1);
    if (chunk[at] !== 0)
      throw new VmmError("port-contract", "The frame source handed out a frame that is in use.", { pfn });
    chunk[at] = page + 1;
    this.#count++;
  }

  /** Notes that the frame holds no page any more. */
  clear(pfn: Pfn): void {
    const chunk = this.#chunk(Math.floor(pfn / CHUNK_FRAMES));
    const at = pfn & (CHUNK_FRAMES - 1);
    if (chunk[at] === 0) throw new VmmError("invariant", "A frame that holds no page was cleared.", { pfn });
    chunk[at] = 0;
    this.#count--;
  }

  /** Walks everything; throws with the sentence of the broken invariant. */
  check(): void {
    let count = 0;
    for (const chunk of [...this.#near, ...this.#far.values()])
      if (chunk !== null) for (const entry of chunk) if (entry !== 0) count++;
    if (count !== this.#count) throw new VmmError("invariant", "The frame map's count is wrong.", { count });
  }

  #chunk(number: number): Int32Array {
    return (number < NEAR_CHUNKS ? this.#near[number] : this.#far.get(number)) ?? this.#makeChunk(number);
  }

  #makeChunk(number: number): Int32Array {
    const made = new Int32Array(CHUNK_FRAMES);
    if (number < NEAR_CHUNKS) {
      while (this.#near.length <= number) this.#near.push(null);
      this.#near[number] = made;
    } else {
      this.#far.set(number, made);
    }
    return made;
  }
}
