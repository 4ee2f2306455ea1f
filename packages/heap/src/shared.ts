import { endUse, measure, moveBlock, NO_ADDRESS, requireInvariant, requireRequest } from "./allocator.ts";
import type { Allocator, HeapStats } from "./allocator.ts";
import { HeapError } from "./errors.ts";
import type { BlockMemory } from "./ports.ts";
import { HEIR, LOCK, SharedLayout, STATE } from "./shared-layout.ts";
import { SharedPages } from "./shared-pages.ts";
import { RemoteFrees } from "./shared-remote.ts";
import { KeptRuns } from "./shared-runs.ts";
import { CLASS_OF_UNITS, classFor, SLAB_BYTES, SMALL_BYTES } from "./size-classes.ts";
import { BITS, magazineOf, MAGAZINE_WORDS, slabAt, SLAB_WORDS, Slabs, slotSizeOf } from "./slabs.ts";

/** How a shared heap is formatted. */
export interface SharedOptions {
  /** First byte, a multiple of 8; 0 by default. */
  readonly start?: number;
  /** One past the last byte; by default the end of the buffer. */
  readonly end?: number;
  /** How many workers can be attached at once, 1 … 64; 8 by default. */
  readonly slots?: number;
}

const LIVE_RUN = 1;
const CACHED_RUN = 3;
/**
 * A general heap in a `SharedArrayBuffer` that many workers use at once. All state is in the buffer: a worker attaches with the buffer alone, and
 * a copy of the bytes is a copy of the heap.
 *
 * Each worker has a slot with slabs and magazines of its own and allocates without atomics. A block that another worker's slab holds is freed into a ring, handed
 * over 64 at a time with one atomic store, and the owner takes them in when it next runs out ({@link SharedHeap.flush} hands over what is left). Misuse is
 * detected at once in a worker's own slabs; of others' blocks by the owner, when it takes them in. Blocks above 1 KiB are runs of pages.
 */
export class SharedHeap implements Allocator {
  /** What a block is moved with. */
  readonly #memory: Pick<BlockMemory, "copy">;
  readonly #layout: SharedLayout;
  readonly #pages: SharedPages;
  readonly #slabs: Slabs;
  readonly #remote: RemoteFrees;
  readonly #runs: KeptRuns;
  /** Takes a block in that another worker has freed. */
  readonly #takeBack: (unit: number) => void;
  readonly #records: Int32Array;
  readonly #owners: Uint8Array;
  readonly #magazines: Int32Array;
  readonly #base: number;
  readonly #limit: number;
  /** The slot of this worker. */
  readonly slot: number;
  #isAttached = true;
  /** The first misuse that was found among the blocks taken in. */
  #misuse: HeapError | null = null;

