/**
 * A ledger of frames between the layers: which ones are handed out, and whether the bytes of a frame were wholly replaced since.
 *
 * Everything that hands out frames and everything that reaches their bytes goes through a wrapper that does its work and enters
 * what happened here, one byte per frame:
 *
 *     take                    ──► OUT, the bytes are another owner's
 *     zero, copy to, write of all bytes  ──► REPLACED as well
 *     give                    ──► neither
 *
 * The auditor compares the ledger, which nobody else writes, with what pmm and vmm say and with what tables and TLBs reach.
 */
import type {
  FrameHints,
  FrameSource,
  FrameWindow,
  Pfn,
  RunPlan,
  SpecialFrames,
  SpecialOutcome,
  SpecialRequest,
} from "@pagewright/vmm";

const OUT = 1;
const REPLACED = 2;

/** Frames whose entries lie in one array: 128 MiB of memory. A power of two. */
const CHUNK_FRAMES = 32768;
const FRAME_BYTES = 4096;

/** Entries per frame, allocated chunk by chunk as frames are taken. */
export class FrameLedger {
  readonly #chunks: (Uint8Array | undefined)[] = [];
  #out: number = 0;

  /** Frames that are handed out now. */
  get out(): number {
    return this.#out;
  }

  /** Returns whether the frame is handed out. */
  isOut(pfn: Pfn): boolean {
    return (this.#entryOf(pfn) & OUT) !== 0;
  }

  /** Returns whether all bytes of a frame that is handed out were replaced since it was taken. */
  isReplaced(pfn: Pfn): boolean {
    return (this.#entryOf(pfn) & REPLACED) !== 0;
  }

  /** Calls `visit` for every frame that is handed out, ascending. */
  forEachOut(visit: (pfn: Pfn) => void): void {
    this.#chunks.forEach((chunk, number) => {
      if (chunk === undefined) return;
      for (let at = 0; at < CHUNK_FRAMES; at++) if ((chunk[at]! & OUT) !== 0) visit(number * CHUNK_FRAMES + at);
    });
  }

  /** Enters that `frames` frames from `pfn` on were taken. */
  taken(pfn: Pfn, frames: number): void {
    for (let frame: Pfn = pfn; frame < pfn + frames; frame++) this.#enter(frame, OUT);
    this.#out += frames;
  }

  /** Enters that `frames` frames from `pfn` on were given back. */
  given(pfn: Pfn, frames: number): void {
    for (let frame: Pfn = pfn; frame < pfn + frames; frame++) this.#enter(frame, 0);
    this.#out -= frames;
  }

  /** Enters that all bytes of a frame were replaced. */
  replaced(pfn: Pfn): void {
    this.#enter(pfn, this.#entryOf(pfn) | REPLACED);
  }

  #entryOf(pfn: Pfn): number {
    const chunk = this.#chunks[Math.floor(pfn / CHUNK_FRAMES)];
    return chunk === undefined ? 0 : chunk[pfn & (CHUNK_FRAMES - 1)]!;
  }

  #enter(pfn: Pfn, entry: number): void {
    const number = Math.floor(pfn / CHUNK_FRAMES);
    const chunk = (this.#chunks[number] ??= new Uint8Array(CHUNK_FRAMES));
    chunk[pfn & (CHUNK_FRAMES - 1)] = entry;
  }
}

/** A frame source that enters what it hands out and gets back. */
export class LedgerFrames implements FrameSource {
  /** See the FrameSource port of vmm: where the source has it. */
  readonly split?: NonNullable<FrameSource["split"]>;
  readonly #frames: FrameSource;
  readonly #ledger: FrameLedger;

  /** Wraps a frame source. */
  constructor(frames: FrameSource, ledger: FrameLedger) {
    this.#frames = frames;
    this.#ledger = ledger;
    if (frames.split !== undefined) this.split = (pfn, order) => frames.split?.(pfn, order);
  }

