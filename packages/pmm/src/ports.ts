import type { Pfn } from "./units.ts";

/** What a taker wishes. All four fields are always there, so that a hot call site sees one shape. */
export interface FrameHints {
  /** log2 of the frames wanted as one aligned block: 0 (4K), 9 (2M) or 18 (1G). */
  readonly order: number;
  /** NUMA node to prefer, −1 for any. */
  readonly node: number;
  /** Cache colour wanted, −1 for any, −2 for the client's next one (round robin). */
  readonly colour: number;
  /** 1 when the taker can move the frame's contents later, 0 when the frame is pinned. */
  readonly movable: number;
}

/** Further wishes that only this package's allocator grants. */
export interface TakeWishes extends FrameHints {
  /** Fail rather than fall back to another node. */
  readonly strict?: boolean;
  /** Take from the cold end: for frames that a device fills, not the CPU. */
  readonly cold?: boolean;
  /** May use the reserve: for takers that cannot wait. */
  readonly reserve?: boolean;
  /** May borrow from the low zone when nothing else is left. */
  readonly borrow?: boolean;
  /** The client to own the frame, a number from `client(name)`; needs the owner table. */
  readonly owner?: number;
}

/** Where frames come from and go back to: the port that a virtual memory manager needs. */
export interface FrameSource {
  /** Takes a frame (or an aligned block of them): its first frame, or `NO_FRAME`. */
  take(hints?: FrameHints): Pfn;
  /** Gives back what `take` gave, with the same order. Throws on misuse; nothing changes then. */
  give(pfn: Pfn, order?: number): void;
  /** Takes up to `count` frames into `into`; returns how many. */
  takeMany(into: Float64Array, count: number, hints?: FrameHints): number;
  /** Gives back the first `count` frames of `frames`, all of order 0. Throws before anything changes. */
  giveMany(frames: Float64Array, count: number): void;
}

/** A special wish: a contiguous run of frames. All limits are in frames. */
export interface SpecialRequest {
  /** Length of the run, ≥ 1. */
  readonly frames: number;
  /** The run starts at a multiple of this (a power of two, default 1). */
  readonly alignment?: number;
  /** The run ends at or below this frame (exclusive end). */
  readonly below?: Pfn;
  /** The run starts at or above this frame. */
  readonly above?: Pfn;
  /** The run does not cross a multiple of this (a power of two). */
  readonly boundary?: number;
  /** The NUMA node that the run lies on, −1 for any (the default). */
  readonly node?: number;
}

/** The run `[start, start + frames)` is yours. */
export interface Grant {
  readonly ok: true;
  readonly start: Pfn;
  readonly frames: number;
}

/** Why a special request was refused. */
export type RefusalReason =
  /** No zone has any frame inside the limits. */
  | "no-such-zone"
  /** No run of that length, alignment and boundary exists inside the limits, free or not. */
  | "too-large"
  /** Such runs exist, but something stands in each of them; `plan` names the cheapest, if one can be emptied. */
  | "fragmented";

/** The frames to move so that a run, a rank or a range becomes free. Emptying it is the caller's work. */
export interface EvacuationPlan {
  /** First frame of the range to be emptied. */
  readonly start: Pfn;
  /** Frames of the range to be emptied. */
  readonly frames: number;
  /** The frames in use inside it when the plan was made, ascending; of a 2M or 1G block its first. */
  readonly moves: readonly Pfn[];
  /**
   * Opens the plan, or goes on: isolates the free frames of the range, marks the used ones so that giving them back isolates
   * them, and returns what is still to be moved. Migrate each (take elsewhere, copy, give the old one back).
   */
  begin(): readonly Pfn[];
  /** Ends the plan if nothing is left to move: the range is then what the plan was for. False if something is left. */
  commit(): boolean;
  /** Gives the isolated frames free again and forgets the marks. */
  cancel(): void;
}

/** The request cannot be granted now; nothing changed. */
export interface Refusal {
  readonly ok: false;
  readonly reason: RefusalReason;
  readonly plan?: EvacuationPlan;
}

/** Contiguous runs by request: the port for DMA buffers and page tables with limits. */
export interface SpecialFrames {
  /** Grants a run or says why not. Throws only when the request itself makes no sense. */
  request(request: SpecialRequest): Grant | Refusal;
  /** Gives a granted run back, whole. */
  release(start: Pfn, frames: number): void;
}

/** How short the frames are: `low` starts reclaim in the background, at `min` only reserves are left. */
export type PressureLevel = "none" | "low" | "min";

/** Free-frame marks of a zone or of the whole source, in frames: min ≤ low ≤ high. */
export interface Watermarks {
  /** At or below: only takers of the reserve are served. */
  readonly min: number;
  /** At or below: reclaim should start. */
  readonly low: number;
  /** Reclaim, once started, should go on until free frames are above this. */
  readonly high: number;
}

/** How full a source is: the port that drives reclaim. */
export interface FramePressure {
  /** Frames that `take` could still serve, those in page stacks included. */
  readonly freeFrames: number;
  /** Frames that `take` serves altogether. */
  readonly totalFrames: number;
  /** The marks that `level` compares with. */
  readonly watermarks: Watermarks;
  /** The pressure now, with hysteresis: `low` lasts until free frames exceed the high mark. */
  level(): PressureLevel;
}
