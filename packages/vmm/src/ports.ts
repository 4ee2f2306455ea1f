/**
 * What the virtual memory manager needs of others: small interfaces, each with a conformance suite in `@pagewright/vmm/testing`.
 *
 * Nothing here names a sibling package: a frame source, a machine or a table format fits because its methods do.
 */
import type { MemoryType } from "./rights.ts";
import type { Pfn, VirtAddr, Vpn } from "./units.ts";

// ---------------------------------------------------------------- frames

/** Wishes for a frame; the source may ignore all but `order`. */
export interface FrameHints {
  /** log2 of the frames wanted, aligned to their own size; 0 for a single frame. */
  readonly order: number;
  /** NUMA node to prefer, −1 for any. */
  readonly node: number;
  /** Cache colour to prefer, −1 for any. */
  readonly colour: number;
  /** 1 if the content can be moved to another frame later, 0 if not. */
  readonly movable: number;
}

/** Where frames come from. A taken frame has unknown bytes; a frame given back may be handed out at once. */
export interface FrameSource {
  /** Takes one block of 2^order frames (one frame without hints): its first frame, or −1 if there is none. */
  take(hints?: FrameHints): Pfn;
  /** Gives back a block that `take` returned. */
  give(pfn: Pfn, order?: number): void;
  /** Takes up to `count` single frames into `into[0 … count)`; returns how many. */
  takeMany(into: Float64Array, count: number, hints?: FrameHints): number;
  /** Gives back the single frames `frames[0 … count)`. */
  giveMany(frames: Float64Array, count: number): void;
  /** Turns a taken block into as many taken frames that are given back one by one. Absent: blocks stay blocks, and there are no 2M and 1G pages. */
  split?(pfn: Pfn, order: number): void;
}

/** A request for frames in a row, in frames throughout. */
export interface SpecialRequest {
  /** Frames in a row. */
  readonly frames: number;
  /** Alignment of the first frame, a power of two of frames. */
  readonly alignment?: number;
  /** All frames lie below this one. */
  readonly below?: Pfn;
  /** All frames lie at or above this one. */
  readonly above?: Pfn;
  /** The run crosses no multiple of this power of two of frames. */
  readonly boundary?: number;
  /** NUMA node to lie on, −1 (or absent) for any; the source may ignore it. */
  readonly node?: number;
}

/** Frames that must move before a range is free: for a run in a row, a rank, a range to take offline. */
export interface EvacuationPlan {
  /** The occupied frames, by the first of each block. */
  readonly moves: ArrayLike<number>;
  /** Opens the plan, or goes on: no free frame of the range is handed out from now on; returns what is still to be moved. */
  begin(): ArrayLike<number>;
  /** Ends the plan: the range is free for its purpose. False: something is still to be moved. */
  commit(): boolean;
  /** Drops the plan; frames that stayed are as they were. */
  cancel(): void;
}

/** A plan that takes the place of a refused request: once committed, the run that it emptied is granted. */
export interface RunPlan extends EvacuationPlan {
  /** First frame of the run. */
  readonly start: Pfn;
  /** Frames of the run. */
  readonly frames: number;
}

/** Outcome of a {@link SpecialRequest}. */
export type SpecialOutcome =
  | { readonly ok: true; readonly start: Pfn; readonly frames: number }
  | { readonly ok: false; readonly reason: string; readonly plan?: RunPlan | undefined };

/** Frames in a row below an address, aligned, within a boundary: for devices. */
export interface SpecialFrames {
  /** Grants a run, or says why not and, where moving frames would help, which. */
  request(request: SpecialRequest): SpecialOutcome;
  /** Gives a granted run back, whole. */
  release(start: Pfn, frames: number): void;
}

