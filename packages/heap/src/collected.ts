import { NO_ADDRESS } from "./allocator.ts";
import type { Allocator } from "./allocator.ts";
import { HeapError } from "./errors.ts";
import { Wrapper } from "./wrapper.ts";

/** How a collected heap knows what is reachable. */
export interface CollectorOptions {
  /** Names each reference held in a block: calls `visit` with the address of every block that this one points to (others are ignored). */
  readonly trace: (address: number, visit: (reference: number) => void) => void;
  /** Called for a block that is about to be freed because nothing reaches it; must not allocate. */
  readonly finalize?: (address: number) => void;
  /** A collection starts when so many bytes were allocated since the last one; Infinity by default: only `collect()` starts one. */
  readonly thresholdBytes?: number;
}

/** Where a collection stands. */
export type CollectionPhase = "idle" | "mark" | "sweep";

/**
 * A mark-sweep collector over any allocator: blocks that no root reaches are freed.
 *
 * Roots are precise: `addRoot(address)` or a root scanner. Collection runs at once ({@link CollectedHeap.collect}) or in steps of bounded work
 * ({@link CollectedHeap.step}) between which the program runs on; then it must tell of every reference that it stores, by {@link CollectedHeap.wrote}
 * (the barrier of Dijkstra and others: the block pointed to is marked), and a block allocated during a collection survives it. A collection always starts
 * again from the roots before it sweeps. `free` still works, for what the program knows to be dead.
 *
 * Dijkstra, Lamport, Martin, Scholten, Steffens: On-the-Fly Garbage Collection (1978).
 */
export class CollectedHeap extends Wrapper {
  readonly #trace: CollectorOptions["trace"];
  readonly #finalize: (address: number) => void;
  readonly #threshold: number;
  readonly #roots = new Map<number, number>();
  readonly #scanners: ((visit: (reference: number) => void) => void)[] = [];
  /** Reached in this collection. */
  readonly #marked = new Set<number>();
  /** Reached, but not yet traced. */
  readonly #grey: number[] = [];
  /** Blocks still to be looked at by the sweep. */
  #unswept: number[] = [];
  #phase: CollectionPhase = "idle";
  #allocated = 0;
  #collections = 0;
  readonly #mark = (reference: number): void => {
    if (this.#marked.has(reference) || !this.inner.owns(reference)) return;
    this.#marked.add(reference);
    this.#grey.push(reference);
  };

  constructor(inner: Allocator, options: CollectorOptions) {
    super(inner);
    this.#trace = options.trace;
    this.#finalize = options.finalize ?? (() => undefined);
    this.#threshold = options.thresholdBytes ?? Infinity;
  }

  /** Where the collection under way stands. */
  get phase(): CollectionPhase {
    return this.#phase;
  }

  /** How many collections have ended. */
  get collections(): number {
    return this.#collections;
  }

