/*
 * The allocator as its users see it, and its fast path: take and give of one frame. Everything else is a part of its own:
 * taker.ts (refill, blocks, groups, fallback), giving.ts (what is not plain), runs.ts (special requests).
 */
import { PINNED, TAKEN } from "./arena.ts";
import { Core } from "./core.ts";
import { PmmError } from "./errors.ts";
import { checkAll } from "./check.ts";
import { giveListed, giveSlow } from "./giving.ts";
import { GROUP_WORDS, STACK_WORDS } from "./layout.ts";
import { ATTACHED } from "./page-stacks.ts";
import type {
  FrameHints,
  FramePressure,
  FrameSource,
  Grant,
  PressureLevel,
  Refusal,
  SpecialFrames,
  SpecialRequest,
  TakeWishes,
  Watermarks,
} from "./ports.ts";
import { releaseRun, requestRun } from "./request.ts";
import { newShare } from "./set-up.ts";
import type { PmmOptions } from "./set-up.ts";
import type { PmmShare } from "./share.ts";
import { freeFrames, statsOf, totalFrames } from "./stats.ts";
import type { PmmStats } from "./stats.ts";
import { NO_WISHES } from "./taker.ts";
import { NO_FRAME } from "./units.ts";
import type { Pfn } from "./units.ts";

/** Joins an allocator that another worker made. */
export interface PmmAttachment {
  /** What `share` of the maker says. */
  readonly share: PmmShare;
  /** This worker's number, unique among all that are attached at a time; the maker is 0. */
  readonly worker: number;
  /** The NUMA node that this worker prefers, by default the lowest. */
  readonly homeNode?: number;
}

/** Physical memory: page stacks in front of lock-free blocks. One object per worker, each over the same state. */
export class Pmm implements FrameSource, SpecialFrames, FramePressure {
  /** What other workers need to attach. */
  readonly share: PmmShare;
  /** This worker's number. */
  readonly worker: number;
  readonly #core: Core;
  readonly #words: Int32Array;
  readonly #state: Uint8Array;
  readonly #groups: Int32Array;
  readonly #tallies: Float64Array;
  readonly #stackBase: number;
  readonly #homeBase: number;
  readonly #homeTally: number;
  readonly #kindWords: number;
  readonly #colourMask: number;
  /** True where take and give touch no optional table. */
  readonly #plain: boolean;

