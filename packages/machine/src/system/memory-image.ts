/**
 * The bytes of physical memory as snapshots hold them: every frame that was touched, and the figures. Frames that are equal in
 * two snapshots are kept once.
 */
import type { MemoryCounts } from "../memory/memory-ports.ts";
import type { PhysicalMemory } from "../memory/physical-memory.ts";
import { FRAME_BYTES } from "../units.ts";
import type { Pfn } from "../units.ts";
import { sharedBytes } from "./snapshotted.ts";
import type { Snapshotted } from "./snapshotted.ts";

/** Physical memory as plain data. */
export interface MemoryImageState {
  /** Bytes by frame, 4096 each; frames that are not here were never touched. */
  readonly frames: ReadonlyMap<Pfn, Uint8Array>;
  /** Accesses that memory did not answer by itself. */
  readonly counts: MemoryCounts;
}

/** Saves and restores physical memory; the map is restored before. */
export class MemoryImage implements Snapshotted<MemoryImageState> {
  readonly #memory: PhysicalMemory;

  /** Creates the saver of `memory`. */
  constructor(memory: PhysicalMemory) {
    this.#memory = memory;
  }

  /** Snapshotted: copies every touched frame that is not as it was in `before`. */
  saveState(before?: MemoryImageState): MemoryImageState {
    const frames = new Map<Pfn, Uint8Array>();
    const { bytes } = this.#memory.host;
    this.#memory.forEachTouched((pfn, slot) => {
      const now = bytes.subarray(slot * FRAME_BYTES, (slot + 1) * FRAME_BYTES);
      frames.set(pfn, sharedBytes(now, before?.frames.get(pfn)));
    });
    return { frames, counts: this.#memory.saveCounts() };
  }

  /** Snapshotted: frames touched since read as they did before they were. */
  restoreState({ frames, counts }: MemoryImageState): void {
    const gone: Pfn[] = [];
    this.#memory.forEachTouched((pfn) => {
      if (!frames.has(pfn)) gone.push(pfn);
    });
    this.#memory.forget(gone);
    for (const [pfn, bytes] of frames) this.#memory.restoreFrame(pfn, bytes);
    this.#memory.restoreCounts(counts);
  }
}
