/** Harvests while as many pages leave as there are frames: chosen by measurement, see README.md beside this file. */
const HARVESTS_PER_TURNOVER = 16;

/**
 * Says when accessed bits should be harvested: each time a sixteenth of the frames was turned over. Memory that nothing
 * leaves is never scanned, and the cost is bounded: at most 16 present entries for each page that leaves, and the absent ones
 * of their tables, of which only one word is read each.
 *
 * What a manager does when `evicted` says so: clear the accessed bit of every resident page, tell the policy `accessed` for
 * each that had it set, and invalidate the translations of the space once. Without that last step a page that stays
 * in a TLB is not seen used again: where memory is not much larger than the TLB reaches, the busiest pages look idle.
 */
export class HarvestSchedule {
  #interval: number = 1;
  #evictions: number = 0;

  constructor(frames: number) {
    this.resize(frames);
  }

  /** Counts one page that left; true where a harvest is due before the next one. */
  evicted(): boolean {
    if (++this.#evictions < this.#interval) return false;
    this.#evictions = 0;
    return true;
  }

  /** Pages that may be resident at once from now on. */
  resize(frames: number): void {
    this.#interval = Math.max(1, Math.floor(frames / HARVESTS_PER_TURNOVER));
  }
}