  /** Makes an allocator over ranges, or attaches to one. Throws `bad-range` and `bad-argument`. */
  constructor(options: PmmOptions | PmmAttachment) {
    const share = "share" in options ? options.share : newShare(options);
    const worker = "worker" in options ? options.worker : 0;
    const { geometry } = share.layout;
    if (!Number.isInteger(worker) || worker < 0 || worker >= geometry.workers) {
      throw new PmmError("bad-argument", `worker must be an integer from 0 to ${geometry.workers - 1}, not ${worker}`);
    }
    const home = options.homeNode === undefined ? 0 : geometry.nodes.indexOf(options.homeNode);
    if (home < 0) throw new PmmError("bad-argument", `There is no node ${options.homeNode ?? ""}`);
    const core = new Core(share, worker, home);
    this.share = share;
    this.worker = worker;
    this.#core = core;
    this.#words = core.arena.workers;
    this.#state = core.arena.state;
    this.#groups = core.arena.groups;
    this.#tallies = core.arena.tallies;
    this.#stackBase = core.stacks.baseOf(0, 0, 0);
    this.#homeBase = core.stacks.baseOf(home, 0, 0);
    this.#homeTally = worker * geometry.stacks + home * 2 * geometry.colours;
    this.#kindWords = geometry.colours * STACK_WORDS;
    this.#colourMask = geometry.colours - 1;
    this.#plain = !core.tables.any && geometry.colours === 1;
    Atomics.store(this.#words, core.arena.areaOf(worker) + ATTACHED, 1);
  }

  /**
   * Takes a frame, by default movable and of the worker's node, the one given last first; `NO_FRAME` when there is none.
   * O(1): a frame off the worker's own page stack, every 64th time a batch from the blocks.
   */
  take(hints?: FrameHints | TakeWishes): Pfn {
    if (hints === undefined && this.#plain) {
      const frame = this.#core.stacks.pop(this.#homeBase, TAKEN);
      if (frame >= 0) {
        this.#tallies[this.#homeTally]! += 1;
        return this.#core.arena.pfnOf(frame);
      }
    }
    return this.#takeSlow(hints ?? NO_WISHES);
  }

  /**
   * Gives back what `take` gave, with the same order. O(1). Throws a `PmmError` on every misuse that this worker can see;
   * nothing changes then. Two workers giving one frame at the same moment are found out when the second drains it.
   */
  give(pfn: Pfn, order = 0): void {
    const frame = this.#core.arena.frameOf(pfn);
    const code = frame < 0 ? 0 : this.#state[frame]!;
    if (order === 0 && (code & ~PINNED) === TAKEN && this.#plain) this.#push(frame, code);
    else this.#giveSlow(pfn, frame, order);
  }

  /** Takes up to `count` frames of order 0 (or blocks) into `into`; returns how many. */
  takeMany(into: Float64Array, count: number, hints?: FrameHints | TakeWishes): number {
    if (count > into.length) throw new PmmError("bad-argument", `${count} frames do not fit ${into.length} places`);
    for (let i = 0; i < count; i += 1) {
      const pfn = this.take(hints);
      if (pfn === NO_FRAME) return i;
      into[i] = pfn;
    }
    return count;
  }

  /** Gives the first `count` frames of `frames` back, all of order 0. Throws before any of them is given. */
  giveMany(frames: Float64Array, count: number): void {
    giveListed(this.#core, frames, count, (frame, code) => this.#push(frame, code));
  }

  /**
   * Grants a contiguous run of frames, or says why not. Runs from normal zones come before those of the low zone. A refusal
   * as `fragmented` may carry a plan: empty its range, and its `commit` grants it. Throws `bad-argument`.
   */
  request(request: SpecialRequest): Grant | Refusal {
    return requestRun(this.#core, request);
  }

  /** Gives a granted run back, whole. Throws on misuse; nothing changes then. */
  release(start: Pfn, frames: number): void {
    releaseRun(this.#core, start, frames);
  }

  /** Frames that `take` could still serve, those on page stacks included. Exact while other workers rest. */
  get freeFrames(): number {
    return freeFrames(this.#core);
  }

  /** Frames that `take` serves altogether: the normal zones without their retired frames. */
  get totalFrames(): number {
    return totalFrames(this.#core);
  }

  /** The marks of all normal zones together. */
  get watermarks(): Watermarks {
    const marks = { min: 0, low: 0, high: 0 };
    for (const zone of this.#core.zones) {
      if (zone.isLow) continue;
      marks.min += zone.watermarks.min;
      marks.low += zone.watermarks.low;
      marks.high += zone.watermarks.high;
    }
    return marks;
  }

  /** The pressure on all normal zones together, with hysteresis, or on one zone by its name. */
  level(zone?: string): PressureLevel {
    return this.#core.levelOf(zone);
  }

  /** A snapshot: frames by zone and state, bytes of state. */
  stats(): PmmStats {
    return statsOf(this.#core);
  }

  /** Walks everything, workers at rest; throws `broken-invariant` with the sentence that does not hold. */
  check(): void {
    checkAll(this.#core);
  }

  #push(frame: number, code: number): void {
    const node = this.#groups[(frame >>> 18) * GROUP_WORDS + 3]!;
    const base =
      this.#stackBase + (node * 2 + (code & PINNED)) * this.#kindWords + (frame & this.#colourMask) * STACK_WORDS;
    this.#core.stacks.push(base, frame, this.#core.zoneAt(node));
  }

  #takeSlow(wishes: TakeWishes): Pfn {
    const core = this.#core;
    core.refresh();
    const frame = core.taker.take(wishes);
    if (frame < 0) return NO_FRAME;
    const { geometry } = core.arena.layout;
    const kind = wishes.movable === 0 ? 1 : 0;
    const stack = (core.arena.nodeIndexOf(frame) * 2 + kind) * geometry.colours;
    this.#tallies[this.worker * geometry.stacks + stack]! += 1;
    core.tables.taken(frame, wishes.owner ?? 0);
    return core.arena.pfnOf(frame);
  }

  #giveSlow(pfn: Pfn, frame: number, order: number): void {
    const code = giveSlow(this.#core, pfn, frame, order);
    if (code >= 0) this.#push(frame, code);
  }
}
