/** A progress bar on standard error: only on a terminal, and only for what takes longer than a second. */
import { SingleBar } from "cli-progress";

const PATIENCE_MS = 1000;
const REDRAW_MS = 100;

/** One long task of known length. */
export class Progress {
  readonly #label: string;
  readonly #total: number;
  readonly #unit: string;
  readonly #started: number = performance.now();
  #drawn: number = 0;
  #bar: SingleBar | null = null;

  /**
   * Starts a task.
   *
   * @param label - What is being done, a word or two.
   * @param total - How many units it will take.
   * @param unit - The name of the units.
   */
  constructor(label: string, total: number, unit: string) {
    this.#label = label;
    this.#total = total;
    this.#unit = unit;
  }

  /** Says how many units are done; cheap enough to be called every few milliseconds. */
  update(done: number): void {
    const now = performance.now();
    if (now - this.#drawn < REDRAW_MS) return;
    this.#drawn = now;
    if (this.#bar === null && process.stderr.isTTY && now - this.#started > PATIENCE_MS) this.#bar = this.#draw();
    this.#bar?.update(done);
  }

  /** Ends the task and wipes the bar. */
  stop(): void {
    this.#bar?.stop();
    this.#bar = null;
  }

  #draw(): SingleBar {
    const format = `${this.#label} [{bar}] {percentage}% {value}/{total} ${this.#unit}, {eta_formatted} left`;
    const bar = new SingleBar({ format, stream: process.stderr, clearOnComplete: true, hideCursor: false });
    bar.start(this.#total, 0);
    return bar;
  }
}
