import { invariant, VmmError } from "../errors.ts";
import type { Compressor, FrameSource, FrameWindow, IoOutcome, SwapStore } from "../ports.ts";
import { SlotLists } from "../reclaim/policies/slot-lists.ts";
import { PAGE_SIZE } from "../units.ts";
import { defaultCompressor } from "./compress/default.ts";
import { sameFilledWord } from "./compress/same-filled.ts";
import { NO_OBJECT, ObjectStore } from "./object-store.ts";
import { MAX_OBJECT_BYTES } from "./size-classes.ts";

/** Where the content of a slot is. */
const EMPTY = 0;
const SAME = 1;
const PACKED = 2;
const BELOW = 3;

/** Objects freed since the last compaction that make the next one worth its walk over all groups. */
const COMPACT_AFTER = 32;
/** Pages that one store may push down to the next tier before it gives up. */
const MAX_PUSHED = 64;

/** What a {@link CompressedPool} is made of. */
export interface CompressedPoolOptions {
  /** Where its frames come from. */
  readonly frames: FrameSource;
  /** The way to their bytes. */
  readonly window: FrameWindow;
  /** Frames that it may hold at once, 0 or more. */
  readonly limitFrames: number;
  /** Slots; without it those of `below`. */
  readonly slots?: number;
  /** LZ4 unless given. */
  readonly compressor?: Compressor;
  /** The next tier: it has the same slots, takes what does not compress, and the coldest pages when the pool is full. */
  readonly below?: SwapStore;
}

/** A snapshot of a {@link CompressedPool}. */
export interface CompressedPoolStats {
  /** Pages kept compressed. */
  readonly packedPages: number;
  /** Pages kept as one word. */
  readonly samePages: number;
  /** Pages that are in the next tier. */
  readonly belowPages: number;
  /** Bytes of the compressed pages. */
  readonly packedBytes: number;
  /** Frames held. */
  readonly frames: number;
  /** Frames that may be held. */
  readonly limitFrames: number;
  /** Pages that did not compress, since the start. */
  readonly incompressible: number;
  /** Pages moved down to the next tier, since the start. */
  readonly writtenBack: number;
  /** Moves down that the next tier refused or failed, since the start; the pages stayed. */
  readonly failedWriteBacks: number;
}

/**
 * Compressed memory as a swap store: the first tier, in front of a slower one or alone.
 *
 * ```
 *   page ── all words alike ──▶ one word, no memory
 *     │  ── compresses ───────▶ object in a size class, in frames of the frame source
 *     └─ does not ────────────▶ next tier, the same slot; without one: `full`, and swap space asks its next store
 *   full: coldest objects ────▶ next tier, the same slot
 * ```
 *
 * "Coldest" is stored or read longest ago. A page that the next tier fails to take stays here. Nothing that was stored
 * is lost by anything that fails here: a store that has no room says `full`.
 */
export class CompressedPool implements SwapStore {
  /** See {@link SwapStore.slots}. */
  readonly slots: number;
  readonly #compressor: Compressor;
  readonly #objects: ObjectStore;
  readonly #below: SwapStore | null;
  #limitFrames: number;
  /** EMPTY, SAME, PACKED or BELOW, by slot. */
  readonly #where: Uint8Array;
  /** The word of a SAME page, the object of a PACKED one, by slot. */
  readonly #content: Uint32Array;
  /** Bytes of a PACKED page, by slot. */
  readonly #lengths: Uint16Array;
  /** PACKED slots, the coldest at the tail. */
  readonly #byAge: SlotLists;
  /** The page that is being stored, and the one that is being read, compressed. */
  readonly #packed: Uint8Array = new Uint8Array(MAX_OBJECT_BYTES);
  readonly #unpacking: Uint8Array = new Uint8Array(MAX_OBJECT_BYTES);
  /** A page in full, as words and as bytes. */
  readonly #words: Uint32Array = new Uint32Array(PAGE_SIZE / 4);
  readonly #page: Uint8Array = new Uint8Array(this.#words.buffer);
  /** Told by a compaction which object moved where. */
  readonly #moved: (slot: number, object: number) => void;
  #freedSinceCompaction: number = 0;
  #samePages: number = 0;
  #belowPages: number = 0;
  #packedBytes: number = 0;
  #incompressible: number = 0;
  #writtenBack: number = 0;
  #failedWriteBacks: number = 0;

