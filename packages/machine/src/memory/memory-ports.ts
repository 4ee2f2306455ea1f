/** How physical memory is made, who may watch it, and what it counts. */
import type { Pfn, PhysAddr } from "../units.ts";

/** How physical memory is made. */
export interface MemoryOptions {
  /** Host bytes to reserve (lazily committed). Default: the map's memory, at most 4 GiB. */
  readonly hostBytes?: number;
  /** Whether the host buffer is a SharedArrayBuffer. Default false. */
  readonly shared?: boolean;
  /** Where the frames of non-volatile memory come from and are saved to. Default: nowhere, they only survive power cycles. */
  readonly nonVolatile?: FrameStore;
}

/** Keeps frames over power cycles of the host, for example in a file. */
export interface FrameStore {
  /** Fills `into` (4096 bytes, zero) with the frame's saved bytes; leaves it alone where there are none. */
  load(pfn: Pfn, into: Uint8Array): void;
  /** Saves a frame's bytes. */
  save(pfn: Pfn, from: Uint8Array): void;
}

/** Sees every access to a watched frame. */
export interface FrameWatch {
  /** Returns what a read of `size` bytes at `address` gives, of which `stored` is kept. */
  read(address: PhysAddr, size: number, stored: number): number;
  /** Returns what a write of `value` leaves behind. */
  write(address: PhysAddr, size: number, value: number): number;
}

/** Figures of a physical memory. */
export interface MemoryStats {
  /** Frames that have a host slot. */
  readonly touchedFrames: number;
  /** Frames of host memory that were ever in use. */
  readonly committedFrames: number;
  /** Reads that nobody answered. */
  readonly holeReads: number;
  /** Writes that nobody took. */
  readonly holeWrites: number;
  /** Writes to read-only memory. */
  readonly romWrites: number;
  /** Reads that devices answered. */
  readonly deviceReads: number;
  /** Writes that devices took. */
  readonly deviceWrites: number;
}

/** Counts of accesses that memory did not answer by itself. */
export interface MemoryCounts {
  /** Reads that nobody answered. */
  holeReads: number;
  /** Writes that nobody took. */
  holeWrites: number;
  /** Writes to read-only memory. */
  romWrites: number;
  /** Reads that devices answered. */
  deviceReads: number;
  /** Writes that devices took. */
  deviceWrites: number;
}
