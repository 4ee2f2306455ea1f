/**
 * A time limit that counts only time in which this process runs.
 *
 * A program that computes for long, or is stopped, reads no answers meanwhile: they wait in the socket, and by the clock their time is over before they are looked at. A
 * page would be given up that the server has sent long ago. Timers that are late come once, however late; so the limit is a number of ticks, and after the last one what has
 * come in is read first.
 */

/** Ticks of a limit. */
const TICKS = 20;

/** See the file's first line. Begins when made; to be ended. */
export class TimeLimit {
  readonly #timer: NodeJS.Timeout;
  readonly #over: Promise<never>;
  #left = TICKS;

  /** A limit of so many milliseconds. */
  constructor(milliseconds: number) {
    let reject: (reason: Error) => void = () => undefined;
    this.#over = new Promise<never>((_, no) => (reject = no));
    this.#over.catch(() => undefined);
    this.#timer = setInterval(() => {
      if (--this.#left === 0)
        setImmediate(() => {
          reject(new Error("no answer in time"));
        });
    }, milliseconds / TICKS);
  }

  /** Whether the time is over. */
  isOver(): boolean {
    return this.#left <= 0;
  }

  /** Settles as the promise does; rejects when the time is over before. */
  async during<T>(promise: Promise<T>): Promise<T> {
    return await Promise.race([promise, this.#over]);
  }

  /** Ends the count. */
  end(): void {
    clearInterval(this.#timer);
  }
}