/** How full the frame source is. */
export interface FramePressure {
  /** Frames that `take` could still return. */
  readonly freeFrames: number;
  /** Frames that the source manages. */
  readonly totalFrames: number;
  /** Free frames at which the level changes, min ≤ low ≤ high. */
  readonly watermarks: { readonly min: number; readonly low: number; readonly high: number };
  /** `none` above the high watermark, `low` from the low one on until above the high one, `min` where only reclaim itself may take frames. */
  level(): "none" | "low" | "min";
}

/** The only way to a frame's bytes. */
export interface FrameWindow {
  /** Copies `into.length` bytes of the frame from `offset` on into `into`. */
  read(pfn: Pfn, offset: number, into: Uint8Array): void;
  /** Copies all of `from` into the frame at `offset`. */
  write(pfn: Pfn, offset: number, from: Uint8Array): void;
  /** Copies a whole frame. */
  copy(from: Pfn, to: Pfn): void;
  /** Makes all 4096 bytes of the frame zero. */
  zero(pfn: Pfn): void;
  /** {@link zero} for the first `count` frames of a list, where that is quicker than one by one. */
  zeroMany?(frames: Float64Array, count: number): void;
}

// ---------------------------------------------------------------- translations

/**
 * What a change of translations leaves to do: pages to invalidate, and frames that were set free. The frames are given back by
 * completing the plan and in no other way, so nothing can be reused while a processor may still reach it.
 */
export interface FlushSink {
  /** The translation of one page of the space became stricter, moved or vanished. */
  invalidate(vpn: Vpn): void;
  /** So many translations changed that the whole space is to be invalidated. */
  invalidateSpace(): void;
  /** A frame that held a table is in no table any more. */
  tableFrame(pfn: Pfn): void;
}

/** Receives the entries of a range one by one. */
export interface EntrySink {
  /** One present translation: page, frame, and its attributes and state (bits of rights.ts). */
  entry(vpn: Vpn, pfn: Pfn, state: number): void;
}

/** The translations of one address space. All ranges are half-open page ranges `[start, end)`. */
export interface TranslationTables {
  /** What the processor is given to use these tables (CR3's frame on x86-64); meaningless to the core. */
  readonly root: number;
  /** Frame found by the last {@link query} that returned a present state. */
  readonly frame: Pfn;
  /**
   * Sets the translation of one page, replacing any present one (which is then reported to the plan). `attributes`: rights, memory type, GLOBAL.
   * False if a table is needed and no frame is there for it: nothing changed.
   */
  map(vpn: Vpn, pfn: Pfn, attributes: number, plan: FlushSink): boolean;
  /**
   * As {@link map}, for a page without a translation whose table is there: what most faults come to, in one look at the tables. False: it is not so, or not
   * known at once; nothing changed.
   */
  fill(vpn: Vpn, pfn: Pfn, attributes: number): boolean;
  /** Removes the translations of a range; each that was present goes to `sink` with its final accessed and dirty state. */
  unmap(start: Vpn, end: Vpn, plan: FlushSink, sink: EntrySink | null): void;
  /** Sets the attributes of all present translations of a range (rights, memory type, GLOBAL: what `map` is given); accessed and dirty stay. */
  protect(start: Vpn, end: Vpn, attributes: number, plan: FlushSink): void;
  /** Attributes and state of one page; 0 if none is present. The frame is in {@link frame}. */
  query(vpn: Vpn): number;
  /**
   * Clears `bits` (ACCESSED, DIRTY) in all present translations of a range; each that had one set goes to `sink` with the state before.
   * Only cleared dirty bits are reported to the plan: a stale accessed bit loses an observation, a stale dirty bit loses data.
   */
  harvest(start: Vpn, end: Vpn, bits: number, plan: FlushSink, sink: EntrySink): void;
  /** Removes every translation of the lower half and gives all tables to the plan. The tables cannot be used any more. */
  destroy(plan: FlushSink): void;
}

/** Which pages a space and the kernel may map. Half-open. */
export interface AddressLayout {
  /** First page of user regions. */
  readonly userLow: Vpn;
  /** End of user regions. */
  readonly userHigh: Vpn;
  /** First page of kernel regions. */
  readonly kernelLow: Vpn;
  /** End of kernel regions. */
  readonly kernelHigh: Vpn;
}

