import { invariant, VmmError } from "../errors.ts";
import type { Clock } from "../ports.ts";

/** The averages are brought up to date in steps of this many nanoseconds, as in Linux. */
const STEP_NS = 2_000_000_000;
/** Windows of the averages, in steps: 10, 60 and 300 s. */
const WINDOW_STEPS = [5, 30, 150] as const;

/** How much of the time tasks stood still for want of memory. */
export interface Stall {
  /** Share of the last 10 s or so, 0 … 1: an exponential average. */
  readonly average10: number;
  /** The same for 60 s. */
  readonly average60: number;
  /** The same for 300 s. */
  readonly average300: number;
  /** All of the time since the start, in nanoseconds. */
  readonly totalNanoseconds: number;
}

/** Time in one condition: the sum since the start, what falls into the current step, and the averages. */
class Share {
  total: number = 0;
  step: number = 0;
  readonly averages: Float64Array = new Float64Array(WINDOW_STEPS.length);

  add(nanoseconds: number): void {
    this.total += nanoseconds;
    this.step += nanoseconds;
  }

  /** Ends a step, and `idle` more in which the condition held for `share` of the time throughout. */
  endSteps(idle: number, share: number): void {
    const last = this.step / STEP_NS;
    this.step = 0;
    for (let window = 0; window < WINDOW_STEPS.length; window++) {
      const keep = Math.exp(-1 / (WINDOW_STEPS[window] ?? 1));
      const averaged = this.averages[window]! * keep + last * (1 - keep);
      const fade = keep ** idle;
      this.averages[window] = averaged * fade + share * (1 - fade);
    }
  }

  snapshot(): Stall {
    const [average10 = 0, average60 = 0, average300 = 0] = this.averages;
    return { average10, average60, average300, totalNanoseconds: this.total };
  }
}

/**
 * Stall averages in the manner of Linux's pressure stall information: the share of time in which *some* task waited for
 * memory (for a page of a store, for reclaim), and in which *all* that could run did, so that nothing got done.
 *
 * Tasks are counted, not named: `activate`/`retire` say that one has work to do, `stall`/`resume` that one of them waits.
 * Each call costs a clock read and a few additions; nothing runs in between.
 *
 * Source: Weiner, "PSI: Pressure Stall Information", Linux documentation, accounting/psi.
 */
export class StallMeter {
  readonly #clock: Clock;
  readonly #some: Share = new Share();
  readonly #full: Share = new Share();
  #active: number = 0;
  #stalled: number = 0;
  /** Up to when time is accounted for. */
  #accounted: number;
  #stepEnd: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#accounted = clock.nanoseconds();
    this.#stepEnd = this.#accounted + STEP_NS;
  }

  /** A task has work to do. */
  activate(): void {
    this.#account();
    this.#active++;
  }

  /** A task that does not wait has no work any more. */
  retire(): void {
    this.#account();
    if (this.#active <= this.#stalled) throw new VmmError("unbalanced", "A task retired that was not active.");
    this.#active--;
  }

  /** An active task waits for memory from now on. */
  stall(): void {
    this.#account();
    if (this.#stalled >= this.#active) throw new VmmError("unbalanced", "A task stalled that was not active.");
    this.#stalled++;
  }

  /** A task that waited goes on. */
  resume(): void {
    this.#account();
    if (this.#stalled === 0) throw new VmmError("unbalanced", "A task resumed that had not stalled.");
    this.#stalled--;
  }

  /** As {@link stall}, for one of who knows how many tasks: one that nobody announced is active while it waits. Returns whether it was announced. */
  begin(): boolean {
    const isKnown = this.#stalled < this.#active;
    if (!isKnown) this.activate();
    this.stall();
    return isKnown;
  }

  /** Ends a {@link begin} with what it returned. */
  end(isKnown: boolean): void {
    this.resume();
    if (!isKnown) this.retire();
  }

  /** Awaits a promise that a task stands still for. */
  async during<T>(promise: Promise<T>): Promise<T> {
    const isKnown = this.begin();
    try {
      return await promise;
    } finally {
      this.end(isKnown);
    }
  }

  /** Time in which at least one task waited. */
  some(): Stall {
    this.#account();
    return this.#some.snapshot();
  }

  /** Time in which all active tasks waited. */
  full(): Stall {
    this.#account();
    return this.#full.snapshot();
  }

  /** Throws with the sentence of the broken invariant. */
  check(): void {
    invariant(this.#stalled >= 0 && this.#stalled <= this.#active, "More tasks wait than are active.");
    invariant(this.#full.total <= this.#some.total, "All tasks waited for longer than some did.");
    invariant(this.#accounted <= this.#stepEnd, "Time is accounted for beyond the current step.");
  }

  /** Accounts for the time since the last call; O(1) however long that was. */
  #account(): void {
    const now = this.#clock.nanoseconds();
    if (now >= this.#stepEnd) {
      this.#addUntil(this.#stepEnd);
      const idle = Math.floor((now - this.#stepEnd) / STEP_NS);
      this.#stepEnd += (idle + 1) * STEP_NS;
      const some = this.#stalled > 0 ? 1 : 0;
      const full = this.#allStalled() ? 1 : 0;
      this.#some.endSteps(idle, some);
      this.#full.endSteps(idle, full);
      this.#some.total += some * idle * STEP_NS;
      this.#full.total += full * idle * STEP_NS;
      this.#accounted += idle * STEP_NS;
    }
    this.#addUntil(now);
  }

  #addUntil(moment: number): void {
    const elapsed = moment - this.#accounted;
    this.#accounted = moment;
    if (this.#stalled > 0) this.#some.add(elapsed);
    if (this.#allStalled()) this.#full.add(elapsed);
  }

  #allStalled(): boolean {
    return this.#stalled > 0 && this.#stalled === this.#active;
  }
}
