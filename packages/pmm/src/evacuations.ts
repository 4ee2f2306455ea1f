/*
 * Evacuations of more than one stretch: taking a range offline, and emptying a power rank. Each is one plan over parts that
 * commit together or not at all.
 */
import { HOLE, ISOLATED, RANK_USED, RETIRED, STACKED } from "./arena.ts";
import type { Core } from "./core.ts";
import { PmmError } from "./errors.ts";
import { Evacuation, survey } from "./evacuation.ts";
import type { EvacuationPlan } from "./ports.ts";
import { piecesOf } from "./plug.ts";
import type { FrameSpan } from "./plug.ts";
import { putRun, stretchesOf } from "./runs.ts";
import type { Stretch } from "./runs.ts";
import { BLOCK_FRAMES } from "./units.ts";
import type { Pfn } from "./units.ts";
import type { Zone } from "./zone.ts";

/** How far an evacuation has come. */
export interface EvacuationProgress {
  /** Frames that are isolated already. */
  readonly isolatedFrames: number;
  /** Frames of the whole range that are there. */
  readonly frames: number;
}

/** A plan that reports how far it has come. */
export interface RangeEvacuation extends EvacuationPlan {
  /** How far it has come. Cost: O(frames). */
  progress(): EvacuationProgress;
}

/** Cannot be done: these frames cannot move. */
export interface EvacuationRefusal {
  readonly ok: false;
  /** Frames (of blocks, their first) that are pinned, wired, granted or taken at boot, ascending. */
  readonly fixed: readonly Pfn[];
}

/** Can be done: the plan is open, its free frames are isolated. */
export interface EvacuationStart {
  readonly ok: true;
  readonly plan: RangeEvacuation;
}

interface Part {
  readonly zone: Zone;
  readonly stretch: Stretch;
}

/** One plan over several stretches. */
class PartedEvacuation implements RangeEvacuation {
  readonly start: Pfn;
  readonly frames: number;
  readonly moves: readonly Pfn[];
  readonly #parts: readonly Evacuation[];

  constructor(parts: readonly Evacuation[]) {
    this.#parts = parts;
    this.start = parts[0]?.start ?? 0;
    this.frames = parts.reduce((sum, part) => sum + part.frames, 0);
    this.moves = parts.flatMap((part) => part.moves);
  }

  begin(): readonly Pfn[] {
    return this.#parts.flatMap((part) => part.begin());
  }

  commit(): boolean {
    this.begin();
    if (!this.#parts.every((part) => part.isReady())) return false;
    for (const part of this.#parts) part.commit();
    return true;
  }

  cancel(): void {
    for (const part of this.#parts) part.cancel();
  }

  progress(): EvacuationProgress {
    const isolatedFrames = this.#parts.reduce((sum, part) => sum + part.isolatedFrames, 0);
    return { isolatedFrames, frames: this.frames };
  }
}

/** Starts to take `[start, end)` offline. The range is made of whole 2M blocks, or ends where its RAM ends. */
export function startOffline(core: Core, range: FrameSpan): EvacuationStart | EvacuationRefusal {
  core.refresh();
  for (const edge of [range.start, range.end]) {
    const inside = core.arena.frameOf(edge) >= 0 && core.arena.frameOf(edge - 1) >= 0;
    if (inside && !Number.isInteger(edge / BLOCK_FRAMES)) {
      throw new PmmError("bad-range", "A range goes offline in whole 2M blocks", { pfn: edge });
    }
  }
  const parts: Part[] = [];
  for (const zone of core.zones) {
    for (const stretch of stretchesOf(core.arena, zone, range.start, range.end)) {
      for (const run of presentRuns(core, stretch)) parts.push({ zone, stretch: run });
    }
  }
  if (parts.length === 0) throw new PmmError("not-managed", "No RAM lies in the range", { pfn: range.start });
  return start(core, parts, (zone, from, to) => unplug(core, zone, from, to));
}

/** Starts to empty a power rank: committed, it is wholly free, and other ranks are preferred from then on. */
export function startEmptying(core: Core, rank: number): EvacuationStart | EvacuationRefusal {
  core.refresh();
  const parts: Part[] = [];
  for (const zone of core.zones) {
    for (const segment of zone.segments) {
      if (segment.rank !== rank) continue;
      const from = core.arena.pfnOf(segment.first * BLOCK_FRAMES);
      const span = { start: from, end: from + (segment.end - segment.first) * BLOCK_FRAMES };
      const base = from - segment.first * BLOCK_FRAMES;
      for (const piece of piecesOf(span)) {
        const stretch = { from: piece.start - base, to: piece.end - base, base };
        for (const run of presentRuns(core, stretch)) parts.push({ zone, stretch: run });
      }
    }
  }
  if (parts.length === 0) throw new PmmError("bad-argument", `No RAM has rank ${rank}`);
  return start(core, parts, (zone, from, to) => {
    for (let at = from; at < to; at += 1) if (core.arena.state[at] === ISOLATED) freeIsolated(core, zone, at, to);
  });
}

function freeIsolated(core: Core, zone: Zone, from: number, limit: number): void {
  let to = from + 1;
  while (to < limit && core.arena.state[to] === ISOLATED) to += 1;
  putRun(core, from, to, zone, STACKED + core.worker);
}

function start(
  core: Core,
  parts: readonly Part[],
  finish: (zone: Zone, from: number, to: number) => void,
): EvacuationStart | EvacuationRefusal {
  core.drainAll();
  const surveys = parts.map(({ stretch }) => survey(core, stretch.from, stretch.to, stretch.base));
  const fixed = [...new Set(surveys.flatMap((found) => found.fixed))].sort((a, b) => a - b);
  if (fixed.length > 0) return { ok: false, fixed };
  const plans = parts.map(
    ({ zone, stretch }, index) =>
      new Evacuation(core, zone, stretch, surveys[index]?.moves ?? [], true, (from, to) => finish(zone, from, to)),
  );
  const plan = new PartedEvacuation(plans);
  plan.begin();
  return { ok: true, plan };
}

/** The runs of a stretch that are RAM. */
function presentRuns(core: Core, { from, to, base }: Stretch): Stretch[] {
  const { state } = core.arena;
  const runs: Stretch[] = [];
  let at = from;
  while (at < to) {
    const hole = state.subarray(at, to).indexOf(HOLE);
    const end = hole < 0 ? to : at + hole;
    if (end > at) runs.push({ from: at, to: end, base });
    at = end;
    while (at < to && state[at] === HOLE) at += 1;
  }
  return runs;
}

/** Frames that are isolated become holes; retired ones are forgotten with them. */
function unplug(core: Core, zone: Zone, from: number, to: number): void {
  const { arena } = core;
  arena.turn(core.worker);
  let retired = 0;
  for (let frame = from; frame < to; frame += 1) {
    if (arena.state[frame] === RETIRED) retired += 1;
    else if (arena.layout.geometry.ranked) Atomics.sub(arena.control, RANK_USED + arena.ranks[frame >>> 9]!, 1);
  }
  arena.state.fill(HOLE, from, to);
  zone.addPresent(from - to);
  zone.addRetired(-retired);
  arena.turn(core.worker);
}
