/**
 * A linear framebuffer: pixels in device memory, with a count of the bus transactions that drew them. Uncached writes
 * arrive one by one; write-combined ones arrive as 64-byte bursts. The ratio of the two is why drivers map it so.
 */
import { MachineError } from "../errors.ts";
import type { MmioDevice } from "../map/region.ts";
import { piecesOf, restorePieces } from "../system/snapshotted.ts";
import type { Pieces, Snapshotted } from "../system/snapshotted.ts";
import { LINE_BYTES } from "./write-combining.ts";

/** Bus transactions that a {@link Framebuffer} has seen. */
export interface FramebufferStats {
  /** Writes of 1 to 4 bytes, one transaction each. */
  readonly singleWrites: number;
  /** Bursts of a line, one transaction each. */
  readonly bursts: number;
  /** Reads, one transaction each. */
  readonly reads: number;
}

/** A framebuffer as plain data, for snapshots. */
export interface FramebufferState {
  /** The bytes of the pixels by piece; pieces that are all black are left out. */
  readonly pixels: Pieces;
  /** Reads, bursts and single writes so far. */
  readonly stats: FramebufferStats;
}

/** Device memory of `width` × `height` pixels of 32 bits, row by row, without padding. */
export class Framebuffer implements MmioDevice, Snapshotted<FramebufferState> {
  /** Pixels in a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** The pixels, as 0xXXRRGGBB. */
  readonly pixels: Uint32Array;
  readonly #bytes: Uint8Array;
  #singleWrites = 0;
  #bursts = 0;
  #reads = 0;

  /** Creates a black screen. Width and height are whole numbers from 1 to 16384. */
  constructor(width: number, height: number) {
    for (const side of [width, height])
      if (!Number.isInteger(side) || side < 1 || side > 16384)
        throw new MachineError("bad-argument", `A screen of ${width} × ${height} pixels`, { width, height });
    this.width = width;
    this.height = height;
    this.pixels = new Uint32Array(width * height);
    this.#bytes = new Uint8Array(this.pixels.buffer);
  }

  /** Bytes of device memory. */
  get size(): number {
    return this.#bytes.length;
  }

  /** MmioDevice: reads `size` bytes; beyond the pixels all ones. */
  read(offset: number, size: number): number {
    this.#reads++;
    let value = 0;
    for (let at = size - 1; at >= 0; at--) value = value * 256 + (this.#bytes[offset + at] ?? 0xff);
    return value;
  }

  /** MmioDevice: one bus write of `size` bytes; beyond the pixels it is lost. */
  write(offset: number, size: number, value: number): void {
    this.#singleWrites++;
    for (let at = 0; at < size; at++) this.#bytes[offset + at] = Math.floor(value / 2 ** (8 * at)) & 0xff;
  }

  /** MmioDevice: one bus burst of a whole line. */
  writeBurst(offset: number, bytes: Uint8Array): void {
    if (bytes.length !== LINE_BYTES)
      throw new MachineError("bad-argument", `A burst has ${LINE_BYTES} bytes, not ${bytes.length}`, {
        length: bytes.length,
      });
    this.#bursts++;
    this.#bytes.set(bytes.subarray(0, Math.max(0, Math.min(LINE_BYTES, this.#bytes.length - offset))), offset);
  }

  /** Snapshotted: pixels and figures. */
  saveState(before?: FramebufferState): FramebufferState {
    const read = (offset: number, into: Uint8Array): void => {
      into.set(this.#bytes.subarray(offset, offset + into.length));
    };
    return { pixels: piecesOf(this.size, read, before?.pixels), stats: this.stats() };
  }

  /** Snapshotted: pixels and figures. */
  restoreState({ pixels, stats }: FramebufferState): void {
    restorePieces(this.size, pixels, (offset, bytes) => {
      this.#bytes.set(bytes, offset);
    });
    this.#singleWrites = stats.singleWrites;
    this.#bursts = stats.bursts;
    this.#reads = stats.reads;
  }

  /** Returns the bus transactions so far. */
  stats(): FramebufferStats {
    return { singleWrites: this.#singleWrites, bursts: this.#bursts, reads: this.#reads };
  }
}
