/** How much memory a command may use, as the user writes it: `25%`, `64M` or `1000f`. */
import { UsageError } from "./output.ts";

const FRAME_BYTES = 4096;
const BYTES_OF_SUFFIX: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** A limit of memory, absolute or as a share of the distinct pages of a trace. */
export interface RamSize {
  /** As the user wrote it. */
  readonly text: string;
  /** Share of the distinct pages in per cent, or null if the size is absolute. */
  readonly percent: number | null;
  /** Frames of 4 KiB, or null if the size is a share. */
  readonly frames: number | null;
}

/**
 * Reads a size: `25%` of the distinct pages (at least one frame), `64K`, `64M`, `64G` bytes, or `1000f` frames.
 *
 * @throws {@link UsageError} if it is none of these, or zero.
 */
export function parseRamSize(text: string): RamSize {
  const match = /^(\d+(?:\.\d+)?)(%|[KMGT]|f)$/i.exec(text.trim());
  if (match === null) throw new UsageError(`--ram ${text}: expected a share (25%), bytes (64M) or frames (1000f)`);
  const amount = Number(match[1]);
  const unit = (match[2] ?? "").toUpperCase();
  if (unit === "%") {
    if (amount === 0) throw new UsageError(`--ram ${text}: no memory at all`);
    return { text, percent: amount, frames: null };
  }
  const frames = Math.floor(unit === "F" ? amount : (amount * (BYTES_OF_SUFFIX[unit] ?? 0)) / FRAME_BYTES);
  if (frames === 0) throw new UsageError(`--ram ${text}: less than one frame`);
  return { text, percent: null, frames };
}

/** Reads a comma-separated list of sizes; see {@link parseRamSize}. */
export function parseRamSizes(text: string): RamSize[] {
  return text.split(",").map(parseRamSize);
}

/**
 * Returns the number of frames of a size, at least 1: a share of few pages, like a machine, has no less than one frame.
 *
 * @param pages - The distinct pages of the trace, of which a share is rounded down.
 */
export function framesOf(size: RamSize, pages: number): number {
  return size.frames ?? Math.max(1, Math.floor((pages * (size.percent ?? 0)) / 100));
}
