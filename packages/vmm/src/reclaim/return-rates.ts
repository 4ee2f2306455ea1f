/**
 * How often pages come back that left: clean ones of files, which cost nothing to drop, beside all others, which have to be written first. Says when it pays to drop a
 * file's page in place of one that would have to be written.
 *
 * ```
 *  rate = pages that came back / pages that left, of late              files × 1.25 + 1/16 < others ── a victim that would have to be written gets a second chance
 * ```
 * Of late: the counts are halved each time {@link PERIOD} pages have left. Each kind begins with {@link DOUBT} pages that left and came back, so that a few of the first do not
 * decide.
 *
 * Source: Linux, mm/vmscan.c, get_scan_count, which scans anonymous and file pages by what their refaults cost.
 */
import { invariant } from "../errors.ts";

/** Pages that leave before what was learned counts half. */
const PERIOD = 4096;
/** Pages of each kind that are taken to have left and come back. */
const DOUBT = 16;

/** By how much more often others have to come back: what is nearly the same now is the other way round soon. */
const CLEARLY = 1.25;

/** What comes back less often need not be spared. */
const SELDOM = 1 / 16;

/** Rates of return of two kinds of pages. */
export class ReturnRates {
  /** Pages that left, and that came back, of files and of all others; halved now and then. */
  readonly #left: Float64Array = new Float64Array(2);
  readonly #returned: Float64Array = new Float64Array(2);

  /** A page has left its frame. */
  left(isFile: boolean): void {
    const kind = isFile ? 0 : 1;
    this.#left[kind] = this.#left[kind]! + 1;
    if (this.#left[0]! + this.#left[1]! < PERIOD) return;
    for (const counts of [this.#left, this.#returned])
      for (let each = 0; each < counts.length; each++) counts[each] = counts[each]! / 2;
  }

  /** A page that had left its frame is in one again. */
  returned(isFile: boolean): void {
    const kind = isFile ? 0 : 1;
    this.#returned[kind] = this.#returned[kind]! + 1;
  }

  /** Whether others come back often, and pages of files clearly less so. */
  get prefersFiles(): boolean {
    return this.#rate(0) * CLEARLY + SELDOM < this.#rate(1);
  }

  /** Throws with the sentence of the broken invariant. */
  check(): void {
    for (const count of [...this.#left, ...this.#returned])
      invariant(count >= 0 && Number.isFinite(count), "A count of pages that left or came back is none.", { count });
  }

  #rate(kind: number): number {
    return (this.#returned[kind]! + DOUBT) / (this.#left[kind]! + DOUBT);
  }
}
