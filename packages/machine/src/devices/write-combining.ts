/**
 * The write-combining buffers of a processor: stores to write-combining memory gather in a few line-sized buffers and
 * leave as one burst when a line is full, or as partial writes when a buffer has to go early.
 *
 * Buffers are emptied by a fence, by an uncached access, and, oldest first, when a store needs one and none is free.
 * Within a buffer the order of stores is lost; between buffers too: that is what write-combining means.
 *
 * Source: SDM volume 3A, "Write Combining" in "Memory Cache Control".
 */
import { invariant, MachineError } from "../errors.ts";
import type { Snapshotted } from "../system/snapshotted.ts";
import type { PhysAddr } from "../units.ts";

/** Bytes of a buffer: one cache line. */
export const LINE_BYTES = 64;

/** Who takes what leaves the buffers. */
export interface BurstSink {
  /** A full line, in one transaction on the bus. */
  burst(line: PhysAddr, bytes: Uint8Array): void;
  /** A single write of 1 to 4 bytes, in a transaction of its own. */
  single(address: PhysAddr, size: number, value: number): void;
}

/** Figures of {@link WriteCombiner}. */
export interface WriteCombiningStats {
  /** Stores that were gathered. */
  readonly stores: number;
  /** Full lines that left as one burst. */
  readonly bursts: number;
  /** Buffers that left before they were full. */
  readonly partials: number;
}

/** The buffers as plain data, one array per field. */
export interface WriteCombinerState {
  /** Line address of each buffer. */
  readonly line: Float64Array;
  /** Age of each buffer. */
  readonly opened: Float64Array;
  /** Bytes of each buffer. */
  readonly bytes: Uint8Array;
  /** Which of them were stored. */
  readonly valid: Uint8Array;
  /** The figures. */
  readonly stats: WriteCombiningStats;
}

/** The write-combining buffers of one processor: stores gather in lines and leave as one burst when a line is full, or as partial writes when it has to go early. */
export class WriteCombiner implements Snapshotted<WriteCombinerState> {
  /** How many lines can gather at once. */
  readonly buffers: number;
  readonly #sink: BurstSink;
  /** Line address of each buffer, −1 for a free one. */
  readonly #line: Float64Array;
  /** Age of each buffer: the store that opened it. */
  readonly #opened: Float64Array;
  readonly #bytes: Uint8Array;
  /** 1 for each byte of a buffer that was stored. */
  readonly #valid: Uint8Array;
  readonly #filled: Uint8Array;
  #stores = 0;
  #bursts = 0;
  #partials = 0;

  /**
   * Creates `buffers` empty line buffers in front of `sink`. Their number is not architectural; the default of 4 is the
   * P6 family's (Intel, "Write Combining Memory Implementation Guidelines").
   */
  constructor(sink: BurstSink, buffers = 4) {
    if (!Number.isInteger(buffers) || buffers < 1)
      throw new MachineError("bad-argument", `A processor has at least one line buffer, not ${buffers}`, { buffers });
    this.#sink = sink;
    this.buffers = buffers;
    this.#line = new Float64Array(buffers).fill(-1);
    this.#opened = new Float64Array(buffers);
    this.#bytes = new Uint8Array(buffers * LINE_BYTES);
    this.#valid = new Uint8Array(buffers * LINE_BYTES);
    this.#filled = new Uint8Array(buffers);
  }

