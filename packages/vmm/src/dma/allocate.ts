/** Buffers for devices: contiguous frames within a device's limits, moved free where they are occupied. */
import type { Core } from "../core.ts";
import { VmmError } from "../errors.ts";
import type { Migrator, StuckFrame } from "../migration.ts";
import { BufferObject } from "../objects/buffer-object.ts";
import type { MemoryTypes, SpecialFrames, SpecialRequest } from "../ports.ts";
import { UNCACHED, WRITE_BACK } from "../rights.ts";
import { PAGE_SIZE, pagesFor, type PhysAddr } from "../units.ts";

/** What a device needs of a buffer. All in bytes. */
export interface DmaRequest {
  /** Length, rounded up to whole frames. */
  readonly bytes: number;
  /** Alignment of the first byte, a power of two of at least 4096. */
  readonly alignment?: number;
  /** The buffer ends at or below this address: 16 MiB for ISA DMA, 4 GiB for 32-bit bus masters. */
  readonly below?: PhysAddr;
  /** The buffer crosses no multiple of this power of two: 64 KiB for ISA DMA. */
  readonly boundary?: number;
  /** Whether processors cache it; true by default (coherent bus masters). */
  readonly cached?: boolean;
}

/** A buffer, and how many pages were moved to make room for it (`moved`), or why there is none and which frames could not be emptied (`stuck`). */
export type DmaOutcome =
  | { readonly ok: true; readonly buffer: BufferObject; readonly moved: number }
  | { readonly ok: false; readonly reason: string; readonly stuck: readonly StuckFrame[] };

/** Grants a buffer: at once where a run is free, after moving the pages in the way where that is possible. */
export function allocateDmaBuffer(
  core: Core,
  special: SpecialFrames,
  migrator: Migrator,
  types: MemoryTypes | null,
  request: DmaRequest,
): DmaOutcome {
  const wish = wishOf(request);
  let outcome = special.request(wish);
  let moved = 0;
  if (!outcome.ok && outcome.plan !== undefined) {
    const { plan, reason } = outcome;
    const evacuated = migrator.evacuate(plan);
    moved = evacuated.moved;
    if (!evacuated.ok) return { ok: false, reason, stuck: evacuated.stuck };
    outcome = { ok: true, start: plan.start, frames: plan.frames };
  }
  if (!outcome.ok) return { ok: false, reason: outcome.reason, stuck: [] };
  const { start, frames } = outcome;
  const type = request.cached === false ? UNCACHED : WRITE_BACK;
  const buffer = new BufferObject(core, special, start, frames, type);
  if (type !== WRITE_BACK) types?.flushCaches(start, frames);
  return { ok: true, buffer, moved };
}

function wishOf(request: DmaRequest): SpecialRequest {
  const { bytes, alignment = PAGE_SIZE, below, boundary } = request;
  if (!Number.isSafeInteger(bytes) || bytes < 1)
    throw new VmmError("out-of-range", "A buffer has at least one byte.", { bytes });
  if (!isPowerOfTwo(alignment) || alignment < PAGE_SIZE)
    throw new VmmError("unaligned", "An alignment is a power of two of at least 4096.", { alignment });
  if (boundary !== undefined && (!isPowerOfTwo(boundary) || boundary < PAGE_SIZE))
    throw new VmmError("unaligned", "A boundary is a power of two of at least 4096.", { boundary });
  return {
    frames: pagesFor(bytes),
    alignment: alignment / PAGE_SIZE,
    ...(below === undefined ? {} : { below: Math.floor(below / PAGE_SIZE) }),
    ...(boundary === undefined ? {} : { boundary: boundary / PAGE_SIZE }),
  };
}

function isPowerOfTwo(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0 && Number.isInteger(Math.log2(value));
}
