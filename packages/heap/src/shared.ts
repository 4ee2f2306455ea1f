import { BaseAllocator, NO_ADDRESS, requireInvariant, requireRequest } from "./allocator.ts";
import type { HeapStats } from "./allocator.ts";
import { HeapError } from "./errors.ts";
import type { BlockMemory } from "./ports.ts";
import {
  BATCH,
  classOf,
  HEIR,
  INBOX,
  LOCK,
  RING,
  RUN_SIZES,
  RUN_WORDS,
  RUNS,
  SharedLayout,
  STATE,
} from "./shared-layout.ts";
import { SharedPages } from "./shared-pages.ts";
import { SIZE_CLASSES, SLAB_BYTES, SMALL_BYTES } from "./size-classes.ts";
import { BITS, listOf, MAGAZINE_WORDS, SLAB_WORDS, Slabs, slotSizeOf } from "./slabs.ts";

/** How a shared heap is formatted. */
export interface SharedOptions {
  /** First byte, a multiple of 8; 0 by default. */
  readonly start?: number;
  /** One past the last byte; by default the end of the buffer. */
  readonly end?: number;
  /** How many workers can be attached at once, 1 … 64; 8 by default. */
  readonly slots?: number;
}

const OWNER = 4;
const LIVE_RUN = 1;
const CACHED_RUN = 3;
/** Words of a ring: how many blocks were taken in (the owner's), and put in (the sender's). Counters wrap. */
const TAKEN = 4;
const PUT = 8;

/** Bytes of a shared buffer, whose words may be read by others. */
class SharedBytes implements BlockMemory {
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;

  constructor(buffer: SharedArrayBuffer) {
    this.#bytes = new Uint8Array(buffer);
    this.#words = new Int32Array(buffer, 0, buffer.byteLength >>> 2);
  }
  fill(address: number, bytes: number, value: number): void {
    this.#bytes.fill(value, address, address + bytes);
  }
  copy(from: number, to: number, bytes: number): void {
    this.#bytes.copyWithin(to, from, from + bytes);
  }
  load32(address: number): number {
    return this.#words[address >>> 2]!;
  }
  store32(address: number, value: number): void {
    this.#words[address >>> 2] = value;
  }
}

/**
 * A general heap in a `SharedArrayBuffer` that many workers use at once. All state is in the buffer: a worker attaches with the buffer alone, and
 * a copy of the bytes is a copy of the heap.
 *
 * Each worker has a slot with slabs and magazines of its own and allocates without atomics. A block that another worker's slab holds is freed into a ring, handed
 * over 64 at a time with one atomic store, and the owner takes them in when it next runs out ({@link SharedHeap.flush} hands over what is left). Double frees are
 * detected at once within a worker, and at the latest when they are taken in between workers. Blocks above 1 KiB are runs of pages.
 */
export class SharedHeap extends BaseAllocator {
  readonly #layout: SharedLayout;
  readonly #pages: SharedPages;
  readonly #slabs: Slabs;
  readonly #records: Int32Array;
  readonly #magazines: Int32Array;
  readonly #base: number;
  readonly #limit: number;
  /** The slot of this worker. */
  readonly slot: number;
  #isAttached = true;

