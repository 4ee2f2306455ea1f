/*
 * Numbers on their way from one worker to another, as a program with a producer and a consumer hands them over: a ring whose counters are published a batch at a
 * time, in cache lines of their own, and of which each side keeps what it saw last. Whoever has to wait looks for a while before it sleeps, since waking takes longer than most waits.
 *
 *      word 0      32          64         96         128 …
 *      ┌──────┬─ ─┬──────────┬─ ─┬────────┬─ ─┬──────────┬─ ─┬─────────┐
 *      │ sent │   │ received │   │ sender │   │ receiver │   │ numbers │
 *      └──────┴─ ─┴──────────┴─ ─┴────────┴─ ─┴──────────┴─ ─┴─────────┘
 *                                  1 while it sleeps
 */

/** Numbers on their way at most. A power of two. */
const ROOM = 2048;
/** Numbers that are published together. */
const BATCH = 256;
/** Looks at the other side's counter before a worker sleeps: some microseconds. */
const LOOKS = 5000;
const SENT = 0;
const RECEIVED = 32;
/** From a side's counter to the word that says whether it sleeps. */
const ASLEEP = 64;
const FIRST = 128;

/** Bytes of a ring. */
export const HAND_OVER_BYTES: number = (FIRST + ROOM) * 4;

/** One side of a ring: one worker sends, another one receives. */
export class HandOver {
  readonly #words: Int32Array;
  /** How many numbers this side has sent or received. */
  #position = 0;
  /** How many the other side was seen to have. */
  #seen = 0;

  /** @param ring {@link HAND_OVER_BYTES} bytes, of zeros at the beginning. */
  constructor(ring: SharedArrayBuffer) {
    this.#words = new Int32Array(ring);
  }

  /** Puts a number into the ring; waits while it is full. */
  send(value: number): void {
    if (this.#position - this.#seen >= ROOM) this.#meet(SENT, RECEIVED, this.#position - ROOM + BATCH);
    this.#words[FIRST + (this.#position++ & (ROOM - 1))] = value;
    if ((this.#position & (BATCH - 1)) === 0) this.#publish(SENT, RECEIVED);
  }

  /** The next number, of `left` that are still to come; waits for a batch, or for all of them. */
  receive(left: number): number {
    if (this.#position >= this.#seen) this.#meet(RECEIVED, SENT, this.#position + Math.min(BATCH, left));
    const value = this.#words[FIRST + (this.#position++ & (ROOM - 1))]!;
    if ((this.#position & (BATCH - 1)) === 0) this.#publish(RECEIVED, SENT);
    return value;
  }

  /** Publishes what this side, the sender, has put in. */
  flush(): void {
    this.#publish(SENT, RECEIVED);
  }

  /** Says how far this side is, and wakes the other one where it sleeps. */
  #publish(own: number, other: number): void {
    Atomics.store(this.#words, own, this.#position);
    if (Atomics.load(this.#words, other + ASLEEP) !== 0) Atomics.notify(this.#words, own);
  }

  /** Waits until the other side is at `goal`. */
  #meet(own: number, other: number, goal: number): void {
    const words = this.#words;
    this.#publish(own, other);
    for (let look = 0; look < LOOKS && this.#seen < goal; look++) this.#seen = Atomics.load(words, other);
    if (this.#seen >= goal) return;
    Atomics.store(words, own + ASLEEP, 1);
    for (let at = Atomics.load(words, other); this.#seen < goal; at = Atomics.load(words, other)) {
      this.#seen = at;
      if (at < goal) Atomics.wait(words, other, at);
    }
    Atomics.store(words, own + ASLEEP, 0);
  }
}
