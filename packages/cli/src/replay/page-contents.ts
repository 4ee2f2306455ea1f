/**
 * Contents for the pages of a traced program: pages of real processes, dealt out in turn, each with a mark of its own.
 *
 * The trace says which pages were touched, not what was in them. Real contents make compression and swap meet what
 * they meet in life; the mark (one word that depends on the page's address) tells two pages apart that were dealt the
 * same contents, so that a page found in another's place is noticed.
 */

/** Bytes of a page. */
export const PAGE_BYTES = 4096;
/** 32-bit words of a page. */
export const PAGE_WORDS: number = PAGE_BYTES / 4;

/** A pool of real pages. */
export class PageContents {
  readonly #pool: Uint32Array;
  readonly #pages: number;

  /** Takes the pool's bytes: whole pages, at least one, one after the other. */
  constructor(pool: Uint8Array) {
    this.#pages = Math.floor(pool.length / PAGE_BYTES);
    this.#pool = new Uint32Array(pool.slice(0, this.#pages * PAGE_BYTES).buffer);
  }

  /**
   * Writes a page's contents into 1,024 words from `word` on.
   *
   * @param page - Index of the page in its program; decides which pool page it gets.
   * @param mark - What tells this page from all others: its page number.
   */
  fill(page: number, mark: number, into: Uint32Array, word: number): void {
    const from = (page % this.#pages) * PAGE_WORDS;
    into.set(this.#pool.subarray(from, from + PAGE_WORDS), word);
    into[word + markedWord(page)] = Math.imul(mark, 0x9e3779b1) ^ Math.floor(mark / 2 ** 32);
  }
}

/** The word of a page that carries its mark; another one for neighbours. */
function markedWord(page: number): number {
  return (page * 37) % PAGE_WORDS;
}