  /** See the FrameSource port of vmm. */
  take(hints?: FrameHints): Pfn {
    const pfn = this.#frames.take(hints);
    if (pfn >= 0) this.#ledger.taken(pfn, hints === undefined ? 1 : 2 ** hints.order);
    return pfn;
  }

  /** See the FrameSource port of vmm. */
  give(pfn: Pfn, order: number = 0): void {
    this.#frames.give(pfn, order);
    this.#ledger.given(pfn, 2 ** order);
  }

  /** See the FrameSource port of vmm. */
  takeMany(into: Float64Array, count: number, hints?: FrameHints): number {
    const taken = this.#frames.takeMany(into, count, hints);
    for (let at = 0; at < taken; at++) this.#ledger.taken(into[at]!, 1);
    return taken;
  }

  /** See the FrameSource port of vmm. */
  giveMany(frames: Float64Array, count: number): void {
    this.#frames.giveMany(frames, count);
    for (let at = 0; at < count; at++) this.#ledger.given(frames[at]!, 1);
  }
}

/** Runs of frames for devices, entered like all others. */
export class LedgerRuns implements SpecialFrames {
  readonly #runs: SpecialFrames;
  readonly #ledger: FrameLedger;

  /** Wraps a source of runs. */
  constructor(runs: SpecialFrames, ledger: FrameLedger) {
    this.#runs = runs;
    this.#ledger = ledger;
  }

  /** See the SpecialFrames port of vmm. */
  request(request: SpecialRequest): SpecialOutcome {
    const outcome = this.#runs.request(request);
    if (outcome.ok) this.#ledger.taken(outcome.start, outcome.frames);
    else if (outcome.plan !== undefined) return { ...outcome, plan: this.#enteringGrant(outcome.plan) };
    return outcome;
  }

  /** A plan whose run is entered once it is granted. */
  #enteringGrant(plan: RunPlan): RunPlan {
    const { start, frames, moves } = plan;
    const commit = (): boolean => {
      const done = plan.commit();
      if (done) this.#ledger.taken(start, frames);
      return done;
    };
    return { start, frames, moves, begin: () => plan.begin(), commit, cancel: () => plan.cancel() };
  }

  /** See the SpecialFrames port of vmm. */
  release(start: Pfn, frames: number): void {
    this.#runs.release(start, frames);
    this.#ledger.given(start, frames);
  }
}

/** A frame window that enters which frames it wrote as a whole. */
export class LedgerWindow implements FrameWindow {
  readonly #window: FrameWindow;
  readonly #ledger: FrameLedger;

  /** Wraps a window. */
  constructor(window: FrameWindow, ledger: FrameLedger) {
    this.#window = window;
    this.#ledger = ledger;
  }

  /** See the FrameWindow port of vmm. */
  read(pfn: Pfn, offset: number, into: Uint8Array): void {
    this.#window.read(pfn, offset, into);
  }

  /** See the FrameWindow port of vmm. */
  write(pfn: Pfn, offset: number, from: Uint8Array): void {
    this.#window.write(pfn, offset, from);
    if (from.length === FRAME_BYTES) this.#ledger.replaced(pfn);
  }

  /** See the FrameWindow port of vmm. */
  copy(from: Pfn, to: Pfn): void {
    this.#window.copy(from, to);
    this.#ledger.replaced(to);
  }

  /** See the FrameWindow port of vmm. */
  zero(pfn: Pfn): void {
    this.#window.zero(pfn);
    this.#ledger.replaced(pfn);
  }

  /** See the FrameWindow port of vmm. */
  zeroMany(frames: Float64Array, count: number): void {
    if (this.#window.zeroMany === undefined) for (let at = 0; at < count; at++) this.#window.zero(frames[at]!);
    else this.#window.zeroMany(frames, count);
    for (let at = 0; at < count; at++) this.#ledger.replaced(frames[at]!);
  }
}
