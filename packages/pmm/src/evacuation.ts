/*
 * An evacuation: a run of frames that should become free as a whole. While it is open, free frames of the run are isolated
 * (neither free nor used) and used ones are marked as leaving, so that giving them back isolates them. The allocator moves
 * nothing: the caller migrates the frames in `moves` and gives the old ones back.
 */
import { DOOMED, ISOLATED, LEAVING, PINNED, STACKED, TAKEN, GRANT_HEAD, WIRED } from "./arena.ts";
import type { Core } from "./core.ts";
import { PmmError } from "./errors.ts";
import { clearFlags, setFlags } from "./marks.ts";
import { useOf } from "./misuse.ts";
import { ASKED_TO_DRAIN } from "./page-stacks.ts";
import type { EvacuationPlan } from "./ports.ts";
import { claimRun, firstFree, firstUsed, putRun } from "./runs.ts";
import type { Stretch } from "./runs.ts";
import { BLOCK_FRAMES, GROUP_FRAMES } from "./units.ts";
import type { Pfn } from "./units.ts";
import type { Zone } from "./zone.ts";

/** What is in a run, seen at one moment. */
export interface Survey {
  /** Used frames and heads of used blocks that the caller can move, ascending. */
  readonly moves: Pfn[];
  /** Frames that cannot be moved: pinned, wired, granted, taken at boot. */
  readonly fixed: Pfn[];
  /** Frames on page stacks of other workers. */
  readonly stacked: number;
  /** Frames that are isolated already. */
  readonly isolated: number;
}

/** Looks at the dense frames `[from, to)` and names what stands there. Cost: O(frames). */
export function survey(core: Core, from: number, to: number, base: Pfn): Survey {
  const { arena } = core;
  const found: Survey & { stacked: number; isolated: number } = { moves: [], fixed: [], stacked: 0, isolated: 0 };
  for (let frame = firstUsed(arena, from, to); frame >= 0; frame = firstUsed(arena, frame, to)) {
    const code = arena.state[frame]!;
    let span = 1;
    switch (useOf(arena, frame)) {
      case "taken":
      case "taken-low":
        ((code & (PINNED | WIRED)) === 0 ? found.moves : found.fixed).push(frame + base);
        break;
      case "taken-2M":
      case "inside-2M":
        span = noteBlock(core, frame, BLOCK_FRAMES, base, found);
        break;
      case "taken-1G":
      case "inside-1G":
        span = noteBlock(core, frame, GROUP_FRAMES, base, found);
        break;
      case "granted":
      case "boot":
        found.fixed.push(frame + base);
        break;
      case "isolated":
        found.isolated += 1;
        break;
      case "stacked":
        found.stacked += 1;
        if (code >= STACKED) {
          Atomics.store(arena.workers, arena.areaOf(code - STACKED) + ASKED_TO_DRAIN, 1);
        }
        break;
      case "free":
      case "retired":
      case "hole":
        break;
    }
    frame += span;
    if (frame >= to) break;
  }
  return found;
}

/** Notes the taken block around a frame; returns the frames until the block's end. */
function noteBlock(core: Core, frame: number, size: number, base: Pfn, found: Survey): number {
  const head = frame - (frame & (size - 1));
  const fixed = (core.arena.state[head]! & (PINNED | WIRED)) !== 0;
  (fixed ? found.fixed : found.moves).push(head + base);
  return head + size - frame;
}

/** An open or finished evacuation of one stretch of one zone. */
export class Evacuation implements EvacuationPlan {
  readonly start: Pfn;
  readonly frames: number;
  readonly moves: readonly Pfn[];
  readonly #core: Core;
  readonly #stretch: Stretch;
  readonly #zone: Zone;
  readonly #finish: (from: number, to: number, core: Core) => void;
  readonly #keepsRetired: boolean;
  #phase: "planned" | "open" | "done" = "planned";

  /** `finish` makes of the isolated frames what the evacuation is for. `keepsRetired`: retired frames are no obstacle. */
  constructor(
    core: Core,
    zone: Zone,
    stretch: Stretch,
    moves: readonly Pfn[],
    keepsRetired: boolean,
    finish: (from: number, to: number, core: Core) => void,
  ) {
    this.start = stretch.from + stretch.base;
    this.frames = stretch.to - stretch.from;
    this.moves = moves;
    this.#core = core;
    this.#zone = zone;
    this.#stretch = stretch;
    this.#keepsRetired = keepsRetired;
    this.#finish = finish;
  }

