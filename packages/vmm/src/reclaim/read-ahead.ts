import { invariant, VmmError } from "../errors.ts";

/** How a file or a region is read. */
export type ReadPattern = "sequential" | "strided" | "random";

/** How the pages are going to be asked for, as far as the user knows. */
export type ReadAdvice = "normal" | "sequential" | "random";

/** Misses with the same stride in a row that make a pattern. */
const CONFIRMATIONS = 2;
/** Strides beyond this are no pattern. */
const MAX_STRIDE = 64;
/** Pages fetched ahead when a pattern is first seen. */
const FIRST_WINDOW = 4;

/** What read-ahead brought. */
export interface ReadAheadStats {
  /** The pattern now. */
  readonly pattern: ReadPattern;
  /** Pages of the stride; 1 for sequential, 0 for random. */
  readonly stride: number;
  /** Pages fetched ahead at a time now. */
  readonly window: number;
  /** Pages fetched ahead since the start. */
  readonly fetched: number;
  /** Of those, used. */
  readonly hits: number;
  /** Of those, dropped without having been used. */
  readonly wasted: number;
}

/**
 * Detects how pages are asked for and says which to fetch ahead: of a mapped file by its page numbers, of swap by the
 * neighbourhood in the space. One instance for each stream of misses.
 *
 * ```
 *   misses   7  8  9            stride 1 twice: sequential; fetch 10 11 12 13
 *   misses   3  11  19          stride 8 twice: strided; fetch 27 35 43 51
 *   use of 12, near the end of the window: fetch on, twice as much as long as what is fetched is used
 * ```
 *
 * The window doubles while hits prevail and halves on waste, so that a random stream costs a few pages now and then.
 * The answer of `miss` and `used` is in `start`, `stride` and `count`: nothing is allocated.
 */
export class ReadAhead {
  readonly #maxWindow: number;
  #advice: ReadAdvice = "normal";
  #last: number = -1;
  #stride: number = 0;
  #confirmed: number = 0;
  #window: number = FIRST_WINDOW;
  /** Where the pattern goes on after what was fetched. */
  #next: number = -1;
  /** A use of this page fetches the next window: half a window before the end. */
  #trigger: number = -1;
  /** Pages in a row that were where the pattern expects them, fetched ahead or missed. */
  #streak: number = 0;
  #fetched: number = 0;
  #hits: number = 0;
  #wasted: number = 0;

  /** First page to fetch, where `count` is above 0. */
  start: number = 0;
  /** Distance from each page to fetch to the next; negative for a stream that runs backwards. */
  stride: number = 0;
  /** Pages to fetch; 0: none. */
  count: number = 0;

  /** @param maxWindow pages that may be fetched ahead at a time, at least 1 */
  constructor(maxWindow: number = 32) {
    if (!(maxWindow >= 1))
      throw new VmmError("out-of-range", "A read-ahead window has a page at least.", { maxWindow });
    this.#maxWindow = maxWindow;
    this.#window = Math.min(FIRST_WINDOW, maxWindow);
  }

  /** The pattern of the latest misses. */
  get pattern(): ReadPattern {
    if (this.#confirmed < CONFIRMATIONS) return "random";
    return Math.abs(this.#stride) === 1 ? "sequential" : "strided";
  }

  /** Pages from each page of the stream to the next, 0 while there is no pattern. */
  get step(): number {
    return this.pattern === "random" ? 0 : this.#stride;
  }

  /** The page whose use fetches more, −1 while there is none: it should not be mapped before it is asked for. */
  get trigger(): number {
    return this.#trigger;
  }

  /** Whether pages behind the stream can be dropped first: it is sequential and each page is read once. */
  get dropsBehind(): boolean {
    return this.pattern === "sequential" && this.#streak > this.#maxWindow;
  }

  /** A page was asked for that is not in memory. What to fetch ahead is in `start`, `stride`, `count`. */
  miss(page: number): void {
    this.count = 0;
    if (this.#advice === "normal") this.#detect(page);
    this.#last = page;
    if (this.#confirmed < CONFIRMATIONS) this.#streak = 0;
    else {
      this.#streak++;
      this.#plan(page + this.#stride);
    }
  }

  /** A page that was fetched ahead is used for the first time, −1 where it is not known which. Near the end of the window more is to be fetched. */
  used(page: number): void {
    this.count = 0;
    this.#hits++;
    this.#streak++;
    if (page < 0) return;
    this.#last = page;
    if (page !== this.#trigger) return;
    this.#window = Math.min(this.#window * 2, this.#maxWindow);
    this.#plan(this.#next);
  }

  /** A page that was fetched ahead was dropped without having been used. */
  wasted(): void {
    this.#wasted++;
    this.#window = Math.max(1, this.#window >>> 1);
  }

  /** Advice overrides detection: `sequential` starts with the largest window, `random` ends fetching ahead. */
  advise(advice: ReadAdvice): void {
    this.#advice = advice;
    this.#confirmed = advice === "sequential" ? CONFIRMATIONS : 0;
    this.#stride = advice === "sequential" ? 1 : 0;
    this.#window = advice === "sequential" ? this.#maxWindow : Math.min(FIRST_WINDOW, this.#maxWindow);
    this.#trigger = -1;
  }

  /** Counts since the start, and the pattern now. */
  stats(): ReadAheadStats {
    const pattern = this.pattern;
    return {
      pattern,
      stride: pattern === "random" ? 0 : this.#stride,
      window: this.#window,
      fetched: this.#fetched,
      hits: this.#hits,
      wasted: this.#wasted,
    };
  }

  /** Throws with the sentence of the broken invariant. */
  check(): void {
    invariant(this.#hits + this.#wasted <= this.#fetched, "More pages were used or dropped than fetched.");
    invariant(this.#window >= 1 && this.#window <= this.#maxWindow, "The window left its range.");
    invariant(this.count === 0 || this.stride !== 0, "Pages to fetch without a stride.");
  }

  /** Compares a miss with the ones before it. */
  #detect(page: number): void {
    // A miss where the pattern should go on, beyond the window, confirms it as well as one right behind the last.
    const stride = this.#confirmed >= CONFIRMATIONS && page === this.#next ? this.#stride : page - this.#last;
    if (this.#last >= 0 && stride === this.#stride && stride !== 0) this.#confirmed++;
    else if (stride !== 0) {
      this.#confirmed = 1;
      this.#stride = this.#last >= 0 && Math.abs(stride) <= MAX_STRIDE ? stride : 0;
      if (this.#stride === 0) this.#confirmed = 0;
    }
  }

  #plan(start: number): void {
    const fits = this.#stride > 0 ? this.#window : Math.min(this.#window, Math.floor(start / -this.#stride) + 1);
    this.start = start;
    this.stride = this.#stride;
    this.count = start < 0 ? 0 : Math.max(0, fits);
    this.#fetched += this.count;
    this.#next = start + this.count * this.#stride;
    this.#trigger = start + (this.count >>> 1) * this.#stride;
  }
}
