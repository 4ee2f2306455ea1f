import { NO_ADDRESS } from "./allocator.ts";
import type { Allocator, HeapStats } from "./allocator.ts";
import { BLOCK, BlockBits, MARK, ROOT } from "./block-bits.ts";
import { HeapError } from "./errors.ts";
import { Roots } from "./roots.ts";
import { Wrapper } from "./wrapper.ts";

/** How a collected heap knows what is reachable, and when it collects. */
export interface CollectorOptions {
  /**
   * Names each reference held in a block: calls `visit` with the address of every block that this one points to (others are ignored). Where it throws, the block
   * is traced again by the next step.
   */
  readonly trace: (address: number, visit: (reference: number) => void) => void;
  /**
   * Called once for a block that is about to be freed because nothing reaches it; where it throws, the block is freed all the same. It may allocate, and free other
   * blocks, but not bring any that nothing reaches back: `addRoot` and `wrote` refuse them. Blocks that its own points to may be gone already.
   */
  readonly finalize?: (address: number) => void;
  /** The least that is allocated before a collection starts by itself, above 0; Infinity by default: only `collect()` and `step()` collect, and running out of memory. */
  readonly thresholdBytes?: number;
  /** A collection is to be over when the heap has grown to this many times what the last one left; 2 by default. */
  readonly growth?: number;
  /** All addresses of the allocator behind are multiples of this; 8 by default. */
  readonly granule?: number;
}

/** Where a collection stands. */
export type CollectionPhase = "idle" | "mark" | "sweep";

/** Work is done whenever so many bytes were allocated during a collection. */
const STRIDE = 4096;

/**
 * A mark-sweep collector over any allocator: blocks allocated through it that no root reaches are freed.
 *
 * Roots are precise: `addRoot(address)` or a root scanner. Collection runs at once ({@link CollectedHeap.collect}), in steps of bounded work
 * ({@link CollectedHeap.step}), or by itself, in steps as long as what is allocated meanwhile. Between steps the program runs on; so it must tell of every
 * reference that it stores, by {@link CollectedHeap.wrote} (the barrier of Dijkstra and others: the block pointed to is marked). A block
 * allocated during a collection survives it. `free` still works, for what the program knows to be dead.
 *
 * State: three bits for each granule that a block may start at (`BlockBits`), and a stack of the blocks that are marked but not yet traced. While a callback of the
 * collector runs nothing else is collected: what it allocates is kept, and `collect` and `step` throw `in-callback`.
 *
 * Dijkstra, Lamport, Martin, Scholten, Steffens: On-the-Fly Garbage Collection (1978).
 */
export class CollectedHeap extends Wrapper {
  readonly #trace: CollectorOptions["trace"];
  readonly #finalize: (address: number) => void;
  readonly #threshold: number;
  readonly #growth: number;
  readonly #bits: BlockBits;
  readonly #roots: Roots;
  readonly #scanners: ((visit: (reference: number) => void) => void)[] = [];
  /** Marked, but not yet traced. */
  readonly #grey: number[] = [];
  #phase: CollectionPhase = "idle";
  /** The word of the roots, then of the blocks, that is looked at next. */
  #cursor = 0;
  /** Half of what may be allocated from the end of a collection to the end of the next: then that one starts. */
  #half: number;
  /** Bytes that may still be allocated before the next work. */
  #left: number;
  /** Units of work for each stride, so that this collection ends in time. */
  #pace = 1;
  #blocks = 0;
  /** Blocks and bytes that the last collection left, the bytes as an estimate, and that were allocated since. */
  #seenBlocks = 0;
  #seenBytes = 0;
  #collections = 0;
  /** Blocks that were freed because nothing reached them. */
  #freed = 0;
  /** Whether a part of a collection is being done, and callbacks run. */
  #isAtWork = false;
  readonly #mark = (reference: number): void => {
    const place = this.#bits.find(reference);
    if (place < 0 || !this.#bits.has(place, BLOCK) || this.#bits.has(place, MARK)) return;
    this.#bits.add(place, MARK);
    this.#grey.push(reference);
  };
  readonly #collectBlock = (address: number): void => {
    // A finaliser, of this block or an earlier one, may have freed it, and what it allocated may be in its place.
    if (!this.#isDead(address)) return;
    try {
      this.#finalize(address);
    } finally {
      if (this.#isDead(address)) {
        this.#freed++;
        this.#forget(address);
        this.inner.free(address);
      }
    }
  };