  /** Frames that are isolated so far. */
  get isolatedFrames(): number {
    const { from, to, base } = this.#stretch;
    return survey(this.#core, from, to, base).isolated;
  }

  /** Isolates what is free and marks what is used; returns what is still to be moved, ascending. Repeat for progress. */
  begin(): readonly Pfn[] {
    this.#needUnfinished();
    this.#phase = "open";
    const { from, to, base } = this.#stretch;
    this.#core.drainAll();
    this.#isolateFree();
    const found = survey(this.#core, from, to, base);
    for (const pfn of found.moves) this.#mark(pfn - base);
    return [...found.moves, ...found.fixed].sort((a, b) => a - b);
  }

  /** True when nothing is left to move: `commit` would succeed. */
  isReady(): boolean {
    const { from, to, base } = this.#stretch;
    const found = survey(this.#core, from, to, base);
    if (found.moves.length + found.fixed.length + found.stacked > 0) return false;
    if (!this.#keepsRetired && found.isolated !== this.frames) return false;
    return firstFree(this.#core.arena, from, to) >= to;
  }

  /** Finishes if nothing is left to move; false (and still open) if something is. */
  commit(): boolean {
    this.begin();
    if (!this.isReady()) return false;
    this.#phase = "done";
    this.#finish(this.#stretch.from, this.#stretch.to, this.#core);
    return true;
  }

  /** Gives every isolated frame free again and forgets the marks. */
  cancel(): void {
    this.#needUnfinished();
    this.#phase = "done";
    const { from, to } = this.#stretch;
    const { state } = this.#core.arena;
    for (let frame = from; frame < to;) {
      const code = state[frame]!;
      if (code === ISOLATED && useOf(this.#core.arena, frame) === "isolated") {
        let end = frame + 1;
        while (end < to && state[end] === ISOLATED) end += 1;
        putRun(this.#core, frame, end, this.#zone, STACKED + this.#core.worker);
        frame = end;
      } else {
        if (code >= TAKEN && code < GRANT_HEAD) this.#unmark(frame);
        frame += 1;
      }
    }
  }

  #needUnfinished(): void {
    if (this.#phase === "done") throw new PmmError("finished", "The evacuation was committed or cancelled before");
  }

  /** Marks a frame, or a 2M block that lies inside the run, as leaving. */
  #mark(frame: number): void {
    const { arena } = this.#core;
    const use = useOf(arena, frame);
    const isInside = frame >= this.#stretch.from && frame + BLOCK_FRAMES <= this.#stretch.to;
    if (use === "taken" || use === "taken-low" || (use === "taken-2M" && isInside)) setFlags(arena, frame, LEAVING);
  }

  /** Takes a mark away; a block that has a doomed frame inside keeps it. */
  #unmark(frame: number): void {
    const { arena } = this.#core;
    const use = useOf(arena, frame);
    const isDoomed = use === "taken-2M" && arena.state.subarray(frame, frame + BLOCK_FRAMES).includes(DOOMED);
    if (use === "taken" || use === "taken-low" || (use === "taken-2M" && !isDoomed)) clearFlags(arena, frame, LEAVING);
  }

  /** Isolates free frames: whole runs where the blocks allow, else one by one. */
  #isolateFree(): void {
    const { arena } = this.#core;
    const { from, to } = this.#stretch;
    let tries = 0;
    for (let frame = firstFree(arena, from, to); frame < to; frame = firstFree(arena, frame, to)) {
      const blockEnd = Math.min(to, ((frame >>> 9) + 1) * BLOCK_FRAMES);
      const used = firstUsed(arena, frame, blockEnd);
      const end = used < 0 ? blockEnd : used;
      if (claimRun(this.#core, frame, end, this.#zone, ISOLATED, ISOLATED)) frame = end;
      else if (claimRun(this.#core, frame, frame + 1, this.#zone, ISOLATED, ISOLATED)) frame += 1;
      else {
        tries += 1;
        if (tries > 1000) frame = blockEnd;
      }
    }
  }
}
