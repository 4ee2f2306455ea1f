import { measure, moveBlock, NO_ADDRESS, requireRequest } from "./allocator.ts";
import type { Allocator, HeapStats } from "./allocator.ts";
import { HeapError } from "./errors.ts";
import type { BlockMemory } from "./ports.ts";
import { checkShared } from "./shared-check.ts";
import { COLLECTING, HEIR, IN_USE, SharedLayout, STATE } from "./shared-layout.ts";
import type { SharedTarget } from "./shared-layout.ts";
import { SharedPages } from "./shared-pages.ts";
import { RemoteFrees } from "./shared-remote.ts";
import { KEPT_RUN, keptRun, KeptRuns, LIVE_RUN, liveRun, pagesOf } from "./shared-runs.ts";
import { CLASS_OF_UNITS, classFor, SLAB_BYTES, SMALL_BYTES } from "./size-classes.ts";
import {
  adopt,
  BITS,
  fill,
  found,
  giveIdle,
  LIST_WORDS,
  listOf,
  MAGAZINE_DEPTH,
  relist,
  SLAB_WORDS,
  slabAt,
  slotSizeOf,
} from "./slabs.ts";

/** How a shared heap is formatted. */
export interface SharedOptions {
  /** First byte, a multiple of 8; 0 by default. */
  readonly start?: number;
  /** One past the last byte; by default the end of the buffer. Of a `WebAssembly.Memory` that is to grow with the heap, how far it may. */
  readonly end?: number;
  /** How many workers can be attached at once, 1 … 64; 8 by default. */
  readonly slots?: number;
}

/**
 * A general heap in a `SharedArrayBuffer`, or a shared `WebAssembly.Memory` that grows with it, that many workers use at once. All state is in the buffer: a worker attaches with the buffer alone, and
 * a copy of the bytes is a copy of the heap.
 *
 * Each worker has a slot with slabs and magazines of its own and allocates without atomics. A block that another worker's slab holds is freed into a ring, handed
 * over 64 at a time with one atomic store, and the owner takes them in when it next runs out ({@link SharedHeap.flush} hands over what is left). Misuse is
 * detected at once in a worker's own slabs; of others' blocks by the owner, when it takes them in. Blocks above 1 KiB are runs of pages.
 */
export class SharedHeap implements Allocator {
  /** What a block is moved with. */
  readonly #memory: Pick<BlockMemory, "copy"> = { copy: (from, to, bytes) => this.#copy(from, to, bytes) };
  /** All bytes of the memory, as far as a block was ever moved. */
  #bytes: Uint8Array = new Uint8Array(0);
  readonly #layout: SharedLayout;
  readonly #pages: SharedPages;
  readonly #remote: RemoteFrees;
  readonly #runs: KeptRuns;
  /** Takes a block in that another worker has freed. */
  readonly #takeBack: (unit: number) => void;
  readonly #records: Int32Array;
  readonly #owners: Int8Array;
  readonly #magazines: Int32Array;
  readonly #base: number;
  readonly #limit: number;
  /** The slot of this worker. */
  readonly slot: number;
  #isAttached = true;
  /** The first misuse that was found among the blocks taken in. */
  #misuse: HeapError | null = null;

  private constructor(layout: SharedLayout, slot: number) {
    this.#layout = layout;
    this.#pages = new SharedPages(layout, slot);
    this.#runs = new KeptRuns(layout, this.#pages, slot);
    this.#remote = new RemoteFrees(layout, this.#pages, this.#runs, slot);
    this.#takeBack = (unit) => this.#freeBack(unit);
    this.slot = slot;
    this.#records = layout.records;
    this.#owners = layout.owners;
    this.#magazines = layout.magazines(slot);
    this.#base = layout.base;
    this.#limit = layout.pages * SLAB_BYTES;
  }

  /** Makes an empty heap in the memory and attaches to it. @throws HeapError `bad-option` where the memory is too small. */
  static create(memory: SharedTarget, options: SharedOptions = {}): SharedHeap {
    const { byteLength } = "buffer" in memory ? memory.buffer : memory;
    const { start = 0, end = byteLength, slots = 8 } = options;
    return SharedHeap.#enter(SharedLayout.format(memory, start, end, slots));
  }

