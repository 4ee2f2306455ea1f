/**
 * From a page number within an object to the page that holds its content: chunks of 512 entries, made when first used.
 */
import { VmmError } from "../errors.ts";
import { TABLE_PAGES } from "../units.ts";
import { NO_PAGE } from "./pages.ts";

/** Pages of one object by their index, 0 … 2^52. */
export class PageIndex {
  readonly #chunks: Map<number, Int32Array> = new Map();
  #lastNumber = -1;
  #last: Int32Array | null = null;
  #count = 0;

  /** Pages in the index. */
  get count(): number {
    return this.#count;
  }

  /** The page at an index, −1 if none. */
  get(index: number): number {
    const chunk = this.#find(Math.floor(index / TABLE_PAGES));
    return chunk === null ? NO_PAGE : chunk[index & (TABLE_PAGES - 1)]!;
  }

  /** Whether any page has an index in `[start, end)`, within 512 from a multiple of 512 on. Stops at the first. */
  hasAny(start: number, end: number): boolean {
    const chunk = this.#find(Math.floor(start / TABLE_PAGES));
    if (chunk === null) return false;
    const first = start & (TABLE_PAGES - 1);
    for (let at = first; at < first + (end - start); at++) if (chunk[at] !== NO_PAGE) return true;
    return false;
  }

  /** Puts a page at an index where none is. */
  add(index: number, page: number): void {
    const number = Math.floor(index / TABLE_PAGES);
    let chunk = this.#find(number);
    if (chunk === null) {
      chunk = new Int32Array(TABLE_PAGES).fill(NO_PAGE);
      this.#chunks.set(number, chunk);
      this.#last = chunk;
      this.#lastNumber = number;
    }
    chunk[index & (TABLE_PAGES - 1)] = page;
    this.#count++;
  }

  /** Takes the page at an index out. */
  remove(index: number): void {
    const chunk = this.#find(Math.floor(index / TABLE_PAGES));
    if (chunk === null) return;
    chunk[index & (TABLE_PAGES - 1)] = NO_PAGE;
    this.#count--;
  }

  /** Calls `visit` for every page with index in `[start, end)`, ascending within a chunk. `visit` may remove the page it is given. */
  forEach(start: number, end: number, visit: (page: number, index: number) => void): void {
    const first = Math.floor(start / TABLE_PAGES);
    const last = Math.ceil(end / TABLE_PAGES);
    if (last - first <= this.#chunks.size) {
      for (let number = first; number < last; number++) {
        const chunk = this.#chunks.get(number);
        if (chunk !== undefined) this.#visitChunk(number, chunk, start, end, visit);
      }
      return;
    }
    const numbers = [...this.#chunks.keys()].filter((number) => number >= first && number < last).sort((a, b) => a - b);
    for (const number of numbers) {
      const chunk = this.#chunks.get(number);
      if (chunk !== undefined) this.#visitChunk(number, chunk, start, end, visit);
    }
  }

  /** Walks everything; throws with the sentence of the broken invariant. */
  check(): void {
    let count = 0;
    for (const chunk of this.#chunks.values()) for (const page of chunk) if (page !== NO_PAGE) count++;
    if (count !== this.#count) throw new VmmError("invariant", "An object's page count is wrong.", { count });
  }

  #visitChunk(
    number: number,
    chunk: Int32Array,
    start: number,
    end: number,
    visit: (page: number, index: number) => void,
  ): void {
    const base = number * TABLE_PAGES;
    const from = Math.max(start - base, 0);
    const to = Math.min(end - base, TABLE_PAGES);
    for (let at = from; at < to; at++) {
      const page = chunk[at]!;
      if (page !== NO_PAGE) visit(page, base + at);
    }
  }

  #find(number: number): Int32Array | null {
    if (number === this.#lastNumber) return this.#last;
    const chunk = this.#chunks.get(number);
    if (chunk === undefined) return null;
    this.#lastNumber = number;
    this.#last = chunk;
    return chunk;
  }
}
