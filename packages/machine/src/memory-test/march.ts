/**
 * Memory tests as march algorithms: a list of elements, each walking all words in one direction and doing the same few
 * operations at every word. One engine runs them in steps of any size, so that a scrubber can test memory in idle time.
 *
 * ```
 *  march C−           ⇕(w0)  ⇑(r0,w1)  ⇑(r1,w0)  ⇓(r0,w1)  ⇓(r1,w0)  ⇕(r0)          10 accesses a word
 *  moving inversions  ⇑(w0)  ⇑(r0,w1)  ⇓(r1,w0)                                       5, over many backgrounds
 * ```
 *
 * `0` stands for the background pattern and `1` for its complement. March C− finds every unlinked stuck-at, transition,
 * coupling and address-decoder fault between words; backgrounds with alternating bits find couplings within a word.
 *
 * Sources: A. van de Goor, "Testing Semiconductor Memories" (march C−); the moving-inversions test of memtest86.
 */
import { invariant, MachineError } from "../errors.ts";
import type { Snapshotted } from "../system/snapshotted.ts";
import { alignDown, FRAME_BYTES, formatAddress } from "../units.ts";
import type { Pfn, PhysAddr } from "../units.ts";

/** What a memory test reads and writes; `PhysicalMemory` fits. */
export interface WordMemory {
  /** Returns `size` bytes at `address`, unsigned. */
  read(address: PhysAddr, size: number): number;
  /** Stores `size` bytes at `address`. */
  write(address: PhysAddr, size: number, value: number): void;
}

/** One operation at a word: read and expect, or write, the background (`0`) or its complement (`1`). */
export type MarchOperation = "r0" | "r1" | "w0" | "w1";

/** One walk over all words. */
export interface MarchElement {
  /** Ascending or descending addresses. */
  readonly direction: "up" | "down";
  /** What is done at each word, in order. */
  readonly operations: readonly MarchOperation[];
}

/** A memory test: its elements, run once per background. */
export interface MarchAlgorithm {
  /** What reports call it. */
  readonly name: string;
  /** Its walks, in order. */
  readonly elements: readonly MarchElement[];
  /** The 32-bit patterns that `0` stands for, one round each. */
  readonly backgrounds: readonly number[];
}

const up = (...operations: MarchOperation[]): MarchElement => ({ direction: "up", operations });
const down = (...operations: MarchOperation[]): MarchElement => ({ direction: "down", operations });

/** March C−, with a plain and three alternating backgrounds. */
export const MARCH_C_MINUS: MarchAlgorithm = {
  name: "march C−",
  elements: [up("w0"), up("r0", "w1"), up("r1", "w0"), down("r0", "w1"), down("r1", "w0"), up("r0")],
  backgrounds: [0x00000000, 0x55555555, 0x33333333, 0x0f0f0f0f],
};

/** Moving inversions, with a one walking through every bit. */
export const MOVING_INVERSIONS: MarchAlgorithm = {
  name: "moving inversions",
  elements: [up("w0"), up("r0", "w1"), down("r1", "w0")],
  backgrounds: Array.from({ length: 32 }, (_, bit) => 2 ** bit),
};

/** A word that did not hold what was written. */
export interface MemoryFault {
  /** The word. */
  readonly address: PhysAddr;
  /** What should have been read. */
  readonly expected: number;
  /** What was read. */
  readonly found: number;
  /** Index of the element that saw it. */
  readonly element: number;
  /** The background of that round. */
  readonly background: number;
}

/** How far a memory test is, and what it saw. */
export interface MarchState {
  /** Round, element, and words of it that are done. */
  readonly position: readonly [round: number, element: number, word: number];
  /** The faults kept. */
  readonly faults: readonly MemoryFault[];
  /** How many there were. */
  readonly faultCount: number;
}

/** A memory test under way over `[start, end)`. The memory's contents are lost. */
export class MarchTest implements Snapshotted<MarchState> {
  /** What is run. */
  readonly algorithm: MarchAlgorithm;
  /** First byte. */
  readonly start: PhysAddr;
  /** One past the last byte. */
  readonly end: PhysAddr;
  readonly #memory: WordMemory;
  readonly #words: number;
  readonly #faults: MemoryFault[] = [];
  readonly #maxFaults: number;
  #round = 0;
  #element = 0;
  #word = 0;
  #faultCount = 0;

