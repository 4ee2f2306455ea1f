import { invariant } from "../errors.ts";

/** Pages fetched with the first miss. */
const FIRST_WINDOW = 4;

/**
 * How many neighbours in the space to bring in with a page from swap. One instance for each region; nothing is allocated.
 *
 * ```
 *   misses run upwards     [ miss · · · )            pages from the miss on
 *   downwards              ( · · · miss ]
 *   neither                ( · · miss · )            centred: what is near was put out together
 * ```
 *
 * The window is the number of pages that were used of what was fetched since the last miss, and two more, rounded up to a power of two; it shrinks by half
 * at most, and by half for each page that leaves unused. Random misses end with a window of one page: nothing is fetched ahead.
 *
 * Source: Linux, mm/swap_state.c, `swap_vma_readahead`; there waste does not count.
 */
export class SwapWindow {
  /** First page to have, after {@link miss}; −1 before the first. */
  start: number = -1;
  /** End of the pages to have; the page that missed is among them. */
  end: number = -1;
  readonly #maxWindow: number;
  #window: number;
  #last: number = -1;
  /** Pages used since the last miss of those that were fetched. */
  #used: number = 0;

  /** @param maxWindow pages that may be had at a time, the one that missed included; at least 1 */
  constructor(maxWindow: number) {
    this.#maxWindow = maxWindow;
    this.#window = Math.min(FIRST_WINDOW, maxWindow);
  }

  /** Pages to have at a time now. */
  get window(): number {
    return this.#window;
  }

  /** A page of the region has to be brought in: which others with it is in `start` and `end`. */
  miss(vpn: number): void {
    const upwards = vpn === this.#last + 1 || vpn === this.end;
    const downwards = vpn === this.#last - 1 || vpn === this.start - 1;
    if (this.#last >= 0) {
      const wanted = this.#used === 0 && !upwards && !downwards ? 1 : 2 ** (32 - Math.clz32(this.#used + 1));
      this.#window = Math.min(this.#maxWindow, Math.max(wanted, this.#window >>> 1));
    }
    this.#last = vpn;
    this.#used = 0;
    const below = upwards ? 0 : downwards ? this.#window - 1 : (this.#window - 1) >>> 1;
    this.start = vpn - below;
    this.end = this.start + this.#window;
  }

  /** A page that was fetched ahead is used. */
  used(): void {
    this.#used++;
  }

  /** A page that was fetched ahead left without having been used. */
  wasted(): void {
    this.#window = Math.max(1, this.#window >>> 1);
    this.#used = 0;
  }

  /** Throws with the sentence of the broken invariant. */
  check(): void {
    invariant(this.#window >= 1 && this.#window <= this.#maxWindow, "The window left its range.");
    invariant(this.end - this.start <= this.#maxWindow, "More pages were asked for than the window allows.");
  }
}