  /** Keeps a block alive, and what it reaches. As often as it is added it has to be removed. */
  addRoot(address: number): void {
    if (!this.inner.owns(address)) throw new HeapError("wild-free", address, "a root must be a live block");
    this.#roots.set(address, (this.#roots.get(address) ?? 0) + 1);
    if (this.#phase === "mark") this.#mark(address);
  }

  /** Takes one {@link CollectedHeap.addRoot} back. @throws HeapError `wild-free` where the block is no root. */
  removeRoot(address: number): void {
    const count = this.#roots.get(address);
    if (count === undefined) throw new HeapError("wild-free", address, "the block is no root");
    if (count === 1) this.#roots.delete(address);
    else this.#roots.set(address, count - 1);
  }

  /** Adds roots that are asked for at each collection: a stack, a table. */
  addRootScanner(scan: (visit: (reference: number) => void) => void): void {
    this.#scanners.push(scan);
  }

  /** Tells that a reference to `to` was stored in a live block, while a collection may be under way. */
  wrote(to: number): void {
    if (this.#phase === "mark") this.#mark(to);
  }

  #admit(address: number, size: number): number {
    if (address === NO_ADDRESS) return address;
    this.#allocated += size;
    // New blocks are marked and traced: what they point to was stored with the barrier or comes from a marked block.
    if (this.#phase !== "idle") this.#marked.add(address);
    return address;
  }

  #prepare(): void {
    if (this.#allocated >= this.#threshold && this.#phase === "idle") this.collect();
  }

  /** Allocates; collects first where it is due, and where memory has run out. The new block is kept until the next collection starts. */
  override allocate(size: number, alignment = 0, hint = 0): number {
    this.#prepare();
    let address = this.inner.allocate(size, alignment, hint);
    if (address === NO_ADDRESS && this.collect() > 0) address = this.inner.allocate(size, alignment, hint);
    return this.#admit(address, size);
  }

  /** Frees at once, without finalising. @throws HeapError `bad-option` for a root. */
  override free(address: number): void {
    if (this.#roots.has(address)) throw new HeapError("bad-option", address, "a root cannot be freed");
    this.inner.free(address);
    this.#marked.delete(address);
  }

  /** Resizes. A block that moves has to be reached by its new address; a root moves along. */
  override resize(address: number, size: number): number {
    const to = this.inner.resize(address, size);
    if (to === NO_ADDRESS || to === address) return to;
    this.#marked.delete(address);
    const count = this.#roots.get(address);
    if (count !== undefined) {
      this.#roots.delete(address);
      this.#roots.set(to, count);
    }
    if (this.#phase === "mark") this.#mark(to);
    else if (this.#phase === "sweep") this.#marked.add(to);
    return to;
  }

  #start(): void {
    this.#marked.clear();
    this.#grey.length = 0;
    this.#phase = "mark";
    this.#allocated = 0;
    this.#markRoots();
  }

  #markRoots(): void {
    for (const root of this.#roots.keys()) this.#mark(root);
    for (const scan of this.#scanners) scan(this.#mark);
  }

  /**
   * Does up to `work` units of a collection: a unit traces or sweeps one block. Starts one where none is under way.
   *
   * @returns whether the collection has ended.
   */
  step(work: number): boolean {
    if (this.#phase === "idle") this.#start();
    let left = work;
    while (this.#phase === "mark" && left > 0) {
      const block = this.#grey.pop();
      if (block !== undefined) {
        if (this.inner.owns(block)) this.#trace(block, this.#mark);
        left--;
        continue;
      }
      // Roots may have changed without a barrier: what they reach now is marked too before anything is swept.
      this.#markRoots();
      if (this.#grey.length > 0) continue;
      this.#phase = "sweep";
      this.#unswept = [];
      this.inner.walk((address) => this.#unswept.push(address));
    }
    while (this.#phase === "sweep" && left-- > 0) {
      const block = this.#unswept.pop();
      if (block === undefined) this.#finish();
      else if (!this.#marked.has(block) && this.inner.owns(block)) {
        this.#finalize(block);
        this.inner.free(block);
      }
    }
    return this.#phase === "idle";
  }

  #finish(): void {
    this.#phase = "idle";
    this.#marked.clear();
    this.#collections++;
  }

  /** Collects to the end, a collection under way first abandoned. @returns how many blocks were freed. */
  collect(): number {
    const before = this.inner.stats().liveBlocks;
    this.#start();
    while (!this.step(1024));
    return before - this.inner.stats().liveBlocks;
  }

  /** Ends all lives without finalising, the roots' too. */
  override reset(): void {
    this.inner.reset();
    this.#roots.clear();
    this.#finish();
  }

  /** Checks the allocator behind, and that every root is live. */
  override check(): void {
    this.inner.check();
    for (const root of this.#roots.keys())
      if (!this.inner.owns(root)) throw new HeapError("corrupt", root, "a root is a live block");
  }
}
