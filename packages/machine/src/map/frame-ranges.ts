/**
 * Frames that an operating system may use, as a frame allocator takes them: whole frames only. Adjacent RAM is merged
 * first and then shrunk inwards, so that a frame shared by two RAM regions of one node counts and a frame shared with
 * anything else does not.
 */
import type { Region } from "./region.ts";
import { MachineError } from "../errors.ts";
import { FRAME_BYTES, isPowerOfTwo } from "../units.ts";
import type { Pfn } from "../units.ts";

/** A run of frames `[start, end)` with one set of properties. */
export interface FrameRange {
  /** First frame. */
  start: Pfn;
  /** One past the last frame. */
  end: Pfn;
  /** NUMA node; 0 where the map knows none. */
  node: number;
  /** The power rank that holds them. */
  rank: number;
  /** Whether they may be removed while the machine runs. */
  hotPluggable: boolean;
  /** Frames within the range that have errors. */
  faulty: readonly Pfn[];
}

/** How {@link frameRangesOf} splits. */
export interface FrameRangeOptions {
  /** Bytes of a power rank, a power of two: ranges are split at its multiples. Default: one rank per node. */
  readonly rankBytes?: number;
  /** Faulty runs of at most this many frames are listed within their range; longer ones split it. Default 1024. */
  readonly listFaultyUpTo?: number;
}

interface Run {
  start: number;
  end: number;
  readonly node: number;
  readonly hotPluggable: boolean;
  readonly faulty: Pfn[];
}

function extend(run: Run | undefined, region: Region, listUpTo: number): "faulty" | "ram" | "new" {
  if (run?.end !== region.start) return "new";
  if (region.kind === "faulty" && region.end - region.start <= listUpTo * FRAME_BYTES) return "faulty";
  return region.kind === "ram" && run.node === Math.max(region.node, 0) && run.hotPluggable === region.hotPluggable
    ? "ram"
    : "new";
}

/** Drops a tail of faulty frames that no RAM followed. */
function trimmed(run: Run, lastRam: number): Run {
  const faulty = run.faulty.filter((pfn) => pfn * FRAME_BYTES < lastRam);
  return { ...run, end: lastRam, faulty };
}

/**
 * Returns the usable frames of a flat view as ranges in ascending order. Throws `bad-argument` for ranks of no power of two.
 * Cost: O(regions + faulty frames).
 */
export function frameRangesOf(regions: readonly Region[], options: FrameRangeOptions = {}): FrameRange[] {
  const { rankBytes } = options;
  if (rankBytes !== undefined && (!isPowerOfTwo(rankBytes) || rankBytes < FRAME_BYTES))
    throw new MachineError("bad-argument", `A rank has 2^n bytes, at least a frame, not ${rankBytes}`, { rankBytes });
  const listUpTo = options.listFaultyUpTo ?? 1024;
  const runs: Run[] = [];
  let run: Run | undefined;
  let lastRam = 0;
  const close = (): void => {
    if (run !== undefined) runs.push(trimmed(run, lastRam));
    run = undefined;
  };
  for (const region of regions) {
    const how = extend(run, region, listUpTo);
    if (run !== undefined && how !== "new") {
      run.end = region.end;
      if (how === "ram") lastRam = region.end;
      else {
        const last = Math.ceil(region.end / FRAME_BYTES);
        for (let pfn = Math.floor(region.start / FRAME_BYTES); pfn < last; pfn++) run.faulty.push(pfn);
      }
      continue;
    }
    close();
    if (region.kind !== "ram") continue;
    run = {
      start: region.start,
      end: region.end,
      node: Math.max(region.node, 0),
      hotPluggable: region.hotPluggable,
      faulty: [],
    };
    lastRam = region.end;
  }
  close();
  return runs.flatMap((one) => split(one, rankBytes));
}

function split(run: Run, rankBytes: number | undefined): FrameRange[] {
  const start = Math.ceil(run.start / FRAME_BYTES);
  const end = Math.floor(run.end / FRAME_BYTES);
  const step = rankBytes === undefined ? Infinity : rankBytes / FRAME_BYTES;
  const out: FrameRange[] = [];
  for (let at = start; at < end;) {
    const rank = step === Infinity ? run.node : Math.floor(at / step);
    const to = step === Infinity ? end : Math.min(end, (rank + 1) * step);
    const faulty = run.faulty.filter((pfn) => pfn >= at && pfn < to);
    out.push({ start: at, end: to, node: run.node, rank, hotPluggable: run.hotPluggable, faulty });
    at = to;
  }
  return out;
}