  private constructor(layout: SharedLayout, slot: number) {
    const bytes = new Uint8Array(layout.words.buffer);
    this.#memory = { copy: (from, to, count) => void bytes.copyWithin(to, from, from + count) };
    this.#layout = layout;
    this.#pages = new SharedPages(layout, slot);
    this.#runs = new KeptRuns(layout, this.#pages, slot);
    this.#remote = new RemoteFrees(layout, this.#runs, slot);
    this.#takeBack = (unit) => this.#freeBack(unit);
    this.slot = slot;
    this.#records = layout.records;
    this.#owners = layout.owners;
    this.#magazines = layout.magazines(slot);
    this.#base = layout.base;
    this.#limit = layout.pages * SLAB_BYTES;
    const ranges = { takeSlab: () => this.#takeSlab(), giveSlab: (slab: number) => this.#giveSlab(slab) };
    this.#slabs = new Slabs(ranges, this.#records, this.#magazines, layout.firsts(slot));
  }

  /** Makes an empty heap in the buffer and attaches to it. @throws HeapError `bad-option` where the buffer is too small. */
  static create(buffer: SharedArrayBuffer, options: SharedOptions = {}): SharedHeap {
    const { start = 0, end = buffer.byteLength, slots = 8 } = options;
    return SharedHeap.#enter(SharedLayout.format(buffer, start, end, slots));
  }

  /**
   * Attaches to the heap that another worker has made. A slot whose worker is gone is used again, with all that was its own.
   *
   * @throws HeapError `bad-format` where there is no heap, `bad-option` where every slot has a worker.
   */
  static attach(buffer: SharedArrayBuffer, start = 0): SharedHeap {
    return SharedHeap.#enter(SharedLayout.open(buffer, start));
  }

  /**
   * Attaches to a heap whose workers are all gone: one that was read back from a file.
   *
   * @throws HeapError `bad-format` where there is no heap.
   */
  static reopen(buffer: SharedArrayBuffer, start = 0): SharedHeap {
    const layout = SharedLayout.open(buffer, start);
    for (let slot = 0; slot < layout.slots; slot++)
      if (layout.words[layout.slot(slot) + STATE] === 1) layout.words[layout.slot(slot) + STATE] = 2;
    layout.words[layout.first + LOCK] = 0;
    return SharedHeap.#enter(layout);
  }

  static #enter(layout: SharedLayout): SharedHeap {
    for (const wanted of [2, 0])
      for (let slot = 0; slot < layout.slots; slot++)
        if (Atomics.compareExchange(layout.words, layout.slot(slot) + STATE, wanted, 1) === wanted) {
          const heap = new SharedHeap(layout, slot);
          if (wanted === 2) heap.#takeOver(slot);
          return heap;
        }
    throw new HeapError("bad-option", layout.slots, "every slot of the shared heap has a worker");
  }

  /** Small: the top of a stack and one bit. Larger: a run of pages. */
  allocate(size: number, alignment = 0, _hint = 0): number {
    if (size >>> 0 !== size || alignment !== 0 || size > SMALL_BYTES) return this.#allocateOdd(size, alignment);
    return this.#allocateSmall(CLASS_OF_UNITS[(size + 7) >>> 3]!);
  }