  private constructor(layout: SharedLayout, slot: number) {
    super(new SharedBytes(layout.words.buffer as SharedArrayBuffer));
    this.#layout = layout;
    this.#pages = new SharedPages(layout);
    this.slot = slot;
    this.#records = layout.records;
    this.#magazines = layout.magazines(slot);
    this.#base = layout.base;
    this.#limit = layout.pages * SLAB_BYTES;
    const arrays = [this.#magazines, layout.firsts(slot)];
    const ranges = { takeSlab: () => this.#takeSlab(), giveSlab: (slab: number) => this.#giveSlab(slab) };
    this.#slabs = new Slabs(ranges, this.#records, () => arrays.shift() ?? new Int32Array(0));
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
    return this.#allocateSmall(classOf(size));
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
    if (size <= SMALL_BYTES && alignment <= SMALL_BYTES) {
      let list = classOf(Math.max(size, alignment));
      while (alignment > 8 && (SIZE_CLASSES[list] ?? SLAB_BYTES) % alignment !== 0) list++;
      return this.#allocateSmall(list);
    }
    const pages = Math.max(Math.ceil(size / SLAB_BYTES), 1);
    if (pages >= this.#layout.pages) return NO_ADDRESS;
    const aligned = Math.max(alignment / SLAB_BYTES, 1);
    let page = aligned === 1 ? this.#cachedRun(pages) : -1;
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

  /** A run that this worker has freed before, or −1. */
  #cachedRun(pages: number): number {
    const { words } = this.#layout;
    const stack = this.#runStack(pages);
    const count = pages > RUN_SIZES ? 0 : words[stack]!;
    if (count === 0) return -1;
    words[stack] = count - 1;
    return words[stack + count]!;
  }

  #runStack(pages: number): number {
    return this.#layout.slot(this.slot) + RUNS + (pages - 1) * RUN_WORDS;
  }

  #takeSlab(): number {
    let page = this.#cachedRun(1);
    if (page < 0) page = this.#pages.take(1, 1, 0);
    if (page < 0) return 0;
    this.#records[page * SLAB_WORDS] = 0;
    this.#records[page * SLAB_WORDS + OWNER] = this.slot;
    return page * SLAB_WORDS;
  }

  #giveSlab(slab: number): void {
    this.#records[slab] = 0;
    this.#pages.give(slab / SLAB_WORDS, 1);
  }

  /** Own blocks at once, others' into a ring to their owner. */
  free(address: number): void {
    const offset = address - this.#base;
    const slab = (offset >>> 12) * SLAB_WORDS;
    const header = this.#records[slab]!;
    if (!(header < 0) || offset >= this.#limit || offset < 0) this.#freeRun(address, offset);
    else if (this.#records[slab + OWNER] === this.slot) this.#freeOwn(address, offset, header);
    else this.#freeFar(address, offset, this.#records[slab + OWNER]!);
  }

  #freeOwn(address: number, offset: number, header: number): void {
    const unit = offset >>> 3;
    const word = (unit >>> 9) * SLAB_WORDS + BITS + ((unit >>> 5) & 15);
    const bits = this.#records[word]!;
    const bit = 1 << unit;
    if ((bits & bit) === 0 || unit * 8 !== offset) this.#throwMisuse(address, offset);
    this.#records[word] = bits ^ bit;
    const magazine = listOf(header) * MAGAZINE_WORDS;
    if (this.#magazines[magazine] === MAGAZINE_WORDS - 1) this.#slabs.spill(listOf(header));
    const count = this.#magazines[magazine]! + 1;
    this.#magazines[magazine] = count;
    this.#magazines[magazine + count] = unit;
  }

  #freeFar(address: number, offset: number, owner: number): void {
    const unit = offset >>> 3;
    const bits = this.#records[(unit >>> 9) * SLAB_WORDS + BITS + ((unit >>> 5) & 15)]!;
    if ((bits & (1 << unit)) === 0 || unit * 8 !== offset) this.#throwMisuse(address, offset);
    const { words } = this.#layout;
    const ring = this.#layout.outgoing(this.slot, owner);
    const put = words[ring + PUT]!;
    if (((put - words[ring + TAKEN]!) | 0) >= RING) this.#sendAlone(owner, unit);
    else {
      words[ring + 16 + (put & (RING - 1))] = unit;
      words[ring + PUT] = (put + 1) | 0;
      if (((put + 1) & (BATCH - 1)) === 0) this.#send(owner);
    }
  }

  /** Hands over what is in the ring to a slot: one atomic store for many blocks. */
  #send(owner: number): void {
    const { words } = this.#layout;
    const ring = this.#layout.outgoing(this.slot, owner);
    if (words[ring] !== words[ring + PUT]) Atomics.store(words, ring, words[ring + PUT]!);
  }

  /** With a full ring: puts the block before what is in the inbox, a chain through the freed blocks' own first words. */
  #sendAlone(owner: number, unit: number): void {
    const { words } = this.#layout;
    const inbox = this.#layout.slot(owner) + INBOX;
    let head = Atomics.load(words, inbox);
    for (;;) {
      words[this.#wordOf(unit)] = head;
      const seen = Atomics.compareExchange(words, inbox, head, unit);
      if (seen === head) return;
      head = seen;
    }
  }