  /** Prepares a test of whole 32-bit words; at most `maxFaults` are kept, all are counted. */
  constructor(memory: WordMemory, algorithm: MarchAlgorithm, start: PhysAddr, end: PhysAddr, maxFaults = 1024) {
    const bytes = end - start;
    if (!(bytes > 0) || (start & 3) !== 0 || (bytes & 3) !== 0)
      throw new MachineError(
        "bad-argument",
        `A memory test needs whole words, not [${formatAddress(start)}, ${formatAddress(end)})`,
        {
          start,
          end,
        },
      );
    this.#memory = memory;
    this.algorithm = algorithm;
    this.start = start;
    this.end = end;
    this.#words = bytes / 4;
    this.#maxFaults = maxFaults;
  }

  /** The first faults that were seen, in the order of seeing. */
  get faults(): readonly MemoryFault[] {
    return this.#faults;
  }

  /** How many reads went wrong. */
  get faultCount(): number {
    return this.#faultCount;
  }

  /** Whether all rounds are through. */
  get isDone(): boolean {
    return this.#round === this.algorithm.backgrounds.length;
  }

  /** The part that is done, 0 to 1. */
  get progress(): number {
    const rounds = this.algorithm.backgrounds.length;
    const elements = this.algorithm.elements.length;
    return ((this.#round * elements + this.#element) * this.#words + this.#word) / (rounds * elements * this.#words);
  }

  /** Goes on for at most `words` word visits; returns whether the test is done. */
  step(words: number): boolean {
    for (let left = words; left > 0 && !this.isDone;) {
      const element = this.algorithm.elements[this.#element];
      const background = this.algorithm.backgrounds[this.#round];
      if (element === undefined || background === undefined) break;
      const count = Math.min(left, this.#words - this.#word);
      for (let i = 0; i < count; i++) this.#visit(element, background >>> 0);
      left -= count;
      if (this.#word === this.#words) this.#nextElement();
    }
    return this.isDone;
  }

  /** Runs to the end and returns the faults. */
  run(): readonly MemoryFault[] {
    this.step(Infinity);
    return this.#faults;
  }

  #nextElement(): void {
    this.#word = 0;
    this.#element++;
    if (this.#element < this.algorithm.elements.length) return;
    this.#element = 0;
    this.#round++;
  }

  #visit(element: MarchElement, background: number): void {
    const at = element.direction === "up" ? this.#word : this.#words - 1 - this.#word;
    const address = this.start + at * 4;
    for (const operation of element.operations) {
      const value = operation.endsWith("0") ? background : ~background >>> 0;
      if (operation.startsWith("w")) this.#memory.write(address, 4, value);
      else {
        const found = this.#memory.read(address, 4);
        if (found !== value) this.#report({ address, expected: value, found, element: this.#element, background });
      }
    }
    this.#word++;
  }

  #report(fault: MemoryFault): void {
    this.#faultCount++;
    if (this.#faults.length < this.#maxFaults) this.#faults.push(fault);
  }

  /** Snapshotted: how far it is. */
  saveState(): MarchState {
    return {
      position: [this.#round, this.#element, this.#word],
      faults: [...this.#faults],
      faultCount: this.#faultCount,
    };
  }

  /** Snapshotted: how far it was. */
  restoreState({ position, faults, faultCount }: MarchState): void {
    [this.#round, this.#element, this.#word] = position;
    this.#faults.splice(0, this.#faults.length, ...faults);
    this.#faultCount = faultCount;
  }

  /** The frames with faults, ascending: what a frame allocator is to retire. */
  faultyFrames(): Pfn[] {
    const frames = new Set(this.#faults.map((fault) => alignDown(fault.address, FRAME_BYTES) / FRAME_BYTES));
    return [...frames].sort((a, b) => a - b);
  }

  /** Throws `broken-invariant` unless the position lies within the test and the faults within the range. */
  check(): void {
    invariant(this.#word >= 0 && this.#word < this.#words, "the position lies within the range");
    invariant(this.#element < this.algorithm.elements.length, "the element exists");
    invariant(this.#faults.length <= this.#faultCount, "no more faults are kept than were counted");
    for (const { address } of this.#faults)
      invariant(
        address >= this.start && address < this.end,
        `the fault at ${formatAddress(address)} lies within the range`,
      );
  }
}