  /**
   * Attaches to the heap that another worker has made. A slot whose worker is gone is used again, with all that was its own.
   *
   * @throws HeapError `bad-format` where there is no heap, `bad-option` where every slot has a worker.
   */
  static attach(memory: SharedTarget, start = 0): SharedHeap {
    return SharedHeap.#enter(SharedLayout.open(memory, start));
  }

  /**
   * Attaches to a heap whose workers are all gone: one that was read back from a file.
   *
   * @throws HeapError `bad-format` where there is no heap.
   */
  static reopen(memory: SharedTarget, start = 0): SharedHeap {
    const layout = SharedLayout.open(memory, start);
    const state = (slot: number): number => layout.slot(slot) + STATE;
    const slots = Array.from({ length: layout.slots }, (_, slot) => slot).filter(
      (slot) => layout.words[state(slot)] !== 0,
    );
    for (const slot of slots) {
      layout.words[state(slot)] = 2;
      layout.words[layout.slot(slot) + HEIR] = 0;
    }
    const heap = SharedHeap.#enter(layout);
    for (const slot of slots)
      if (slot !== heap.slot) {
        layout.words[state(slot)] = 1;
        heap.adopt(slot);
      }
    return heap;
  }

  static #enter(layout: SharedLayout): SharedHeap {
    const { words } = layout;
    for (const wanted of [2, 0])
      for (let slot = 0; slot < layout.slots; slot++) {
        const state = layout.slot(slot) + STATE;
        if (Atomics.compareExchange(words, state, wanted, 3) !== wanted) continue;
        // Not while its heir takes in what was sent to it.
        const heir = layout.slot(slot) + HEIR;
        const seen = Atomics.load(words, heir);
        const isOurs = (seen & COLLECTING) === 0 && Atomics.compareExchange(words, heir, seen, 0) === seen;
        if (isOurs) {
          const heap = new SharedHeap(layout, slot);
          if (wanted === 2) heap.#takeOver(slot);
          Atomics.store(words, state, 1);
          return heap;
        }
        Atomics.store(words, state, wanted);
      }
    throw new HeapError("bad-option", layout.slots, "every slot of the shared heap has a worker");
  }

  /** Small: the top of a stack and one bit. Larger: a run of pages. */
  allocate(size: number, alignment = 0, _hint = 0): number {
    if (size >>> 0 !== size || alignment !== 0 || size > SMALL_BYTES) return this.#allocateOdd(size, alignment);
    return this.#allocateSmall(CLASS_OF_UNITS[(size + 7) >>> 3]!);
  }

  #allocateSmall(list: number): number {
    const magazine = list * LIST_WORDS;
    const count = this.#magazines[magazine]!;
    if (count === 0) return this.#refill(list);
    const unit = this.#magazines[magazine + count]!;
    this.#magazines[magazine] = count - 1;
    const word = (unit >>> 9) * SLAB_WORDS + BITS + ((unit >>> 5) & 15);
    this.#records[word] = this.#records[word]! | (1 << unit);
    return this.#base + unit * 8;
  }

  #refill(list: number): number {
    this.#requireAttached();
    if (this.#takeIn() && this.#magazines[list * LIST_WORDS]! > 0) return this.#allocateSmall(list);
    if (this.#fill(list) || (this.#reclaim() && this.#fill(list))) return this.#allocateSmall(list);
    return NO_ADDRESS;
  }

  /** Fills an empty magazine out of the slabs of its list, or a new one. @returns whether there is a block in it now. */
  #fill(list: number): boolean {
    if (fill(this.#records, this.#magazines, list * LIST_WORDS)) return true;
    const slab = this.#takeSlab();
    return slab !== 0 && found(this.#records, this.#magazines, list * LIST_WORDS, slab);
  }

  #allocateOdd(size: number, alignment: number): number {
    this.#requireAttached();
    requireRequest(size, alignment);
    if (size <= SMALL_BYTES && alignment <= SMALL_BYTES) return this.#allocateSmall(classFor(size, alignment));
    const pages = Math.max(Math.ceil(size / SLAB_BYTES), 1);
    if (pages >= this.#layout.pages) return NO_ADDRESS;
    const aligned = Math.max(alignment / SLAB_BYTES, 1);
    let page = aligned === 1 ? this.#runs.take(pages) : -1;
    const phase = this.#base / SLAB_BYTES;
    if (page < 0) page = this.#pages.take(pages, aligned, phase);
    if (page < 0 && (this.#takeIn() || this.#reclaim())) {
      this.#giveBack();
      page = this.#pages.take(pages, aligned, phase);
    }
    if (page < 0) return NO_ADDRESS;
    Atomics.store(this.#records, page * SLAB_WORDS, liveRun(pages));
    this.#pages.settle(page, pages, IN_USE);
    return this.#base + page * SLAB_BYTES;
  }

  #takeSlab(): number {
    const page = this.#runs.takePage();
    if (page < 0) return 0;
    this.#pages.settle(page, 1, this.slot + 1);
    return page * SLAB_WORDS;
  }

  #giveSlab(slab: number): void {
    const page = slab / SLAB_WORDS;
    if (this.#pages.hold(page, this.slot + 1)) this.#pages.give(page, 1);
  }

  /** Own blocks at once, others' on their way to the owner, without a look at what the owner writes to. */
  free(address: number): void {
    const offset = address - this.#base;
    const owner = this.#owners[offset >>> 12]! - 1;
    const unit = offset >>> 3;
    if (!(owner >= 0) || offset >= this.#limit || offset < 0) this.#freeRun(address, offset);
    else if (unit * 8 !== offset) this.#throwMisuse(address, offset);
    else if (owner !== this.slot) this.#remote.send(unit, owner);
    else {
      const slab = (offset >>> 12) * SLAB_WORDS;
      const bits = this.#records[slab + BITS + ((unit >>> 5) & 15)]!;
      if ((bits & (1 << unit)) === 0) this.#throwMisuse(address, offset);
      this.#freeOwn(unit, bits, this.#records[slab]!);
    }
  }

  /** Takes the bit of a live block of this worker's away, and puts it into its magazine. */
  #freeOwn(unit: number, bits: number, header: number): void {
    this.#records[(unit >>> 9) * SLAB_WORDS + BITS + ((unit >>> 5) & 15)] = bits ^ (1 << unit);
    const magazine = listOf(header);
    const count = this.#magazines[magazine]!;
    if (count === MAGAZINE_DEPTH) relist(this.#records, this.#magazines, slabAt(unit * 8));
    else {
      this.#magazines[magazine] = count + 1;
      this.#magazines[magazine + count + 1] = unit;
    }
  }

  /** Takes in a block that another worker has freed: looks whether it is live. */
  #freeBack(unit: number): void {
    const slab = (unit >>> 9) * SLAB_WORDS;
    const bits = this.#records[slab + BITS + ((unit >>> 5) & 15)]!;
    const owner = this.#owners[unit >>> 9]! - 1;
    if (owner >= 0 && owner !== this.slot) this.#remote.send(unit, owner);
    else if (owner >= 0 && (bits & (1 << unit)) !== 0) this.#freeOwn(unit, bits, this.#records[slab]!);
    else this.#misuse ??= this.#misuseAt(this.#base + unit * 8, unit * 8);
  }

  /** Takes in what others have freed of this slot and of those it is heir to. @returns whether there was anything. Throws the first misuse at the end. */
  #takeIn(): boolean {
    const any = this.#remote.collect(this.#takeBack);
    const misuse = this.#misuse;
    this.#misuse = null;
    if (misuse !== null) throw misuse;
    return any;
  }

  #freeRun(address: number, offset: number): void {
    const record = (offset >>> 12) * SLAB_WORDS;
    if (!(offset > 0 && offset < this.#limit) || offset % SLAB_BYTES !== 0) this.#throwMisuse(address, offset);
    const state = Atomics.load(this.#records, record);
    const kept = keptRun(pagesOf(state), this.slot);
    if ((state & 3) !== LIVE_RUN || state < 0 || Atomics.compareExchange(this.#records, record, state, kept) !== state)
      this.#throwMisuse(address, offset);
    this.#runs.keep(offset / SLAB_BYTES, pagesOf(state));
  }

  /** Gives wholly free slabs and what any worker keeps to all. @returns whether there was anything. */
  #giveBack(): boolean {
    const slabs = giveIdle(this.#records, this.#magazines, (slab) => this.#giveSlab(slab));
    return this.#runs.giveEverything() || slabs;
  }

  /** Gives back what is idle, that of workers that have detached too. @returns whether there was anything. */
  #reclaim(): boolean {
    let any = false;
    for (let slot = 0; slot < this.#layout.slots; slot++) any = this.#inherit(slot, 2) || any;
    return this.#giveBack() || any;
  }

  #throwMisuse(address: number, offset: number): never {
    throw this.#misuseAt(address, offset);
  }

  /** Slow, for the message. */
  #misuseAt(address: number, offset: number): HeapError {
    const record = (offset >>> 12) * SLAB_WORDS;
    const header = this.#records[record] ?? 0;
    const isBlock = offset > 0 && offset < this.#limit && offset % (header < 0 ? 8 : SLAB_BYTES) === 0;
    const isSlot = header < 0 ? (offset % SLAB_BYTES) % slotSizeOf(header) === 0 : (header & 3) === KEPT_RUN;
    return new HeapError(isBlock && isSlot ? "double-free" : "wild-free", address);
  }

  /** Hands over what is left in rings, and takes in what others have freed. Before a worker waits for long. */
  flush(): void {
    this.#remote.flush();
    // What was taken in makes room in the rings for blocks that wait; no more rounds than pages, as others may go on.
    for (let round = 0; this.#takeIn() && round < this.#layout.pages; round++) this.#remote.flush();
  }

  /** Leaves the heap: live blocks stay live, and the slot, with its slabs, waits for its next worker or one that runs out of memory. Any later use throws `destroyed`. */
  detach(): void {
    this.#requireAttached();
    this.flush();
    this.#giveBack();
    this.#isAttached = false;
    this.allocate =
      this.free =
      this.resize =
        (argument): never => {
          throw new HeapError("destroyed", argument);
        };
    Atomics.store(this.#layout.words, this.#layout.slot(this.slot) + STATE, 2);
  }

  /**
   * Takes over the slabs of a worker that has ended without detaching. The caller knows that it has ended. Of several that try, one does.
   *
   * What it had in its hands is found: the pages it was about to take or to give, the slots of its slabs by their bits, the frees on their way to it and from it. Lost at worst are
   * one block, which stays live, or a page of frees that it was about to hand over because a ring was full.
   *
   * @throws HeapError `bad-option` where the slot has no worker, or this one.
   */
  adopt(slot: number): void {
    this.#requireAttached();
    if (!(slot >= 0 && slot < this.#layout.slots) || slot === this.slot) throw new HeapError("bad-option", slot);
    if (!this.#inherit(slot, 1)) throw new HeapError("bad-option", slot, "the slot has no worker to take over");
  }

  /** Takes over a slot in a state that has no heir, and becomes its heir. @returns whether it was such a slot. */
  #inherit(slot: number, state: number): boolean {
    const { words } = this.#layout;
    const start = this.#layout.slot(slot);
    if (words[start + HEIR] !== 0 || words[start + STATE] !== state) return false;
    if (Atomics.compareExchange(words, start + STATE, state, 3) !== state) return false;
    // Another worker may have been all through this meanwhile; from here on nobody else is.
    const isOurs = Atomics.load(words, start + HEIR) === 0;
    if (isOurs) {
      this.#takeOver(slot);
      Atomics.store(words, start + HEIR, this.slot + 1);
    }
    Atomics.store(words, start + STATE, isOurs ? 2 : state);
    return isOurs;
  }

  #takeOver(slot: number): void {
    const { pages, words, slots } = this.#layout;
    this.#layout.magazines(slot).fill(0);
    for (let page = 1; page < pages; page++) {
      if (this.#owners[page] !== slot + 1) continue;
      if (this.#records[page * SLAB_WORDS]! < 0) {
        this.#owners[page] = this.slot + 1;
        adopt(this.#records, this.#magazines, page * SLAB_WORDS);
      } else if (this.#pages.hold(page, slot + 1)) this.#pages.give(page, 1);
    }
    this.#remote.flush(slot);
    // Whatever it was heir to has this one as heir now, and is looked at again: its worker may have ended in the midst of it.
    for (let other = 0; other < slots; other++) {
      const heir = this.#layout.slot(other) + HEIR;
      const seen = Atomics.load(words, heir);
      if (slot !== this.slot && (seen & ~COLLECTING) === slot + 1)
        Atomics.compareExchange(words, heir, seen, this.slot + 1);
    }
    this.#remote.collectOf(slot, this.#takeBack);
    this.#remote.collect(this.#takeBack);
    // What it had taken in before it ended looks like a second free.
    this.#misuse = null;
    this.#runs.recover(slot);
  }

  #requireAttached(): void {
    if (!this.#isAttached) throw new HeapError("destroyed", this.slot);
  }

  /** In place as far as the block goes, else by moving. */
  resize(address: number, size: number, alignment = 0): number {
    const usable = this.usableSize(address);
    requireRequest(size, alignment);
    return size <= usable ? address : moveBlock(this, this.#memory, address, usable, size, alignment);
  }

  #copy(from: number, to: number, bytes: number): void {
    this.#layout.reach(Math.floor((Math.max(from, to) + bytes - 1 - this.#base) / SLAB_BYTES), 1);
    const { buffer } = this.#layout.contents;
    if (buffer !== this.#bytes.buffer) this.#bytes = new Uint8Array(buffer);
    this.#bytes.copyWithin(to, from, from + bytes);
  }

  /** The size class, or the pages of the run. */
  usableSize(address: number): number {
    const offset = address - this.#base;
    if (!this.owns(address)) this.#throwMisuse(address, offset);
    const header = this.#records[(offset >>> 12) * SLAB_WORDS]!;
    return header < 0 ? slotSizeOf(header) : pagesOf(header) * SLAB_BYTES;
  }

  /** Whether a live block starts there, whoever allocated it. */
  owns(address: number): boolean {
    const offset = address - this.#base;
    if (!(offset > 0 && offset < this.#limit)) return false;
    const record = (offset >>> 12) * SLAB_WORDS;
    const header = this.#records[record]!;
    if (header >= 0) return offset % SLAB_BYTES === 0 && (header & 3) === LIVE_RUN;
    return offset % 8 === 0 && (this.#records[record + BITS + ((offset >>> 8) & 15)]! & (1 << (offset >>> 3))) !== 0;
  }

  /** A snapshot of all workers' blocks together, by walking; exact while nobody works. */
  stats(): HeapStats {
    return measure(this, this.#limit, this.#base - this.#layout.first * 4, 0);
  }

  /** Checks everything, of all workers. Only while nobody works. */
  check(): void {
    checkShared(this.#layout, this.#runs, this.#remote);
  }

  /** Visits every worker's live blocks, in address order. */
  walk(visit: (address: number, bytes: number) => void): void {
    const underWay = this.#remote.underWay();
    for (let page = 1; page < this.#layout.pages; page++) {
      const header = this.#records[page * SLAB_WORDS]!;
      const start = this.#base + page * SLAB_BYTES;
      if (header > 0 && (header & 3) === LIVE_RUN) visit(start, pagesOf(header) * SLAB_BYTES);
      const size = header < 0 ? slotSizeOf(header) : 0;
      for (let within = 0; size > 0 && within + size <= SLAB_BYTES; within += size)
        if (this.owns(start + within) && !underWay.has((start + within - this.#base) / 8)) visit(start + within, size);
    }
  }

  /** Ends the life of all blocks of all workers. Only while nobody else works. */
  reset(): void {
    const live: number[] = [];
    this.flush();
    this.walk((address) => live.push(address));
    for (const address of live) this.free(address);
    this.flush();
    this.#giveBack();
  }

  /** As reset, then detaches. */
  destroy(): void {
    this.reset();
    this.detach();
  }
}
