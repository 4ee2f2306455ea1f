/**
 * Host places for frames: one large buffer that the host commits lazily. A frame gets a slot on first touch; a slot that
 * was given back is used again before a new one is, so that the committed part grows only with what is in use.
 *
 *   buffer   | slot 0 | slot 1 | … | used−1 |  never touched: not committed  … capacity |
 *
 * Invariant: slots in use + free slots = `used` ≤ `capacity`.
 */
import { invariant, MachineError } from "../errors.ts";
import { FRAME_BYTES, FRAME_WORDS, MIB } from "../units.ts";

/** Largest host buffer that is asked for unless told otherwise, in bytes. */
export const DEFAULT_HOST_BYTES: number = 4096 * MIB;

/** Largest host buffer in bytes: word indices stay below 2^31, so that places of frames are 32-bit integers. */
export const MOST_HOST_BYTES: number = 8 * 1024 * MIB - FRAME_BYTES;

function lazyBuffer(bytes: number, shared: boolean): ArrayBuffer | SharedArrayBuffer {
  for (let size = bytes; ; size = Math.ceil(size / 2 / FRAME_BYTES) * FRAME_BYTES) {
    try {
      return shared ? new SharedArrayBuffer(size) : new ArrayBuffer(size);
    } catch (error) {
      if (size <= MIB || !(error instanceof RangeError)) throw error;
    }
  }
}

/** The host's side of physical memory. */
export class HostFrames {
  /** The buffer's words. Replaced by {@link HostFrames.compact}. */
  declare words: Uint32Array;
  /** The same bytes as half-words. */
  declare halves: Uint16Array;
  /** The same bytes. */
  declare bytes: Uint8Array;
  /** Slots that there are. */
  declare capacity: number;
  declare private readonly isShared: boolean;
  private readonly free: number[] = [];
  private used = 0;

  /**
   * Reserves `bytes` (or, where the host refuses, the largest half, quarter … that it grants) without touching them. Throws `bad-argument`
   * for more than {@link MOST_HOST_BYTES}.
   */
  constructor(bytes: number, shared: boolean) {
    if (!(bytes >= 0 && bytes <= MOST_HOST_BYTES))
      throw new MachineError("bad-argument", `A host buffer has at most ${MOST_HOST_BYTES} bytes, not ${bytes}`, {
        bytes,
      });
    this.isShared = shared;
    const buffer = lazyBuffer(Math.max(bytes, FRAME_BYTES), shared);
    this.words = new Uint32Array(buffer);
    this.halves = new Uint16Array(buffer);
    this.bytes = new Uint8Array(buffer);
    this.capacity = Math.floor(buffer.byteLength / FRAME_BYTES);
  }

  /** Whether the buffer is a SharedArrayBuffer. */
  get shared(): boolean {
    return this.isShared;
  }

  /** Slots in use. */
  get inUse(): number {
    return this.used - this.free.length;
  }

  /** Slots that were ever in use: what the host has committed, in frames. */
  get committed(): number {
    return this.used;
  }

  /** Returns a slot whose bytes read as zero. Throws `host-memory-exhausted` when all are in use. */
  take(): number {
    const again = this.free.pop();
    if (again !== undefined) {
      this.words.fill(0, again * FRAME_WORDS, (again + 1) * FRAME_WORDS);
      return again;
    }
    if (this.used === this.capacity)
      throw new MachineError(
        "host-memory-exhausted",
        `All ${this.capacity} host frames are in use; create the memory with more hostBytes`,
        { capacity: this.capacity },
      );
    return this.used++;
  }

  /**
   * Has the host back the next `slots` slots that were never in use, or what is left of them, now rather than at their first touch. Returns how many;
   * costs the host's page faults, some microseconds each.
   */
  commitAhead(slots: number): number {
    const end = Math.min(this.used + Math.max(0, slots), this.capacity);
    // They read as zero before and after; only a store makes the host find memory for them.
    for (let slot = this.used; slot < end; slot++) this.words[slot * FRAME_WORDS] = 0;
    return end - this.used;
  }

  /** Gives a slot back. Its bytes stay committed until they are used again or {@link HostFrames.compact} runs. */
  give(slot: number): void {
    this.free.push(slot);
  }

  /**
   * Moves the slots `inUse` (old numbers, any order) together into a new buffer and drops the old one, so that the host
   * gets everything else back; `inUse[i]` becomes slot i. Refused (`bad-argument`) for a shared buffer, which others hold.
   */
  compact(inUse: readonly number[]): void {
    if (this.isShared)
      throw new MachineError("bad-argument", "A shared host buffer cannot be replaced: other threads hold it");
    invariant(inUse.length === this.inUse, "every slot in use is known when the buffer is replaced");
    const buffer = lazyBuffer(this.capacity * FRAME_BYTES, false);
    const bytes = new Uint8Array(buffer);
    inUse.forEach((slot, at) => {
      bytes.set(this.bytes.subarray(slot * FRAME_BYTES, (slot + 1) * FRAME_BYTES), at * FRAME_BYTES);
    });
    this.words = new Uint32Array(buffer);
    this.halves = new Uint16Array(buffer);
    this.bytes = bytes;
    this.capacity = Math.floor(buffer.byteLength / FRAME_BYTES);
    this.free.length = 0;
    this.used = inUse.length;
  }

  /** Throws `broken-invariant` unless free slots are distinct and below the used mark. */
  check(): void {
    invariant(new Set(this.free).size === this.free.length, "no host slot is free twice");
    invariant(
      this.free.every((slot) => slot >= 0 && slot < this.used),
      "free host slots were in use once",
    );
    invariant(this.used <= this.capacity, "used host slots fit the buffer");
  }
}
