/*
 * The allocator as its users see it, and its fast path: take and give of one frame. Everything else is a part of its own:
 * taker.ts (refill, blocks, groups, fallback), giving.ts (what is not plain), runs.ts (special requests).
 */
import { GIVING, NO_BYTES, NO_WORDS, PINNED, STACKED, TAKEN } from "./arena.ts";
import { Core } from "./core.ts";
import { PmmError } from "./errors.ts";
import { giveListed, giveSlow, unmark } from "./giving.ts";
import { TAKE_STEP, TOP_MASK } from "./layout.ts";
import { ATTACHED } from "./page-stacks.ts";
import type { FrameHints, FrameSource, TakeWishes } from "./ports.ts";
import { newShare } from "./set-up.ts";
import { splitTaken } from "./splitting.ts";
import { longestStretch } from "./runs.ts";
import type { PmmOptions } from "./set-up.ts";
import type { PmmShare } from "./share.ts";
import { PmmService } from "./service.ts";
import { NO_WISHES } from "./taker.ts";
import { noteTaken } from "./traffic.ts";
import { NO_FRAME } from "./units.ts";
import type { Pfn } from "./units.ts";

/* The fast path's constants: V8 folds a constant of the same module, and loads and checks an imported one (1 ns of 5). */
const TAKEN_BYTE: number = TAKEN;
const PINNED_BIT: number = PINNED;
const TOP_BITS_MASK: number = TOP_MASK;
const ONE_TAKE: number = TAKE_STEP;

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
export class Pmm extends PmmService implements FrameSource {
  readonly #words: Int32Array = NO_WORDS;
  readonly #state: Uint8Array = NO_BYTES;
  /** The page stack of the home node's movable frames, and the distance to that of its pinned ones. */
  readonly #homeBase: number = 0;
  readonly #kindWords: number = 0;
  /** Frames that a page stack holds at most. */
  readonly #room: number = 0;
  /** The state byte of frames on this worker's stacks. */
  readonly #mark: number = 0;
  /** What `take` looks for: the mark; or, where there are tables or colours to see to, a byte that no frame has. */
  readonly #fastMark: number = 0;
  /** The longest stretch of the home zone (or an empty one, as above): frame numbers `[#from, #to)`, dense = frame number − `#delta`. */
  readonly #from: Pfn = 0;
  readonly #to: Pfn = 0;
  readonly #delta: number = 0;

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
    super(core);
    const isPlain = !core.tables.any && geometry.colours === 1;
    const stretch = isPlain ? longestStretch(core.arena, core.zoneAt(home)) : { from: 0, to: 0, base: 0 };
    this.#words = core.arena.workers;
    this.#state = core.arena.state;
    this.#homeBase = core.stacks.baseOf(home, 0, 0);
    this.#kindWords = geometry.colours * core.arena.stackWords;
    this.#room = geometry.stackFrames;
    this.#mark = STACKED + worker;
    this.#fastMark = isPlain ? this.#mark : -1;
    this.#from = asSmall(stretch.from + stretch.base);
    this.#to = asSmall(stretch.to + stretch.base);
    this.#delta = asSmall(stretch.base);
    Atomics.store(this.#words, core.arena.areaOf(worker) + ATTACHED, 1);
  }

  /**
   * Takes a frame, by default movable and of the worker's node, the one given last first; `NO_FRAME` when there is none.
   * O(1). Hit: three reads, two writes, nothing shared but the frame's own byte; a miss refills a quarter of the stack.
   */
  take(hints?: FrameHints | TakeWishes): Pfn {
    const kind = hints === undefined ? 0 : plainKind(hints);
    if (kind >= 0) {
      const words = this.#words;
      const base = kind === 0 ? this.#homeBase : this.#homeBase + this.#kindWords;
      const word = words[base]!;
      const top = word & TOP_BITS_MASK;
      const frame = words[base + top]!;
      if (top > 0 && word >= 0 && this.#state[frame] === this.#fastMark) {
        words[base] = word + ONE_TAKE;
        this.#state[frame] = TAKEN_BYTE + kind;
        const pfn = frame + this.#delta;
        return pfn >= this.#from && pfn < this.#to ? pfn : this.core.arena.pfnOf(frame);
      }
    }
    return this.#takeSlow(hints ?? NO_WISHES);
  }