  /** The first word of a block. */
  #wordOf(unit: number): number {
    return (this.#base >>> 2) + unit * 2;
  }

  /** Takes in what others have freed of this slot and of those it is heir to. @returns whether there was anything. Throws the first misuse at the end. */
  #takeIn(): boolean {
    const { words, slots } = this.#layout;
    let any = false;
    const misuse: HeapError[] = [];
    const free = (unit: number): boolean => {
      any = true;
      try {
        this.free(this.#base + unit * 8);
      } catch (error) {
        if (!(error instanceof HeapError)) throw error;
        misuse.push(error);
        return false;
      }
      return true;
    };
    for (let slot = 0; slot < slots; slot++) {
      const start = this.#layout.slot(slot);
      if (slot !== this.slot && words[start + HEIR] !== this.slot + 1) continue;
      for (let from = 0; from < slots; from++) {
        const ring = this.#layout.outgoing(from, slot);
        const sent = Atomics.load(words, ring);
        let taken = words[ring + TAKEN]!;
        if (taken === sent) continue;
        for (; taken !== sent; taken = (taken + 1) | 0) free(words[ring + 16 + (taken & (RING - 1))]!);
        Atomics.store(words, ring + TAKEN, taken);
      }
      if (Atomics.load(words, start + INBOX) === 0) continue;
      let unit = Atomics.exchange(words, start + INBOX, 0);
      while (unit !== 0) {
        const next = words[this.#wordOf(unit)]!;
        // The link of a block that is in two chains leads where the second one put it, perhaps back: go no further.
        unit = free(unit) ? next : 0;
      }
    }
    for (const first of misuse) throw first;
    return any;
  }

  #freeRun(address: number, offset: number): void {
    const record = (offset >>> 12) * SLAB_WORDS;
    if (!(offset > 0 && offset < this.#limit) || offset % SLAB_BYTES !== 0) this.#throwMisuse(address, offset);
    const state = Atomics.load(this.#records, record);
    const cached = (state & ~3) | CACHED_RUN;
    if ((state & 3) !== LIVE_RUN || Atomics.compareExchange(this.#records, record, state, cached) !== state)
      this.#throwMisuse(address, offset);
    const pages = state >>> 2;
    const { words } = this.#layout;
    const stack = this.#runStack(pages);
    if (pages <= RUN_SIZES && words[stack]! < RUN_WORDS - 1) {
      const count = words[stack]! + 1;
      words[stack] = count;
      words[stack + count] = offset / SLAB_BYTES;
      return;
    }
    this.#records[record] = 0;
    this.#pages.give(offset / SLAB_BYTES, pages);
  }

  /** Gives cached runs and wholly free slabs to all. @returns whether there were any. */
  #giveBack(): boolean {
    const { words } = this.#layout;
    let any = this.#slabs.giveIdle();
    for (let pages = 1; pages <= RUN_SIZES; pages++) {
      const stack = this.#runStack(pages);
      for (; words[stack]! > 0; any = true) {
        const page = words[stack + words[stack]!]!;
        words[stack] = words[stack]! - 1;
        this.#records[page * SLAB_WORDS] = 0;
        this.#pages.give(page, pages);
      }
    }
    return any;
  }

  /** Slow, for the message. */
  #throwMisuse(address: number, offset: number): never {
    const record = (offset >>> 12) * SLAB_WORDS;
    const header = this.#records[record] ?? 0;
    const isBlock = offset > 0 && offset < this.#limit && offset % (header < 0 ? 8 : SLAB_BYTES) === 0;
    const isSlot = header < 0 ? (offset % SLAB_BYTES) % slotSizeOf(header) === 0 : (header & 3) === CACHED_RUN;
    throw new HeapError(isBlock && isSlot ? "double-free" : "wild-free", address);
  }

  /** Hands over what is left in rings, and takes in what others have freed. Before a worker waits for long. */
  flush(): void {
    for (let slot = 0; slot < this.#layout.slots; slot++) this.#send(slot);
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
   * What the worker had half done is lost at worst to the extent of one block; a slot is listed anew from the bits of its slabs.
   */
  adopt(slot: number): void {
    if (slot === this.slot || !(slot >= 0 && slot < this.#layout.slots)) throw new HeapError("bad-option", slot);
    this.#layout.words[this.#layout.slot(slot) + HEIR] = this.slot + 1;
    this.#takeOver(slot);
    Atomics.store(this.#layout.words, this.#layout.slot(slot) + STATE, 2);
  }

  #takeOver(slot: number): void {
    const { words, pages, slots } = this.#layout;
    this.#layout.magazines(slot).fill(0);
    this.#layout.firsts(slot).fill(0);
    for (let page = 1; page < pages; page++) {
      const slab = page * SLAB_WORDS;
      if (!(this.#records[slab]! < 0) || this.#records[slab + OWNER] !== slot) continue;
      this.#records[slab + OWNER] = this.slot;
      this.#slabs.adopt(slab);
    }
    if (slot !== this.slot) this.#takeRuns(slot);
    for (let to = 0; to < slots; to++) {
      const ring = this.#layout.outgoing(slot, to);
      Atomics.store(words, ring, words[ring + PUT]!);
    }
    this.#takeIn();
  }

  #takeRuns(slot: number): void {
    const { words } = this.#layout;
    for (let pages = 1; pages <= RUN_SIZES; pages++) {
      const stack = this.#layout.slot(slot) + RUNS + (pages - 1) * RUN_WORDS;
      for (let at = 1; at <= Math.min(words[stack]!, RUN_WORDS - 1); at++) {
        this.#records[words[stack + at]! * SLAB_WORDS] = 0;
        this.#pages.give(words[stack + at]!, pages);
      }
      words[stack] = 0;
    }
  }

  #requireAttached(): void {
    if (!this.#isAttached) throw new HeapError("destroyed", this.slot);
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
    let liveBlocks = 0;
    let liveBytes = 0;
    this.walk((_address, bytes) => {
      liveBlocks++;
      liveBytes += bytes;
    });
    return {
      liveBlocks,
      liveBytes,
      reservedBytes: this.#limit,
      metadataBytes: this.#base - this.#layout.first * 4,
      sourceCalls: 0,
    };
  }

  /** Checks all pages, and this worker's slabs and magazines. Only while nobody works. */
  check(): void {
    this.#pages.check();
    let listed = 0;
    for (let page = 1; page < this.#layout.pages; page++) {
      const record = page * SLAB_WORDS;
      const header = this.#records[record]!;
      requireInvariant(header === 0 || !this.#pages.isFree(page), page, "a page with a record is taken");
      if (header < 0 && this.#records[record + OWNER] === this.slot && this.#slabs.checkSlab(record)) listed++;
    }
    this.#slabs.check(listed);
  }

  /** Blocks that are freed, but have not yet reached their owner. */
  #underWay(): Set<number> {
    const { words, slots } = this.#layout;
    const units = new Set<number>();
    for (let slot = 0; slot < slots; slot++) {
      for (
        let unit = words[this.#layout.slot(slot) + INBOX]!;
        unit !== 0 && !units.has(unit);
        unit = words[this.#wordOf(unit)] ?? 0
      )
        units.add(unit);
      for (let to = 0; to < slots; to++) {
        const ring = this.#layout.outgoing(slot, to);
        for (let at = words[ring + TAKEN]!; at !== words[ring + PUT]!; at = (at + 1) | 0)
          units.add(words[ring + 16 + (at & (RING - 1))]!);
      }
    }
    return units;
  }

  /** Visits every worker's live blocks, in address order. */
  walk(visit: (address: number, bytes: number) => void): void {
    const underWay = this.#underWay();
    for (let page = 1; page < this.#layout.pages; page++) {
      const header = this.#records[page * SLAB_WORDS]!;
      const start = this.#base + page * SLAB_BYTES;
      if (header > 0 && (header & 3) === LIVE_RUN) visit(start, (header >>> 2) * SLAB_BYTES);
      const size = header < 0 ? slotSizeOf(header) : SLAB_BYTES;
      for (let within = 0; header < 0 && within + size <= SLAB_BYTES; within += size)
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
    this.allocate = (size) => {
      throw new HeapError("destroyed", size);
    };
  }
}