/** Makes the tables of new address spaces, all of which share the kernel half. */
export interface TranslationSystem {
  /** Which pages the tables can translate; absent: 47-bit user half, 47-bit kernel half. */
  readonly layout?: AddressLayout;
  /** Tables of a new space, or null if no frame is there for the root. */
  create(): TranslationTables | null;
  /** Tables of the half that all spaces share, null where there is none to manage. */
  readonly kernel: TranslationTables | null;
  /** Whole tables as things to hand around, where that is offered. */
  readonly structure: TableStructure | null;
  /** Leaves above 4K, where there are any. */
  readonly large?: LargeLeaves;
}

/** Whole tables as things that can be handed around: one table translates {@link TABLE_PAGES} pages. Ranges are table-aligned. */
export interface TableStructure {
  /** Moves the tables of `[fromStart, fromStart + pages)` to `toStart`; the target range has no translations. False: no frame for an upper table. */
  moveTables(
    from: TranslationTables,
    fromStart: Vpn,
    to: TranslationTables,
    toStart: Vpn,
    pages: number,
    plan: FlushSink,
  ): boolean;
  /**
   * Lets `to` use the very tables of `from`, made where they are missing; a change through one is seen by both, and reported for the space that it was made
   * through. A shared table stays while two spaces have it, empty or not. The target range has no translations. False: no frame for a table, nothing changed.
   */
  shareTables(
    from: TranslationTables,
    fromStart: Vpn,
    to: TranslationTables,
    toStart: Vpn,
    pages: number,
    plan: FlushSink,
  ): boolean;
  /** Takes the tables of a range out of one space without touching their entries (they live on in another); reports the range as stale. */
  detachTables(from: TranslationTables, start: Vpn, pages: number, plan: FlushSink): void;
}

/**
 * Leaves above 4K: one entry that translates an aligned run of pages to an aligned run of frames. To all other methods they are that many translations: what
 * changes a part of one makes it leaves of the next smaller size first. That needs a table; its frame is kept back from the moment the leaf is made, so that
 * unmapping, protecting and evicting never fail for lack of one. Accessed and dirty are the leaf's, and so every page's: `harvest` tells all pages
 * of a leaf, also those outside its range. One invalidation, of the leaf's first page, drops it.
 */
export interface LargeLeaves {
  /** Pages of a leaf, ascending: 512 for 2M, 262144 for 1G. */
  readonly sizes: readonly number[];
  /** Leaves that became smaller ones so far. */
  readonly splits: number;
  /** Maps an aligned run by one leaf. False: a page of it is mapped, or no frame is there for a table or for those kept back; nothing changed. */
  map(tables: TranslationTables, vpn: Vpn, pfn: Pfn, pages: number, attributes: number, plan: FlushSink): boolean;
  /** Makes the leaf that translates a page leaves of the next smaller size, rights, accessed and dirty kept. */
  split(tables: TranslationTables, vpn: Vpn, plan: FlushSink): void;
  /** Pages of the leaf that a page lies under: one of {@link sizes}, or 1 if there is none above 4K. */
  pagesAt(tables: TranslationTables, vpn: Vpn): number;
}

/** Translation look-aside buffers of all processors. An `asid` names a space. */
export interface TlbControl {
  /** Drops `vpns[0 … count)` of the space on the processor that runs now; `count` −1: everything of the space. */
  invalidate(asid: number, vpns: Float64Array, count: number): void;
  /**
   * The same on every processor that may hold them; returns when all that could use them have done it. Processors that use no user translation now (they are
   * idle, or stay in the kernel) may do it when they come back, unless `freesTables`: then those whose root still is the space's do it now too, because
   * they may walk its tables at any moment. `count` may be 0 with `freesTables`.
   */
  shootdown(asid: number, vpns: Float64Array, count: number, freesTables?: boolean): void;
  /**
   * As {@link shootdown}, but other processors may do it when they next pass a quiescent point. False: not offered, use `shootdown`. True: done when
   * {@link quiesced} has reached the {@link ticket} of after this call.
   */
  later(asid: number, vpns: Float64Array, count: number): boolean;
  /** Everybody who has been left something by {@link later} does it now; returns when all have. */
  settle(): void;
  /** A ticket for "now"; grows. */
  ticket(): number;
  /** The latest ticket since which every processor has passed a point where it holds no stale entry. */
  quiesced(): number;
}