  /**
   * Gives back what `take` gave, with the same order. O(1). Throws a `PmmError` on every misuse that this worker can see;
   * nothing changes then. Two workers giving one frame at the same moment are found out when the second drains it.
   */
  give(pfn: Pfn, order = 0): void {
    if (pfn >= this.#from && pfn < this.#to && order === 0) {
      const frame = pfn - this.#delta;
      const code = this.#state[frame]!;
      const words = this.#words;
      const base = code === TAKEN_BYTE ? this.#homeBase : this.#homeBase + this.#kindWords;
      const word = words[base]!;
      const top = word & TOP_BITS_MASK;
      if ((code & ~PINNED_BIT) === TAKEN_BYTE && top < this.#room) {
        words[base + top + 1] = frame;
        this.#state[frame] = this.#mark;
        words[base] = word + 1;
        return;
      }
    }
    this.#giveSlow(pfn, order);
  }

  /**
   * Turns a taken 2M block (order 9) or 1G page (order 18) into as many taken frames, each to be given back by itself; what has come back whole is one
   * block again. Nothing becomes free. O(frames), some 20 ns each at most. Throws a `PmmError` on misuse.
   */
  split(pfn: Pfn, order: number): void {
    splitTaken(this.core, pfn, order);
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
    if (count > frames.length) throw new PmmError("bad-argument", `There are ${frames.length} frames, not ${count}`);
    const marked = this.#markAll(frames, count);
    if (marked === count) {
      for (let i = 0; i < count; i += 1) this.#giveMarked(frames[i]! - this.#delta);
      return;
    }
    unmark(this.core, frames, marked);
    giveListed(this.core, frames, count, (frame, code) => this.#push(frame, code));
  }

  /** Marks plain frames of the home stretch as being given; returns how many before the first that is not one. */
  #markAll(frames: Float64Array, count: number): number {
    for (let i = 0; i < count; i += 1) {
      const pfn = frames[i]!;
      const frame = pfn - this.#delta;
      const code = pfn >= this.#from && pfn < this.#to ? this.#state[frame]! : 0;
      if ((code & ~PINNED) !== TAKEN) return i;
      this.#state[frame] = code - TAKEN + GIVING;
    }
    return count;
  }

  #giveMarked(frame: number): void {
    const code = this.#state[frame]!;
    const kind = code & PINNED;
    const words = this.#words;
    const base = kind === 0 ? this.#homeBase : this.#homeBase + this.#kindWords;
    const top = words[base]! & TOP_MASK;
    if (top < this.#room) {
      words[base + top + 1] = frame;
      this.#state[frame] = this.#mark;
      words[base] = words[base]! + 1;
    } else this.#push(frame, TAKEN + kind);
  }

  #push(frame: number, code: number): void {
    const core = this.core;
    const node = core.arena.nodeIndexOf(frame);
    const colour = frame & (core.arena.layout.geometry.colours - 1);
    core.stacks.push(core.stacks.baseOf(node, code & PINNED, colour), frame, core.zoneAt(node));
  }

  #takeSlow(wishes: TakeWishes): Pfn {
    const core = this.core;
    core.refresh();
    const frame = core.taker.take(wishes);
    if (frame < 0) return NO_FRAME;
    core.tables.taken(frame, wishes.owner ?? 0);
    noteTaken(core, frame, wishes);
    return core.arena.pfnOf(frame);
  }

  #giveSlow(pfn: Pfn, order: number): void {
    const frame = this.core.arena.frameOf(pfn);
    const code = giveSlow(this.core, pfn, frame, order);
    if (code >= 0) this.#push(frame, code);
  }
}

/**
 * The same number, as a small integer where it fits 31 bits: a field that was first given a float, be it 1.0, makes V8 compute with floats wherever
 * it is used (1.5 ns of take + give).
 */
function asSmall(n: number): number {
  return Math.abs(n) < 2 ** 30 ? ~~n : n;
}

/** The kind of a wish that the home page stacks serve: 0 movable, 1 pinned; −1 for any other wish. */
function plainKind(wishes: TakeWishes): number {
  const isPlain = wishes.order === 0 && wishes.node === -1 && wishes.colour === -1 && wishes.cold !== true;
  return isPlain ? (wishes.movable === 0 ? 1 : 0) : -1;
}