  constructor(options: CompressedPoolOptions) {
    this.slots = slotsOf(options);
    this.#compressor = options.compressor ?? defaultCompressor();
    this.#below = options.below ?? null;
    this.#limitFrames = options.limitFrames;
    this.#objects = new ObjectStore(options.frames, options.window);
    this.#where = new Uint8Array(this.slots);
    this.#content = new Uint32Array(this.slots);
    this.#lengths = new Uint16Array(this.slots);
    this.#byAge = new SlotLists(this.slots, 1);
    this.#moved = (slot, object) => {
      this.#content[slot] = object;
    };
  }

  /** Stores a page, replacing what the slot held. `full`: neither compressed nor below; the slot is empty then. */
  write(slot: number, from: Uint8Array): IoOutcome {
    this.#demand(slot);
    this.#forget(slot);
    this.#page.set(from);
    const word = sameFilledWord(this.#words);
    if (word >= 0) {
      this.#where[slot] = SAME;
      this.#content[slot] = word;
      this.#samePages++;
      return "ok";
    }
    const length = this.#compressor.compress(from, this.#packed);
    if (length < 0) this.#incompressible++;
    else if (this.#store(slot, length)) return "ok";
    return this.#writeBelow(slot, from);
  }

  /** Reads a page. `failed`: never stored, damaged, or the next tier failed. */
  read(slot: number, into: Uint8Array): IoOutcome {
    this.#demand(slot);
    switch (this.#where[slot]) {
      case SAME:
        this.#words.fill(this.#content[slot]!);
        into.set(this.#page);
        return "ok";
      case PACKED:
        this.#byAge.moveToHead(0, slot);
        return this.#expand(slot, into) ? "ok" : "failed";
      case BELOW:
        return this.#below?.read(slot, into) ?? "failed";
      default:
        return "failed";
    }
  }

  /** See {@link SwapStore.waits}: only for what is in the next tier. */
  waits(slot: number): boolean {
    return this.#where[slot] === BELOW && (this.#below?.waits?.(slot) ?? true);
  }

  /** The content of the slot is not needed any more. */
  discard(slot: number): void {
    this.#demand(slot);
    this.#forget(slot);
  }

  /** Moves up to `pages` of the coldest pages to the next tier; returns how many went. */
  writeBack(pages: number): number {
    if (this.#below === null) return 0;
    let done = 0;
    let slot = this.#byAge.tail(0);
    while (done < pages && slot >= 0) {
      const warmer = this.#byAge.prev[slot]!;
      if (this.#pushDown(slot, this.#below)) done++;
      slot = warmer < this.#byAge.slots ? warmer : -1;
    }
    return done;
  }

  /** Packs objects closer and gives frames back; returns how many. For idle time: copies objects. */
  compact(): number {
    this.#freedSinceCompaction = 0;
    return this.#objects.compact(this.#moved);
  }

  /**
   * Sets the limit and keeps to it: packs closer, then moves the coldest pages down. Returns whether it is kept: without a
   * next tier that takes them pages stay.
   */
  resize(limitFrames: number): boolean {
    this.#limitFrames = limitFrames;
    if (this.#objects.frames > limitFrames) this.compact();
    while (this.#objects.frames > limitFrames) if (this.writeBack(1) === 0) return false;
    return true;
  }

  /** Counts and sizes now. */
  stats(): CompressedPoolStats {
    return {
      packedPages: this.#byAge.lengths[0]!,
      samePages: this.#samePages,
      belowPages: this.#belowPages,
      packedBytes: this.#packedBytes,
      frames: this.#objects.frames,
      limitFrames: this.#limitFrames,
      incompressible: this.#incompressible,
      writtenBack: this.#writtenBack,
      failedWriteBacks: this.#failedWriteBacks,
    };
  }

  /** Walks everything; throws with the sentence of the broken invariant. */
  check(): void {
    this.#objects.check();
    this.#byAge.check();
    const counts = [0, 0, 0, 0];
    let bytes = 0;
    for (let slot = 0; slot < this.slots; slot++) {
      const where = this.#where[slot]!;
      counts[where] = (counts[where] ?? 0) + 1;
      if (where === PACKED) bytes += this.#lengths[slot]!;
      invariant((where === PACKED) === (this.#byAge.listOf[slot] === 0), "The age list is not the packed slots.", {
        slot,
      });
    }
    invariant(counts[SAME] === this.#samePages, "The count of same-filled pages is wrong.");
    invariant(counts[BELOW] === this.#belowPages, "The count of pages below is wrong.");
    invariant(bytes === this.#packedBytes, "The sum of compressed bytes is wrong.", { bytes });
  }

  /** Finds room for the compressed bytes: in a group, by packing closer, by moving colder pages down. */
  #store(slot: number, length: number): boolean {
    let object = this.#objects.put(this.#packed, length, slot, this.#limitFrames);
    if (object === NO_OBJECT && this.#freedSinceCompaction >= COMPACT_AFTER && this.compact() > 0)
      object = this.#objects.put(this.#packed, length, slot, this.#limitFrames);
    for (let pushed = 0; object === NO_OBJECT && pushed < MAX_PUSHED && this.writeBack(1) === 1; pushed++)
      object = this.#objects.put(this.#packed, length, slot, this.#limitFrames);
    if (object === NO_OBJECT) return false;
    this.#where[slot] = PACKED;
    this.#content[slot] = object;
    this.#lengths[slot] = length;
    this.#packedBytes += length;
    this.#byAge.pushHead(0, slot);
    return true;
  }

  #writeBelow(slot: number, from: Uint8Array): IoOutcome {
    const outcome = this.#below?.write(slot, from) ?? "full";
    if (outcome === "ok") {
      this.#where[slot] = BELOW;
      this.#belowPages++;
    }
    return outcome;
  }

  #pushDown(slot: number, below: SwapStore): boolean {
    if (!this.#expand(slot, this.#page) || below.write(slot, this.#page) !== "ok") {
      this.#failedWriteBacks++;
      return false;
    }
    this.#drop(slot);
    this.#where[slot] = BELOW;
    this.#belowPages++;
    this.#writtenBack++;
    return true;
  }

  /** Must not touch #packed: a page that waits for room is in it. */
  #expand(slot: number, into: Uint8Array): boolean {
    const length = this.#lengths[slot]!;
    this.#objects.get(this.#content[slot]!, this.#unpacking, length);
    return this.#compressor.expand(this.#unpacking, length, into);
  }

  #drop(slot: number): void {
    this.#objects.free(this.#content[slot]!);
    this.#freedSinceCompaction++;
    this.#packedBytes -= this.#lengths[slot]!;
    this.#byAge.remove(slot);
  }

  #forget(slot: number): void {
    const where = this.#where[slot]!;
    this.#where[slot] = EMPTY;
    if (where === SAME) this.#samePages--;
    else if (where === PACKED) this.#drop(slot);
    else if (where === BELOW) {
      this.#belowPages--;
      this.#below?.discard?.(slot);
    }
  }

  #demand(slot: number): void {
    if (!Number.isInteger(slot) || slot < 0 || slot >= this.slots)
      throw new VmmError("out-of-range", "The pool has no such slot.", { slot, slots: this.slots });
  }
}

function slotsOf({ slots, below }: CompressedPoolOptions): number {
  const count = slots ?? below?.slots;
  if (count === undefined) throw new VmmError("bad-argument", "A pool without a next tier needs its number of slots.");
  if (!Number.isInteger(count) || count < 0 || (below !== undefined && count > below.slots))
    throw new VmmError("out-of-range", "A pool has as many slots as the next tier at most.", { slots: count });
  return count;
}