/** Makes a processor run in a space. */
export interface AddressSpaceSwitch {
  /** From now on processor `cpu` translates through `root`, its entries tagged with `asid`. */
  activate(root: number, asid: number, cpu: number): void;
  /** The space goes: processors that run in it run in the kernel's from now on. */
  retire(asid: number): void;
}

/** Memory types of physical ranges (MTRRs and PAT on x86-64). */
export interface MemoryTypes {
  /** The type that an access of the frames would have if mapped with `wanted`; −1 where the range has no single one. */
  effective(start: Pfn, frames: number, wanted: MemoryType): MemoryType | -1;
  /** Writes back and drops all cache lines of the frames: before their type changes. */
  flushCaches(start: Pfn, frames: number): void;
}

// ---------------------------------------------------------------- stores

/** Outcome of a transfer: done, no room, or an error of the device. Nothing else changes. */
export type IoOutcome = "ok" | "full" | "failed";

/**
 * Pages of a file-like thing, synchronous. Offsets and sizes in bytes. To throw is to have failed. Its bytes may lie in other memory of the same manager, which may need
 * frames meanwhile; what it asks for of its own file in the middle of a call has failed.
 */
export interface BackingStore {
  /** Bytes in the file now. */
  size(): number;
  /** Reads `into.length` bytes at `offset`; what lies beyond the end reads as zero. */
  read(offset: number, into: Uint8Array): IoOutcome;
  /** Writes all of `from` at `offset`, within the size. */
  write(offset: number, from: Uint8Array): IoOutcome;
  /** Makes what was written durable. */
  sync(): IoOutcome;
  /** Sets the size; new bytes read as zero. */
  resize(bytes: number): IoOutcome;
}

/** Pages of a file-like thing that cannot answer at once: HTTP ranges, Blobs, object stores. */
export interface AsyncBackingStore {
  /** Bytes in the file as far as known. */
  size(): number;
  /** Reads `into.length` bytes at `offset`; rejects on failure. */
  readLater(offset: number, into: Uint8Array): Promise<void>;
  /** Writes all of `from` at `offset`; rejects on failure. Absent: read-only. */
  writeLater?(offset: number, from: Uint8Array): Promise<void>;
}

/** Slots of one page each, synchronous. The manager decides which slot is used. To throw is to be away, as a rejected promise of an {@link AsyncSwapStore} says. */
export interface SwapStore {
  /** Slots, numbered from 0. */
  readonly slots: number;
  /** Writes the 4096 bytes of a page. */
  write(slot: number, from: Uint8Array): IoOutcome;
  /** Reads the 4096 bytes of a page. */
  read(slot: number, into: Uint8Array): IoOutcome;
  /** The content of a slot is not needed any more. */
  discard?(slot: number): void;
  /** Whether reading a slot waits for a device; absent: yes. A page that need not be waited for is not fetched ahead. */
  waits?(slot: number): boolean;
  /**
   * After a `write` that was answered `full`: the slot whose page should move to a store behind this one, so that there is room for the next; −1 where that would not
   * help. Its page is read, stored there, and discarded here. Absent: pages stay where they are.
   */
  giveWay?(): number;
}

/**
 * Slots of one page each in a store that answers later: a server, an object store. A promise that is rejected says that the store cannot be reached now: what it keeps
 * may be there later, while `failed` is its answer. What was rejected may be carried out all the same, but not after a later transfer or discard of its slot has been answered. Transfers of different slots may overlap in time; of one slot there is one at a time.
 */
