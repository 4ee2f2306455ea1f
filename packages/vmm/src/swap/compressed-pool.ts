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

/** Objects freed since the last compaction that make the next one worth its walk over all groups. */
const COMPACT_AFTER = 32;

/** What a {@link CompressedPool} is made of. */
export interface CompressedPoolOptions {
  /** Where its frames come from. */
  readonly frames: FrameSource;
  /** The way to their bytes. */
  readonly window: FrameWindow;
  /** Frames that it may hold at once, 0 or more. */
  readonly limitFrames: number;
  /** Pages that it can hold. */
  readonly slots: number;
  /** LZ4 unless given. */
  readonly compressor?: Compressor;
}

/** A snapshot of a {@link CompressedPool}. */
export interface CompressedPoolStats {
  /** Pages kept compressed. */
  readonly packedPages: number;
  /** Pages kept as one word. */
  readonly samePages: number;
  /** Bytes of the compressed pages. */
  readonly packedBytes: number;
  /** Frames held. */
  readonly frames: number;
  /** Frames that may be held. */
  readonly limitFrames: number;
  /** Pages that did not compress, since the start. */
  readonly incompressible: number;
}

/**
 * Compressed memory as a swap store: the first tier, in front of slower ones or alone.
 *
 * ```
 *   page ── all words alike ──▶ one word, no memory
 *     │  ── compresses ───────▶ object in a size class, in frames of the frame source
 *     │                           └─ no room: `full`, and giveWay names the coldest page
 *     └─ does not ────────────▶ `full`: a page for the next store
 * ```
 *
 * "Coldest" is stored or read longest ago. Nothing that was stored is lost by anything that fails here: a page for which
 * there is no room is refused.
 */
export class CompressedPool implements SwapStore {
  /** See {@link SwapStore.slots}. */
  readonly slots: number;
  readonly #compressor: Compressor;
  readonly #objects: ObjectStore;
  #limitFrames: number;
  /** EMPTY, SAME or PACKED, by slot. */
  readonly #where: Uint8Array;
  /** The word of a SAME page, the object of a PACKED one, by slot. */
  readonly #content: Uint32Array;
  /** Bytes of a PACKED page, by slot. */
  readonly #lengths: Uint16Array;
  /** PACKED slots, the coldest at the tail. */
  readonly #byAge: SlotLists;
  /** The page that is being stored or read, compressed. */
  readonly #packed: Uint8Array = new Uint8Array(MAX_OBJECT_BYTES);
  /** A page in full, as words and as bytes. */
  readonly #words: Uint32Array = new Uint32Array(PAGE_SIZE / 4);
  readonly #page: Uint8Array = new Uint8Array(this.#words.buffer);
  /** Told by a compaction which object moved where. */
  readonly #moved: (slot: number, object: number) => void;
  #freedSinceCompaction: number = 0;
  /** Whether the last page was refused for want of room. */
  #isCrowded: boolean = false;
  #samePages: number = 0;
  #packedBytes: number = 0;
  #incompressible: number = 0;

  constructor(options: CompressedPoolOptions) {
    if (!Number.isInteger(options.slots) || options.slots < 0)
      throw new VmmError("out-of-range", "A pool has 0 slots or more.", { slots: options.slots });
    this.slots = options.slots;
    this.#compressor = options.compressor ?? defaultCompressor();
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

  /** Stores a page, replacing what the slot held. `full`: it does not compress, or there is no room; the slot is empty then. */
  write(slot: number, from: Uint8Array): IoOutcome {
    this.#demand(slot);
    this.#forget(slot);
    this.#isCrowded = false;
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
    else this.#isCrowded = true;
    return "full";
  }

  /** Reads a page. `failed`: never stored, or damaged. */
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
      default:
        return "failed";
    }
  }

  /** See {@link SwapStore.waits}: never. */
  waits(): boolean {
    return false;
  }

  /** See {@link SwapStore.giveWay}: the coldest page, if the last one was refused for want of room or the limit is not kept. */
  giveWay(): number {
    return this.#isCrowded || this.#objects.frames > this.#limitFrames ? this.#byAge.tail(0) : -1;
  }

  /** The content of the slot is not needed any more. */
  discard(slot: number): void {
    this.#demand(slot);
    this.#forget(slot);
  }

  /** Packs objects closer and gives frames back; returns how many. For idle time: copies objects. */
  compact(): number {
    this.#freedSinceCompaction = 0;
    return this.#objects.compact(this.#moved);
  }

  /** Sets the limit and packs closer. Returns whether it is kept: if not, no page is taken until enough have left, see {@link giveWay}. */
  resize(limitFrames: number): boolean {
    this.#limitFrames = limitFrames;
    if (this.#objects.frames > limitFrames) this.compact();
    return this.#objects.frames <= limitFrames;
  }

  /** Counts and sizes now. */
  stats(): CompressedPoolStats {
    return {
      packedPages: this.#byAge.lengths[0]!,
      samePages: this.#samePages,
      packedBytes: this.#packedBytes,
      frames: this.#objects.frames,
      limitFrames: this.#limitFrames,
      incompressible: this.#incompressible,
    };
  }

  /** Walks everything; throws with the sentence of the broken invariant. */
  check(): void {
    this.#objects.check();
    this.#byAge.check();
    const counts = [0, 0, 0];
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
    invariant(bytes === this.#packedBytes, "The sum of compressed bytes is wrong.", { bytes });
  }

  /** Finds room for the compressed bytes: in a group, or by packing closer. */
  #store(slot: number, length: number): boolean {
    let object = this.#objects.put(this.#packed, length, slot, this.#limitFrames);
    if (object === NO_OBJECT && this.#freedSinceCompaction >= COMPACT_AFTER && this.compact() > 0)
      object = this.#objects.put(this.#packed, length, slot, this.#limitFrames);
    if (object === NO_OBJECT) return false;
    this.#where[slot] = PACKED;
    this.#content[slot] = object;
    this.#lengths[slot] = length;
    this.#packedBytes += length;
    this.#byAge.pushHead(0, slot);
    return true;
  }

  #expand(slot: number, into: Uint8Array): boolean {
    const length = this.#lengths[slot]!;
    this.#objects.get(this.#content[slot]!, this.#packed, length);
    return this.#compressor.expand(this.#packed, length, into);
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
  }

  #demand(slot: number): void {
    if (!Number.isInteger(slot) || slot < 0 || slot >= this.slots)
      throw new VmmError("out-of-range", "The pool has no such slot.", { slot, slots: this.slots });
  }
}
