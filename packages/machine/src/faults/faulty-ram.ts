/**
 * RAM that fails on purpose: stuck bits, failing rows, bits flipped by radiation, with or without error correction.
 *
 * A frame with faults is watched: accesses to it leave the short way and pass through here. Reads see each 64-bit word as the
 * faults leave it. Without ECC the wrong bits are simply read. With ECC one wrong bit is corrected and reported, two are
 * reported as uncorrected and read as they are; three or more may be miscorrected, as real codes do.
 *
 * A flipped bit stays until its word is written; a stuck bit reads as it is stuck whatever is written.
 */
import { invariant, MachineError } from "../errors.ts";
import type { FrameWatch } from "../memory/memory-ports.ts";
import type { PhysicalMemory } from "../memory/physical-memory.ts";
import type { Snapshotted } from "../system/snapshotted.ts";
import { formatAddress, pfnOf } from "../units.ts";
import type { Pfn, PhysAddr } from "../units.ts";
import { eccVerdict } from "./ecc.ts";

/** A memory error as it is delivered: to the machine-check handler when uncorrected, to the log always. */
export interface MachineCheck {
  /** Address of the 64-bit word. */
  readonly address: PhysAddr;
  /** Whether the data was put right. */
  readonly corrected: boolean;
  /** The ECC syndrome. */
  readonly syndrome: number;
  /** Who read the word. */
  readonly source: "access" | "scrubber";
}

/** Called for a machine check. */
export interface MachineCheckHandler {
  /** Handles an uncorrected error (#MC), or a corrected one (CMCI). */
  machineCheck(check: MachineCheck): void;
}

interface WordFaults {
  /** Bit → the value at which it is stuck. */
  readonly stuck: Map<number, number>;
  /** Bits that read inverted until the word is written. */
  readonly flipped: Set<number>;
}

/** Faults as plain data. */
export interface FaultyRamState {
  /** By word address: stuck bits with their values, and flipped bits. */
  readonly words: readonly (readonly [
    address: PhysAddr,
    stuck: readonly (readonly [number, number])[],
    flipped: readonly number[],
  ])[];
  /** All errors so far. */
  readonly log: readonly MachineCheck[];
}

/** Injects faults into a machine's memory. */
export class FaultyRam implements FrameWatch, Snapshotted<FaultyRamState> {
  /** Whether memory has ECC. */
  readonly ecc: boolean;
  /** Who is told of errors; null: nobody. */
  handler: MachineCheckHandler | null = null;
  /** All errors so far, in order. */
  readonly log: MachineCheck[] = [];
  readonly #memory: PhysicalMemory;
  readonly #words = new Map<number, WordFaults>();
  readonly #perFrame = new Map<Pfn, number>();
  #source: MachineCheck["source"] = "access";

  /** Creates a fault injector for `memory`. */
  constructor(memory: PhysicalMemory, options: { readonly ecc: boolean }) {
    this.#memory = memory;
    this.ecc = options.ecc;
  }

  #faultsAt(address: PhysAddr): WordFaults {
    const word = Math.floor(address / 8) * 8;
    const known = this.#words.get(word);
    if (known !== undefined) return known;
    const pfn = pfnOf(word);
    if (this.#memory.place(pfn) === 0 && !this.#perFrame.has(pfn))
      throw new MachineError("bad-argument", `${formatAddress(address)} is no memory that could fail`, { address });
    const made: WordFaults = { stuck: new Map(), flipped: new Set() };
    this.#words.set(word, made);
    const before = this.#perFrame.get(pfn) ?? 0;
    this.#perFrame.set(pfn, before + 1);
    if (before === 0) this.#memory.watch(pfn, this);
    return made;
  }