export interface AsyncSwapStore {
  /** Slots, numbered from 0. */
  readonly slots: number;
  /** Writes that may be under way at once, at least 1; 32 if absent. */
  readonly depth?: number;
  /** Writes the 4096 bytes of a page; `ok` acknowledges that they are kept. The array stays as it is until then. */
  writeLater(slot: number, from: Uint8Array): Promise<IoOutcome>;
  /** Reads the 4096 bytes of a page. */
  readLater(slot: number, into: Uint8Array): Promise<IoOutcome>;
  /** The content of a slot is not needed any more; settles when the slot can be written again. */
  discardLater?(slot: number): Promise<void>;
}

/** A lossless compressor of single pages. Holds no state between calls. */
export interface Compressor {
  /** Its name in reports. */
  readonly name: string;
  /** Compresses a page into `to`; the bytes used, or −1 if they do not fit. */
  compress(page: Uint8Array, to: Uint8Array): number;
  /** Expands the first `length` bytes of `from` into a page of 4096 bytes; false if they are not what `compress` made. */
  expand(from: Uint8Array, length: number, page: Uint8Array): boolean;
}

// ---------------------------------------------------------------- policy and environment

/**
 * Decides which page leaves. State is typed arrays indexed by `slot`: a page's identity, 0 … slots − 1, given by the caller and kept
 * while the page is remembered at all, resident or not (so that ghosts work).
 *
 * Exact simulation: `insert` on a miss, `accessed` on every hit, `evict` when full. In the manager no hit is seen: it asks
 * {@link victim}, looks at the accessed bits of that page, and either tells `accessed` and asks again, or calls `evict`;
 * batches of accessed bits are told in between.
 */
export interface ReplacementPolicy {
  /** Its name in reports. */
  readonly name: string;
  /** The page became resident (by a miss). */
  insert(slot: number): void;
  /** The resident page was used since it was last told or inserted. */
  accessed(slot: number): void;
  /** The resident page that should leave next, −1 if none is resident. May advance hands and clear marks. */
  victim(): number;
  /** Makes the next victim non-resident and returns it, −1 if none is resident. After `victim()` without other calls: that one. */
  evict(): number;
  /** The page is resident no more for another reason, or its ghost is to be forgotten: nothing is remembered of it. */
  remove(slot: number): void;
  /** Makes room for slots 0 … slots − 1. */
  grow(slots: number): void;
  /** Pages that may be resident at once from now on. */
  resize(capacity: number): void;
  /** Walks everything; throws with the sentence of the broken invariant. */
  check(): void;
}

/** Time that only grows. */
export interface Clock {
  /** Nanoseconds since some fixed moment. */
  nanoseconds(): number;
}

/** Random numbers. */
export interface Random {
  /** The next 32 bits, 0 … 2^32 − 1. */
  uint32(): number;
}

/**
 * Yield points: called after an entry write, before an invalidation and where an acknowledgement is awaited. Other processors may run, fault and
 * change the same tables in the call.
 */
export interface Interleaving {
  /** Other processors may run now. */
  yieldPoint(reason: "entry" | "invalidate" | "wait"): void;
}

/** What a pager did about a page: filled it, or gave it up. */
export type PagerAnswer = "filled" | "poison";

/** Supplies pages of an object on demand, in the manner of userfaultfd. To throw or reject is to fail: the access is a bus error, and the next one asks again. */
export interface Pager {
  /**
   * A page of the object is needed: fill `into` (4096 bytes, zero before) and return `filled`; `poison` makes the access a bus error; a promise
   * makes it pending.
   */
  request(index: number, into: Uint8Array): PagerAnswer | Promise<PagerAnswer>;
  /** A write-protected page is about to be stored to; `allow` lifts the protection of that page, `deny` ends the access as a bus error. */
  writeFault?(index: number, address: VirtAddr): "allow" | "deny";
}