  #allocateSmall(list: number): number {
    const magazine = list * MAGAZINE_WORDS;
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
    if (this.#takeIn() && this.#magazines[list * MAGAZINE_WORDS]! > 0) return this.#allocateSmall(list);
    if (this.#slabs.fill(list) || (this.#giveBack() && this.#slabs.fill(list))) return this.#allocateSmall(list);
    return NO_ADDRESS;
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
    if (page < 0 && (this.#takeIn() || this.#giveBack())) {
      this.#giveBack();
      page = this.#pages.take(pages, aligned, phase);
    }
    if (page < 0) return NO_ADDRESS;
    Atomics.store(this.#records, page * SLAB_WORDS, (pages << 2) | LIVE_RUN);
    return this.#base + page * SLAB_BYTES;
  }

  #takeSlab(): number {
    const page = this.#runs.takePage();
    if (page < 0) return 0;
    this.#owners[page] = this.slot + 1;
    return page * SLAB_WORDS;
  }

  #giveSlab(slab: number): void {
    this.#records[slab] = 0;
    this.#owners[slab / SLAB_WORDS] = 0;
    this.#pages.give(slab / SLAB_WORDS, 1);
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
    const magazine = magazineOf(header);
    const count = this.#magazines[magazine]! + 1;
    if (count === MAGAZINE_WORDS) this.#slabs.list(slabAt(unit * 8));
    else {
      this.#magazines[magazine] = count;
      this.#magazines[magazine + count] = unit;
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
    const cached = (state & ~3) | CACHED_RUN;
    if ((state & 3) !== LIVE_RUN || Atomics.compareExchange(this.#records, record, state, cached) !== state)
      this.#throwMisuse(address, offset);
    this.#runs.keep(offset / SLAB_BYTES, state >>> 2);
  }

  /** Gives wholly free slabs and what any worker keeps to all. @returns whether there was anything. */
  #giveBack(): boolean {
    const slabs = this.#slabs.giveIdle();
    return this.#runs.giveEverything() || slabs;
  }

  #throwMisuse(address: number, offset: number): never {
    throw this.#misuseAt(address, offset);
  }

  /** Slow, for the message. */
  #misuseAt(address: number, offset: number): HeapError {
    const record = (offset >>> 12) * SLAB_WORDS;
    const header = this.#records[record] ?? 0;
    const isBlock = offset > 0 && offset < this.#limit && offset % (header < 0 ? 8 : SLAB_BYTES) === 0;
    const isSlot = header < 0 ? (offset % SLAB_BYTES) % slotSizeOf(header) === 0 : (header & 3) === CACHED_RUN;
    return new HeapError(isBlock && isSlot ? "double-free" : "wild-free", address);
  }

  /** Hands over what is left in rings, and takes in what others have freed. Before a worker waits for long. */
  flush(): void {
    this.#remote.flush();
    this.#takeIn();
  }

  /** Leaves the heap: the slot waits for its next worker, live blocks stay live. */
  detach(): void {
    this.flush();
    this.#giveBack();
    this.#isAttached = false;
    Atomics.store(this.#layout.words, this.#layout.slot(this.slot) + STATE, 2);
  }

  /**
   * Takes over the slabs of a worker that has ended without detaching. The caller knows that it has ended.
   *
   * What the worker had half done is lost at worst to the extent of one block or run, or of frees that waited in it for memory; a slot is listed anew from the bits of its slabs.
   */
  adopt(slot: number): void {
    if (slot === this.slot || !(slot >= 0 && slot < this.#layout.slots)) throw new HeapError("bad-option", slot);
    this.#layout.words[this.#layout.slot(slot) + HEIR] = this.slot + 1;
    this.#takeOver(slot);
    Atomics.store(this.#layout.words, this.#layout.slot(slot) + STATE, 2);
  }

  #takeOver(slot: number): void {
    this.#pages.release(slot);
    const { pages } = this.#layout;
    this.#layout.magazines(slot).fill(0);
    this.#layout.firsts(slot).fill(0);
    for (let page = 1; page < pages; page++) {
      const slab = page * SLAB_WORDS;
      if (this.#owners[page] !== slot + 1) continue;
      this.#owners[page] = this.slot + 1;
      this.#slabs.adopt(slab);
    }
    if (slot !== this.slot) this.#runs.giveAll(slot);
    this.#remote.flush(slot);
    this.#takeIn();
  }

  #requireAttached(): void {
    if (!this.#isAttached) throw new HeapError("destroyed", this.slot);
  }

  /** In place as far as the block goes, else by moving. */
  resize(address: number, size: number): number {
    const usable = this.usableSize(address);
    requireRequest(size, 0);
    return size <= usable ? address : moveBlock(this, this.#memory, address, usable, size);
  }

  /** The size class, or the pages of the run. */
  usableSize(address: number): number {
    const offset = address - this.#base;
    if (!this.owns(address)) this.#throwMisuse(address, offset);
    const header = this.#records[(offset >>> 12) * SLAB_WORDS]!;
    return header < 0 ? slotSizeOf(header) : (header >>> 2) * SLAB_BYTES;
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

  /** Checks all pages, and this worker's slabs and magazines. Only while nobody works. */
  check(): void {
    this.#pages.check();
    let listed = 0;
    for (let page = 1; page < this.#layout.pages; page++) {
      const record = page * SLAB_WORDS;
      const header = this.#records[record]!;
      requireInvariant(header === 0 || !this.#pages.isFree(page), page, "a page with a record is taken");
      requireInvariant(header < 0 === this.#owners[page]! > 0, page, "a slab has an owner");
      if (this.#owners[page] === this.slot + 1 && this.#slabs.checkSlab(record)) listed++;
    }
    this.#slabs.check(listed);
  }

  /** Visits every worker's live blocks, in address order. */
  walk(visit: (address: number, bytes: number) => void): void {
    const underWay = this.#remote.underWay();
    for (let page = 1; page < this.#layout.pages; page++) {
      const header = this.#records[page * SLAB_WORDS]!;
      const start = this.#base + page * SLAB_BYTES;
      if (header > 0 && (header & 3) === LIVE_RUN) visit(start, (header >>> 2) * SLAB_BYTES);
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
    endUse(this);
  }
}