  #requireBit(bit: number, most: number): void {
    if (!Number.isInteger(bit) || bit < 0 || bit > most)
      throw new MachineError("bad-argument", `There is no bit ${bit}, only 0 … ${most}`, { bit });
  }

  /** Makes bit `bit` (0 … 7) of the byte at `address` read as `value` (0 or 1) for ever. */
  stick(address: PhysAddr, bit: number, value: 0 | 1): void {
    this.#requireBit(bit, 7);
    this.#faultsAt(address).stuck.set((address & 7) * 8 + bit, value);
  }

  /** Inverts bit `bit` (0 … 7) of the byte at `address` until its word is written. */
  flip(address: PhysAddr, bit: number): void {
    this.#requireBit(bit, 7);
    const { flipped } = this.#faultsAt(address);
    const at = (address & 7) * 8 + bit;
    if (!flipped.delete(at)) flipped.add(at);
  }

  /** Makes a whole row fail: bit `bit` (0 … 63) of every 64-bit word of `[start, start + bytes)` is stuck at `value`. */
  failRow(start: PhysAddr, bytes: number, bit: number, value: 0 | 1): void {
    this.#requireBit(bit, 63);
    if (!(bytes > 0))
      throw new MachineError("bad-argument", `A row of ${bytes} bytes at ${formatAddress(start)} cannot fail`, {
        bytes,
      });
    for (let at = Math.floor(start / 8) * 8; at < start + bytes; at += 8) this.#faultsAt(at).stuck.set(bit, value);
  }

  /** Repairs everything in `[start, end)`: the DIMM was changed. */
  repair(start: PhysAddr, end: PhysAddr): void {
    for (const word of [...this.#words.keys()]) {
      if (word < start || word >= end) continue;
      this.#words.delete(word);
      const pfn = pfnOf(word);
      const left = (this.#perFrame.get(pfn) ?? 1) - 1;
      if (left > 0) this.#perFrame.set(pfn, left);
      else {
        this.#perFrame.delete(pfn);
        this.#memory.unwatch(pfn);
      }
    }
  }

  /** Frames that have faults, ascending. */
  faultyFrames(): Pfn[] {
    return [...this.#perFrame.keys()].sort((a, b) => a - b);
  }

  /** Which bits of a word read wrong now. */
  #wrongBits(word: PhysAddr, faults: WordFaults): number[] {
    const wrong = [...faults.flipped].filter((bit) => !faults.stuck.has(bit));
    for (const [bit, value] of faults.stuck) {
      const stored = Math.floor(this.#memory.readStored(word + Math.floor(bit / 8), 1) / 2 ** (bit % 8)) % 2;
      if (stored !== value) wrong.push(bit);
    }
    return wrong;
  }

  #report(address: PhysAddr, corrected: boolean, syndrome: number): void {
    const check: MachineCheck = { address, corrected, syndrome, source: this.#source };
    this.log.push(check);
    this.handler?.machineCheck(check);
  }

  /** What a read of `size` bytes sees, given what is stored: `FrameWatch`. */
  read(address: PhysAddr, size: number, stored: number): number {
    const word = Math.floor(address / 8) * 8;
    const faults = this.#words.get(word);
    if (faults === undefined) return stored;
    let wrong = this.#wrongBits(word, faults);
    if (this.ecc && wrong.length > 0) {
      const verdict = eccVerdict(wrong);
      this.#report(word, verdict.kind === "corrected", verdict.syndrome);
      if (verdict.kind === "corrected")
        wrong = wrong.includes(verdict.bit) ? wrong.filter((bit) => bit !== verdict.bit) : [...wrong, verdict.bit];
    }
    const first = (address & 7) * 8;
    let value = stored;
    for (const bit of wrong) {
      const at = bit - first;
      if (at < 0 || at >= size * 8) continue;
      value += Math.floor(value / 2 ** at) % 2 === 1 ? -(2 ** at) : 2 ** at;
    }
    return value;
  }

  /** A write puts flipped bits of the bytes that it covers right: `FrameWatch`. */
  write(address: PhysAddr, size: number, value: number): number {
    const faults = this.#words.get(Math.floor(address / 8) * 8);
    const first = (address & 7) * 8;
    if (faults !== undefined)
      for (const bit of [...faults.flipped]) if (bit >= first && bit < first + size * 8) faults.flipped.delete(bit);
    return value;
  }

  /** Snapshotted: the faults and the log. */
  saveState(): FaultyRamState {
    return {
      words: [...this.#words].map(([word, { stuck, flipped }]) => [word, [...stuck], [...flipped]] as const),
      log: [...this.log],
    };
  }

  /** Snapshotted: the faults and the log; the memory is restored before. */
  restoreState({ words, log }: FaultyRamState): void {
    for (const pfn of this.#perFrame.keys()) this.#memory.unwatch(pfn);
    this.#words.clear();
    this.#perFrame.clear();
    for (const [word, stuck, flipped] of words) {
      this.#words.set(word, { stuck: new Map(stuck), flipped: new Set(flipped) });
      this.#perFrame.set(pfnOf(word), (this.#perFrame.get(pfnOf(word)) ?? 0) + 1);
    }
    for (const pfn of this.#perFrame.keys()) this.#memory.watch(pfn, this);
    this.log.splice(0, this.log.length, ...log);
  }

  /** Throws `broken-invariant` unless frames are watched exactly where words have faults. */
  check(): void {
    const counts = new Map<Pfn, number>();
    for (const word of this.#words.keys()) counts.set(pfnOf(word), (counts.get(pfnOf(word)) ?? 0) + 1);
    invariant(counts.size === this.#perFrame.size, "a frame is watched when a word of it has faults");
    for (const [pfn, count] of counts)
      invariant(
        this.#perFrame.get(pfn) === count,
        `frame 0x${pfn.toString(16)} has as many faulty words as were counted`,
      );
  }

  /** Reads one word as the scrubber does, and writes it back when it was corrected. Returns whether it is clean now. */
  scrubWord(address: PhysAddr): boolean {
    const word = Math.floor(address / 8) * 8;
    const faults = this.#words.get(word);
    if (faults === undefined || !this.ecc) return true;
    this.#source = "scrubber";
    const verdict = eccVerdict(this.#wrongBits(word, faults));
    if (verdict.kind !== "clean") this.#report(word, verdict.kind === "corrected", verdict.syndrome);
    this.#source = "access";
    if (verdict.kind !== "corrected") return verdict.kind === "clean";
    faults.flipped.clear();
    return this.#wrongBits(word, faults).length === 0;
  }
}
