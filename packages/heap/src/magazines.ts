/*
 * Each CPU has two magazines, of which one is loaded; full ones that no CPU has are in the depot, a stack of them:
 *
 *      places: for each CPU    ┌───────┬───────┬───┬───────┬───────┬───────┬───┬───────┐     depot   ┌───────┬───┬───────┐
 *                              │ count │ thing │ … │ thing │ count │ thing │ … │ thing │             │ thing │ … │ thing │ …
 *                              └───────┴───────┴───┴───────┴───────┴───────┴───┴───────┘             └───────┴───┴───────┘
 *                               one magazine                the other                                 a full magazine
 */

/** Short stacks of small numbers for each CPU, with a depot behind them. Bonwick, Adams: Magazines and Vmem (2001). */
export class Magazines {
  /** Things in a full magazine. */
  readonly size: number;
  readonly #words: Int32Array;
  /** By CPU: where its loaded magazine starts. */
  readonly #loaded: Int32Array;
  #depot: Int32Array;
  /** Full magazines in the depot. */
  #full = 0;

  constructor(cpus: number, size: number) {
    this.size = size;
    this.#words = new Int32Array(cpus * 2 * (size + 1));
    this.#loaded = new Int32Array(cpus).map((_, cpu) => cpu * 2 * (size + 1));
    this.#depot = new Int32Array(size);
  }

  /** Own state, in bytes. */
  get bytes(): number {
    return (this.#words.length + this.#loaded.length + this.#depot.length) * 4;
  }

  /** Whether there is a CPU of that number. */
  has(cpu: number): boolean {
    return this.#loaded[cpu] !== undefined;
  }

  /** Takes what was put in last; −1 where the CPU has nothing and the depot neither. */
  take(cpu: number): number {
    const words = this.#words;
    const loaded = this.#loaded[cpu]!;
    const count = words[loaded]!;
    if (count === 0) return this.#reload(cpu);
    words[loaded] = count - 1;
    return words[loaded + count]!;
  }

  /** Puts a thing into the CPU's loaded magazine. */
  put(cpu: number, thing: number): void {
    const words = this.#words;
    const loaded = this.#loaded[cpu]!;
    const count = words[loaded]! + 1;
    if (count > this.size) {
      this.#unload(cpu);
      this.put(cpu, thing);
    } else {
      words[loaded] = count;
      words[loaded + count] = thing;
    }
  }

  /** The other magazine of a CPU. */
  #spareOf(cpu: number): number {
    return (2 * cpu * 2 + 1) * (this.size + 1) - this.#loaded[cpu]!;
  }

  #reload(cpu: number): number {
    const words = this.#words;
    const spare = this.#spareOf(cpu);
    if (words[spare] === 0) {
      if (this.#full === 0) return -1;
      words.set(this.#depot.subarray(--this.#full * this.size, (this.#full + 1) * this.size), spare + 1);
      words[spare] = this.size;
    }
    this.#loaded[cpu] = spare;
    return this.take(cpu);
  }

  /** Makes room in front: the other magazine is loaded, which goes to the depot first if it is full. */
  #unload(cpu: number): void {
    const words = this.#words;
    const spare = this.#spareOf(cpu);
    if (words[spare] === this.size) {
      const start = this.#full++ * this.size;
      if (start === this.#depot.length) {
        const depot = new Int32Array(start * 2);
        depot.set(this.#depot);
        this.#depot = depot;
      }
      this.#depot.set(words.subarray(spare + 1, spare + 1 + this.size), start);
      words[spare] = 0;
    }
    this.#loaded[cpu] = spare;
  }

  /** Takes a thing from whichever CPU has one; −1 where none has. */
  steal(): number {
    for (let cpu = 0; cpu < this.#loaded.length; cpu++) {
      const thing = this.take(cpu);
      if (thing >= 0) return thing;
    }
    return -1;
  }

  /** Visits everything. */
  forEach(visit: (thing: number) => void): void {
    for (let start = 0; start < this.#words.length; start += this.size + 1)
      this.#words.subarray(start + 1, start + 1 + this.#words[start]!).forEach((thing) => visit(thing));
    this.#depot.subarray(0, this.#full * this.size).forEach((thing) => visit(thing));
  }

  /** Forgets everything. */
  clear(): void {
    for (let start = 0; start < this.#words.length; start += this.size + 1) this.#words[start] = 0;
    this.#depot = new Int32Array(this.size);
    this.#full = 0;
  }
}