  /** Gathers a store of `size` (1, 2 or 4) bytes; `address` is a multiple of `size`, so it lies in one line. */
  store(address: PhysAddr, size: number, value: number): void {
    this.#stores++;
    const offset = address & (LINE_BYTES - 1);
    const buffer = this.#bufferOf(address - offset);
    const at = buffer * LINE_BYTES + offset;
    for (let i = 0; i < size; i++) {
      this.#filled[buffer] = this.#filled[buffer]! + 1 - this.#valid[at + i]!;
      this.#valid[at + i] = 1;
      this.#bytes[at + i] = Math.floor(value / 2 ** (8 * i)) & 0xff;
    }
    if (this.#filled[buffer] === LINE_BYTES) this.#drain(buffer);
  }

  #bufferOf(line: PhysAddr): number {
    let oldest = 0;
    let free = -1;
    for (let buffer = 0; buffer < this.buffers; buffer++) {
      if (this.#line[buffer] === line) return buffer;
      if (this.#line[buffer]! < 0) free = buffer;
      else if (this.#line[oldest]! < 0 || this.#opened[buffer]! < this.#opened[oldest]!) oldest = buffer;
    }
    if (free < 0) {
      this.#drain(oldest);
      free = oldest;
    }
    this.#line[free] = line;
    this.#opened[free] = this.#stores;
    return free;
  }

  /** Empties all buffers, oldest first: SFENCE, an uncached access, an interrupt. */
  flush(): void {
    const open = Array.from(this.#line.keys()).filter((buffer) => this.#line[buffer]! >= 0);
    for (const buffer of open.sort((a, b) => this.#opened[a]! - this.#opened[b]!)) this.#drain(buffer);
  }

  #drain(buffer: number): void {
    const line = this.#line[buffer]!;
    const from = buffer * LINE_BYTES;
    if (this.#filled[buffer] === LINE_BYTES) {
      this.#bursts++;
      this.#sink.burst(line, this.#bytes.subarray(from, from + LINE_BYTES));
    } else {
      this.#partials++;
      this.#drainPieces(line, from);
    }
    this.#valid.fill(0, from, from + LINE_BYTES);
    this.#filled[buffer] = 0;
    this.#line[buffer] = -1;
  }

  /** Sends the stored bytes of a buffer, in aligned words where all four bytes are there. */
  #drainPieces(line: PhysAddr, from: number): void {
    for (let at = 0; at < LINE_BYTES; at += 4) {
      const whole = this.#valid.subarray(from + at, from + at + 4).every((valid) => valid === 1);
      if (whole) this.#sink.single(line + at, 4, this.#wordAt(from + at));
      else
        for (let i = at; i < at + 4; i++)
          if (this.#valid[from + i] === 1) this.#sink.single(line + i, 1, this.#bytes[from + i]!);
    }
  }

  #wordAt(at: number): number {
    const bytes = this.#bytes;
    return bytes[at]! + bytes[at + 1]! * 2 ** 8 + bytes[at + 2]! * 2 ** 16 + bytes[at + 3]! * 2 ** 24;
  }

  /** Returns whether any buffer holds bytes. */
  get isEmpty(): boolean {
    return this.#line.every((line) => line < 0);
  }

  /** Snapshotted: what the buffers hold, and the figures. */
  saveState(): WriteCombinerState {
    return {
      line: this.#line.slice(),
      opened: this.#opened.slice(),
      bytes: this.#bytes.slice(),
      valid: this.#valid.slice(),
      stats: this.stats(),
    };
  }

  /** Snapshotted: what the buffers held, and the figures. */
  restoreState({ line, opened, bytes, valid, stats }: WriteCombinerState): void {
    this.#line.set(line);
    this.#opened.set(opened);
    this.#bytes.set(bytes);
    this.#valid.set(valid);
    for (let buffer = 0; buffer < this.buffers; buffer++)
      this.#filled[buffer] = valid.subarray(buffer * LINE_BYTES, (buffer + 1) * LINE_BYTES).reduce((a, b) => a + b, 0);
    this.#stores = stats.stores;
    this.#bursts = stats.bursts;
    this.#partials = stats.partials;
  }

  /** Returns the figures. */
  stats(): WriteCombiningStats {
    return { stores: this.#stores, bursts: this.#bursts, partials: this.#partials };
  }

  /** Throws `broken-invariant` unless every buffer's fill equals its valid bytes and no line has two buffers. */
  check(): void {
    const lines = Array.from(this.#line).filter((line) => line >= 0);
    invariant(new Set(lines).size === lines.length, "no line gathers in two buffers");
    for (let buffer = 0; buffer < this.buffers; buffer++) {
      const from = buffer * LINE_BYTES;
      const valid = this.#valid.subarray(from, from + LINE_BYTES).reduce((sum, one) => sum + one, 0);
      invariant(valid === this.#filled[buffer], `buffer ${buffer} counts its bytes`);
      invariant(this.#line[buffer]! >= 0 || valid === 0, `free buffer ${buffer} is empty`);
    }
  }
}