  /** @throws HeapError `bad-option` for a growth that is not above 1, or a granule or threshold that is not above 0. */
  constructor(inner: Allocator, options: CollectorOptions) {
    super(inner);
    const { growth = 2, granule = 8, thresholdBytes = Infinity } = options;
    if (!(growth > 1)) throw new HeapError("bad-option", growth, "a heap grows to more than it is");
    if (!(granule > 0)) throw new HeapError("bad-option", granule);
    if (!(thresholdBytes > 0)) throw new HeapError("bad-option", thresholdBytes, "a threshold is above 0");
    this.#trace = options.trace;
    this.#finalize = options.finalize ?? (() => undefined);
    this.#threshold = thresholdBytes;
    this.#growth = growth;
    this.#bits = new BlockBits(granule);
    this.#roots = new Roots(this.#bits);
    this.#left = this.#half = thresholdBytes / 2;
  }

  /** Where the collection under way stands. */
  get phase(): CollectionPhase {
    return this.#phase;
  }

  /** How many collections have ended. */
  get collections(): number {
    return this.#collections;
  }

  #isBlock(address: number): boolean {
    const place = this.#bits.find(address);
    return place >= 0 && this.#bits.has(place, BLOCK);
  }

  /** Whether a block is about to be swept: nothing has reached it when marking ended. */
  #isDead(address: number): boolean {
    return this.#phase === "sweep" && this.#isBlock(address) && !this.#bits.has(this.#bits.find(address), MARK);
  }

  /**
   * Keeps a block alive, and what it reaches. As often as it is added it has to be removed.
   *
   * @throws HeapError `wild-free` where it is no live block, or one that nothing has reached and that is about to be freed.
   */
  addRoot(address: number): void {
    if (!this.#isBlock(address) || this.#isDead(address))
      throw new HeapError("wild-free", address, "a root must be a live block");
    this.#roots.add(address);
    if (this.#phase === "mark") this.#mark(address);
  }

  /** Takes one {@link CollectedHeap.addRoot} back. @throws HeapError `wild-free` where the block is no root. */
  removeRoot(address: number): void {
    if (!this.#roots.has(address)) throw new HeapError("wild-free", address, "the block is no root");
    this.#roots.remove(address);
  }

  /** Adds roots that are asked for twice in each collection, at once: a stack, a table. */
  addRootScanner(scan: (visit: (reference: number) => void) => void): void {
    this.#scanners.push(scan);
  }

  /**
   * Tells that a reference to `to` was stored in a live block, while a collection may be under way.
   *
   * @throws HeapError `wild-free` for a block that nothing has reached and that is about to be freed.
   */
  wrote(to: number): void {
    if (this.#phase === "mark") this.#mark(to);
    else if (this.#isDead(to)) throw new HeapError("wild-free", to, "what nothing reaches is about to be freed");
  }

  /** Allocates; does a part of a collection where it is due, and a whole one where memory has run out. The new block is kept until the next collection starts. Throws what callbacks throw; there is no block then. */
  override allocate(size: number, alignment = 0, hint = 0): number {
    if (this.#left < size && !this.#isAtWork) this.#work(size);
    let address = this.inner.allocate(size, alignment, hint);
    if (address === NO_ADDRESS && !this.#isAtWork && this.collect() > 0)
      address = this.inner.allocate(size, alignment, hint);
    if (address === NO_ADDRESS) return address;
    this.#enter(address);
    this.#left -= size;
    this.#seenBytes += size;
    this.#seenBlocks++;
    return address;
  }

  /** Notes a block. During a collection it is marked, and not traced: what it will point to is stored with the barrier. */
  #enter(address: number): void {
    const place = this.#bits.enter(address);
    if (place < 0) {
      this.inner.free(address);
      throw new HeapError("bad-option", address, "an address is no multiple of the granule");
    }
    this.#bits.add(place, BLOCK);
    this.#blocks++;
    if (this.#phase !== "idle") this.#bits.add(place, MARK);
  }

  #forget(address: number): void {
    const place = this.#bits.find(address);
    if (place < 0 || !this.#bits.has(place, BLOCK)) return;
    this.#bits.delete(place, BLOCK);
    this.#bits.delete(place, MARK);
    this.#blocks--;
  }

  /** Starts a collection that is due, or goes on with the one under way, by as many strides as will be allocated. */
  #work(size: number): void {
    if (this.#phase === "idle") {
      this.step(0);
      this.#left = 0;
    }
    const strides = Math.ceil((size - this.#left) / STRIDE);
    this.#left += strides * STRIDE;
    this.step(strides * this.#pace);
  }

  /** Frees at once, without finalising. @throws HeapError `bad-option` for a root. */
  override free(address: number): void {
    if (this.#roots.has(address)) throw new HeapError("bad-option", address, "a root cannot be freed");
    this.inner.free(address);
    this.#forget(address);
  }

  /**
   * Resizes; collects, the block kept, where memory has run out. A block that moves has to be reached by its new address; a root moves along. What it grows by counts as
   * allocated.
   */
  override resize(address: number, size: number, alignment = 0, hint = 0): number {
    const usable = this.inner.usableSize(address);
    let to = this.inner.resize(address, size, alignment, hint);
    if (to === NO_ADDRESS && this.#collectFor(address) > 0) to = this.inner.resize(address, size, alignment, hint);
    if (to !== NO_ADDRESS && size > usable) {
      this.#left -= size - usable;
      this.#seenBytes += size - usable;
    }
    if (to !== NO_ADDRESS && to !== address && this.#isBlock(address)) this.#follow(address, to);
    return to;
  }

  /** Collects with a block that is kept. @returns how many blocks were freed. */
  #collectFor(address: number): number {
    if (this.#isAtWork || !this.#isBlock(address)) return 0;
    // What is under way ends here, so that the block, if nothing has reached it yet, can still become a root.
    this.#phase = "idle";
    this.addRoot(address);
    try {
      return this.collect();
    } finally {
      this.removeRoot(address);
    }
  }

  /** What is known of a block is known of the place it has moved to. */
  #follow(address: number, to: number): void {
    this.#forget(address);
    this.#enter(to);
    if (this.#roots.has(address)) this.#roots.move(address, to);
    // It may not have been traced where it was.
    if (this.#phase === "mark") this.#grey.push(to);
  }

  #start(): void {
    this.#bits.clear(MARK);
    this.#grey.length = 0;
    this.#cursor = 0;
    this.#pace = Math.ceil(((this.#blocks + 2 * this.#bits.length) * STRIDE) / this.#half) + 1;
    this.#phase = "mark";
    this.#scan();
  }

  #scan(): void {
    for (const scan of this.#scanners) scan(this.#mark);
  }

  /**
   * Does up to `work` units of a collection: a unit traces a block, or looks at 32 places for roots or for what to sweep. Starts one where none is under way. What
   * a callback throws ends the step; the next one goes on behind it.
   *
   * @returns whether the collection has ended.
   * @throws HeapError `in-callback` where a callback of this collector calls it.
   */
  step(work: number): boolean {
    if (this.#isAtWork) throw new HeapError("in-callback", work, "a callback of the collector cannot collect");
    this.#isAtWork = true;
    try {
      if (this.#phase === "idle") this.#start();
      this.#sweepSome(this.#markSome(work));
    } finally {
      this.#isAtWork = false;
    }
    return this.#phase === "idle";
  }

  /** @returns how many units are left. */
  #markSome(work: number): number {
    let left = work;
    while (this.#phase === "mark" && left > 0) {
      const block = this.#grey.pop();
      if (block !== undefined) {
        this.#traceBlock(block);
        left--;
      } else if (this.#cursor < this.#bits.length) {
        this.#bits.visitWord(this.#cursor++, ROOT, ROOT, this.#mark);
        left--;
      } else this.#endMarking();
    }
    return left;
  }

  #traceBlock(block: number): void {
    if (!this.#isBlock(block)) return;
    try {
      this.#trace(block, this.#mark);
    } catch (error) {
      this.#grey.push(block);
      throw error;
    }
  }

  #sweepSome(work: number): void {
    for (let left = work; this.#phase === "sweep" && left > 0; left--) {
      if (this.#cursor < this.#bits.length) this.#bits.visitWord(this.#cursor++, BLOCK, MARK, this.#collectBlock);
      else this.#finish();
    }
  }

  /** What scanners name may have changed without a barrier: what they reach now is marked too before anything is swept. */
  #endMarking(): void {
    this.#scan();
    if (this.#grey.length > 0) return;
    this.#phase = "sweep";
    this.#cursor = 0;
  }

  #finish(): void {
    this.#phase = "idle";
    this.#collections++;
    if (this.#seenBlocks > 0) this.#seenBytes *= this.#blocks / this.#seenBlocks;
    this.#seenBlocks = this.#blocks;
    this.#left = this.#half = Math.max(this.#threshold, (this.#growth - 1) * this.#seenBytes) / 2;
  }

  /**
   * Collects to the end, a collection under way first abandoned.
   *
   * @returns how many blocks were freed because nothing reaches them.
   * @throws HeapError `in-callback` where a callback of this collector calls it; what a callback throws: then the collection is still under way.
   */
  collect(): number {
    if (!this.#isAtWork) this.#phase = "idle";
    const before = this.#freed;
    this.step(Infinity);
    return this.#freed - before;
  }

  /** Ends all lives without finalising, the roots' too. */
  override reset(): void {
    this.inner.reset();
    this.#forgetAll();
  }

  /** Ends all lives without finalising and gives all memory back. */
  override destroy(): void {
    this.inner.destroy();
    this.#forgetAll();
  }

  #forgetAll(): void {
    for (const set of [BLOCK, MARK]) this.#bits.clear(set);
    this.#roots.clear();
    this.#grey.length = 0;
    this.#blocks = 0;
    this.#phase = "idle";
    this.#seenBlocks = this.#seenBytes = 0;
    this.#left = this.#half = this.#threshold / 2;
  }

  /** With the collector's own bits. */
  override stats(): HeapStats {
    const stats = this.inner.stats();
    return { ...stats, metadataBytes: stats.metadataBytes + this.#bits.bytes + this.#grey.length * 8 };
  }

  /** Checks the allocator behind, that every block that is known is live in it, and what is marked and every root is a block. */
  override check(): void {
    this.inner.check();
    const live = new Set<number>();
    this.inner.walk((address) => live.add(address));
    let blocks = 0;
    this.#bits.forEach(BLOCK, (address) => {
      blocks++;
      if (!live.has(address)) throw new HeapError("corrupt", address, "a block of the collector is live");
    });
    if (blocks !== this.#blocks) throw new HeapError("corrupt", blocks, "the collector counts its blocks");
    for (const set of [ROOT, MARK])
      this.#bits.forEach(set, (address) => {
        if (!this.#isBlock(address))
          throw new HeapError("corrupt", address, "a root, and what is marked, is a live block");
      });
  }
}
