/**
 * An address space: regions, the sheets below them, and the tables that a processor walks.
 *
 * ```
 *  regions (what may be)  ─┐
 *  sheets  (what is)      ─┼─→ faults ─→ tables (what the processor knows)
 *  objects (what others have)┘
 * ```
 * Every operation on a range either happens as a whole or not at all, whatever number of regions it touches.
 */
import { VmmError } from "../errors.ts";
import type { Vmm } from "../vmm.ts";
import type { FaultOutcome, Outcome, Refusal } from "../outcome.ts";
import type { TranslationTables } from "../ports.ts";
import { GLOBAL, type MemoryType } from "../rights.ts";
import type { SpaceMemory } from "../space-memory.ts";
import { PAGE_SIZE, TABLE_PAGES, pagesFor, type VirtAddr, type Vpn } from "../units.ts";
import { advise, discardRange, type Advice } from "./advice.ts";
import { checkSpace } from "./check.ts";
import { cloneInto } from "./cloning.ts";
import { demandPlacement, type FramePlacement } from "./frame-placement.ts";
import { defaultLimits, type SpaceLimits } from "./limits.ts";
import { lockAll, lockRange, unlockAll, unlockRange } from "./locking.ts";
import { mapRegion, unmapRange, type MapRequest } from "./mapping.ts";
import { setMemoryType } from "./memory-type.ts";
import { protectRange, sealRange } from "./protecting.ts";
import type { LockState } from "./region.ts";
import { RegionTree } from "./region-tree.ts";
import { remapRange, type RemapRequest } from "./remapping.ts";
import { noEvents, type Events } from "../statistics/events.ts";
import type { RateReport } from "../statistics/rates.ts";
import { usageByRegion, usageOfSpace, usageText, type RegionReport, type UsageReport } from "./report.ts";
import { makeUnusable, makeUsable, populateLater, populateRange, residencyOf } from "./residency.ts";
import { runIn, type RunOutcome } from "./running.ts";
import { SheetMap, type Sheet } from "./sheet.ts";
import { shareRange } from "./sharing.ts";
import { syncRange } from "./syncing.ts";
import { transferRange } from "./transfer.ts";

/** First page that user regions may use: the first 64 KiB stay unmapped, so that a null pointer faults. */
export const USER_LOW: Vpn = 16;
/** End of user pages: 2^47 bytes less one page (a jump to the very end would leave canonical addresses). */
export const USER_HIGH: Vpn = 34359738367;
/** First page of the kernel half: −2^47. */
export const KERNEL_LOW: Vpn = -34359738368;
/** End of kernel pages: the topmost page stays unmapped. */
export const KERNEL_HIGH: Vpn = -1;

/** An address space. Made by `Vmm.createSpace`. */
export class AddressSpace {
  /** Names the space to translation look-aside buffers; never used again. */
  readonly asid: number;
  /** The tables that a processor walks. */
  readonly tables: TranslationTables;
  /** What may be. */
  readonly regions: RegionTree = new RegionTree();
  /** What is. */
  readonly sheets: SheetMap = new SheetMap();
  /** The most the space may have. */
  readonly limits: SpaceLimits = defaultLimits();
  /** Attributes of every translation: GLOBAL in the kernel's space. */
  readonly attributes: number;
  /** First page that may be mapped. */
  readonly low: Vpn;
  /** End of the pages that may be mapped. */
  readonly high: Vpn;
  /** The manager. */
  readonly vmm: Vmm;
  /** The faults of its programs, what they fetched, and what happened to pages that were mapped here last. */
  readonly events: Events = noEvents();
  /** The group whose frames its pages take, where groups compete for them: of its own to begin with. */
  group: number;
  /** Its name in reports; empty: its number. */
  name = "";
  /** Which frames private pages get in regions that wish for none; null: any. */
  #placement: FramePlacement | null = null;
  /** How regions are locked that are mapped from now on. */
  lockFuture: LockState = "none";
  /** What the last `pending` outcome waits for. */
  pending: Promise<void> | null = null;
  /** Mapped pages, resident or not. */
  mappedPages = 0;
  /** Pages of locked regions. */
  lockedPages = 0;
  /** Where the search for a page to put out goes on, where the space has a resident limit. */
  residentHand: Vpn = 0;
  /** Sheets whose table other spaces use too. */
  sharedTables = 0;
  /** Whether private pages are between two places: faults have to wait. */
  isMoving = false;
  #destroyed = false;
  /** Whether an operation on regions is under way. */
  #isBusy = false;

  /** The space of these tables. */
  constructor(vmm: Vmm, asid: number, tables: TranslationTables, kernel: boolean) {
    this.vmm = vmm;
    this.asid = asid;
    this.group = asid;
    this.tables = tables;
    this.attributes = kernel ? GLOBAL : 0;
    const { layout } = vmm.core.tables;
    this.low = kernel ? (layout?.kernelLow ?? KERNEL_LOW) : (layout?.userLow ?? USER_LOW);
    this.high = kernel ? (layout?.kernelHigh ?? KERNEL_HIGH) : (layout?.userHigh ?? USER_HIGH);
  }

  /** Which frames private pages get in regions that wish for none of their own; null: any. Holds for pages that come in from now on. */
  get placement(): FramePlacement | null {
    return this.#placement;
  }

  /** Throws `bad-argument` for a placement that means nothing. */
  set placement(placement: FramePlacement | null) {
    if (placement !== null) demandPlacement(placement);
    this.#placement = placement;
  }

  /** Whether the space is gone. */
  get isDestroyed(): boolean {
    return this.#destroyed;
  }

  // ------------------------------------------------------------ operations

  /** Maps a new region; its first address, or why not. */
  map(request: MapRequest): VirtAddr | Refusal {
    this.#demandAlive();
    return this.#exclusively(() => mapRegion(this, request));
  }

  /** Unmaps every page of a range of at least one byte; pages that are not mapped do not matter. */
  unmap(address: VirtAddr, bytes: number): Outcome {
    if (bytes === 0) throw new VmmError("out-of-range", "A range to unmap has at least one byte.", { bytes });
    const end = this.endOf(address, bytes);
    if (this.attributes === 0 && (address < 0 || end > this.high)) return "out-of-bounds";
    return this.#exclusively(() => unmapRange(this, address / PAGE_SIZE, end));
  }

  /** Sets the rights of a range that is mapped without holes. */
  protect(address: VirtAddr, bytes: number, rights: number): Outcome {
    const end = this.endOf(address, bytes);
    return this.#exclusively(() => protectRange(this, address / PAGE_SIZE, end, rights));
  }

  /** Moves, grows or shrinks a range; its new address, or why not. */
  remap(request: RemapRequest): VirtAddr | Refusal {
    this.#demandAlive();
    return this.#exclusively(() => remapRange(this, request));
  }

  /** Says how a range is going to be used. */
  advise(address: VirtAddr, bytes: number, advice: Advice): Outcome {
    const end = this.endOf(address, bytes);
    return this.#exclusively(() => advise(this, address / PAGE_SIZE, end, advice));
  }

  /**
   * Drops the private pages of a range that nobody uses until {@link waitForQuiet}: as the advice `dont-need`, but processors that run in the space may see what
   * was there until they pass a quiescent point, and what they store there until then may be lost.
   */
  discard(address: VirtAddr, bytes: number): Outcome {
    const end = this.endOf(address, bytes);
    return this.#exclusively(() => discardRange(this, address / PAGE_SIZE, end));
  }

  /** Makes sure that no processor sees any more what was unmapped or {@link discard}ed in a range. */
  waitForQuiet(address: VirtAddr, bytes: number): void {
    const end = this.endOf(address, bytes);
    const { quarantine } = this.vmm.core;
    if (quarantine?.overlaps(this.asid, address / PAGE_SIZE, end) === true) quarantine.drain();
  }

  /** Keeps a range in frames: now, or (`touched`) from each page's first use on. Locks do not nest. */
  lock(address: VirtAddr, bytes: number, state: "all" | "touched" = "all"): Outcome {
    const end = this.endOf(address, bytes);
    return this.#exclusively(() => lockRange(this, address / PAGE_SIZE, end, state));
  }

  /** Ends {@link lock}. */
  unlock(address: VirtAddr, bytes: number): Outcome {
    const end = this.endOf(address, bytes);
    return this.#exclusively(() => unlockRange(this, address / PAGE_SIZE, end));
  }

  /** Locks all regions there are (`now`), and, unless `none`, all that come. */
  lockAll(now: boolean, future: LockState): Outcome {
    this.#demandAlive();
    return this.#exclusively(() => lockAll(this, now, future));
  }

  /** Unlocks everything, also what comes. */
  unlockAll(): void {
    this.#demandAlive();
    unlockAll(this);
  }

  /**
   * Writes the dirty file pages of a range that is mapped without holes, and makes them durable. `pending` where some are on their way to a file that answers later:
   * await {@link pending}, and ask again.
   */
  sync(address: VirtAddr, bytes: number): Outcome {
    const end = this.endOf(address, bytes);
    return syncRange(this, address / PAGE_SIZE, end);
  }

  /** Sets `into[i]` to 1 where page i of a range that is mapped without holes is in a frame, else 0. */
  residency(address: VirtAddr, bytes: number, into: Uint8Array): Outcome {
    const end = this.endOf(address, bytes);
    return residencyOf(this, address / PAGE_SIZE, end, into);
  }

  /** Maps ordinary memory write-combining, uncached …, all its aliases together. */
  setMemoryType(address: VirtAddr, bytes: number, type: MemoryType): Outcome {
    const end = this.endOf(address, bytes);
    return this.#exclusively(() => setMemoryType(this, address / PAGE_SIZE, end, type));
  }

  /** The memory type that accesses of a page have, its region's as the processor combines it with that of the frame; null: no frame is mapped there. */
  memoryType(address: VirtAddr): MemoryType | null {
    const vpn = Math.floor(address / PAGE_SIZE);
    const region = this.regions.find(vpn);
    if (region === null || this.tables.query(vpn) === 0) return null;
    const type = this.vmm.types.effective(this.tables.frame, 1, region.type);
    return type === -1 ? null : type;
  }

  /** Makes every page of the range present: maps where nothing is mapped, gives frames where none are. Idempotent; costs what is missing. */
  makeUsable(address: VirtAddr, bytes: number, rights: number): Outcome {
    const end = this.endOf(address, bytes);
    return this.#exclusively(() => makeUsable(this, address / PAGE_SIZE, end, rights));
  }

  /** The opposite: no page of the range is mapped afterwards. Idempotent; costs what is there. */
  makeUnusable(address: VirtAddr, bytes: number): Outcome {
    const end = this.endOf(address, bytes);
    return this.#exclusively(() => makeUnusable(this, address / PAGE_SIZE, end));
  }

  /** Faults in every page of a range for `access`, so that the next access finds it. `pending`: await {@link populate} instead. */
  populateNow(address: VirtAddr, bytes: number, access: number): Outcome {
    const end = this.endOf(address, bytes);
    return populateRange(this, address / PAGE_SIZE, end, access);
  }

  /** {@link populateNow} that waits for asynchronous stores. */
  populate(address: VirtAddr, bytes: number, access: number): Promise<Outcome> {
    const end = this.endOf(address, bytes);
    return populateLater(this, address / PAGE_SIZE, end, access);
  }

  /**
   * Runs `work` over the space's memory until no access has to wait for an asynchronous page. It may run several times and must be repeatable; what
   * it has touched stays pinned until it has run through. Lack of progress is an outcome.
   */
  run<T>(work: (memory: SpaceMemory) => T): Promise<RunOutcome<T>> {
    this.#demandAlive();
    return runIn(this, work);
  }

  /** Forbids every later change of a range's regions: unmapping, replacing, moving, other rights, advice that destroys. For good. */
  seal(address: VirtAddr, bytes: number): Outcome {
    const end = this.endOf(address, bytes);
    return this.#exclusively(() => sealRange(this, address / PAGE_SIZE, end));
  }

  /** A copy of the space in which private memory is shared until one side stores to it. Null: no frames for the tables, or the commit limit. */
  clone(): AddressSpace | null {
    this.#demandUser();
    const clone = this.#isBusy ? null : this.vmm.createSpace();
    if (clone === null) return null;
    if (this.#exclusively(() => cloneInto(this, clone)) === true) return clone;
    clone.destroy();
    return null;
  }

  /** Resolves an access that faulted: READ, WRITE or EXECUTE, and USER. */
  fault(address: VirtAddr, access: number): FaultOutcome {
    return this.vmm.faults.fault(this, address, access);
  }

  /** Counts the pages of all regions. */
  usage(): UsageReport {
    return usageOfSpace(this);
  }

  /** The regions with their pages, in the manner of Linux's smaps; with a sample of `vmm.rateMeters()`, what happened in each per second too. */
  usageText(rates?: RateReport): string {
    return usageText(this, rates);
  }

  /** What its regions hold, by address. O(pages). */
  usageByRegion(): RegionReport[] {
    return usageByRegion(this);
  }

  /** Makes a processor run in this space. */
  activate(cpu: number): void {
    this.#demandAlive();
    this.vmm.spaceSwitch?.activate(this.tables.root, this.asid, cpu);
  }

  /** Unmaps everything and gives the tables back. Processors that run in the space run in the kernel's from then on. */
  destroy(): void {
    this.#demandUser();
    this.vmm.spaceSwitch?.retire(this.asid);
    unmapRange(this, this.low, this.high, true);
    this.#destroyed = true;
    const { core } = this.vmm;
    const change = core.begin(this);
    this.tables.destroy(change.plan);
    core.end(change);
    core.spaces.delete(this.asid);
    core.groups?.left(this.group, core.spaces.values());
  }

  // ------------------------------------------------------------ for the package's other modules

  /** End page of a byte range; throws `unaligned` or `out-of-range` for what is no page range. */
  endOf(address: VirtAddr, bytes: number): Vpn {
    this.#demandAlive();
    if ((address & (PAGE_SIZE - 1)) !== 0 || !Number.isSafeInteger(address))
      throw new VmmError("unaligned", "An address is a multiple of 4096.", { address });
    if (!Number.isSafeInteger(bytes) || bytes < 0)
      throw new VmmError("out-of-range", "A length is 0 or more bytes.", { bytes });
    return address / PAGE_SIZE + pagesFor(bytes);
  }

  /** The sheet of a page, made if there is none. */
  sheetFor(vpn: Vpn): Sheet {
    const known = this.sheets.get(vpn);
    if (known !== null) return known;
    const base = Math.floor(vpn / TABLE_PAGES) * TABLE_PAGES;
    const made = this.vmm.core.sheets.create(this, base);
    this.sheets.set(base, made);
    return made;
  }

  /** Drops a stale entry of the processor that runs now. */
  invalidateHere(vpn: Vpn): void {
    const { tlb } = this.vmm.core;
    if (tlb === null) return;
    HERE[0] = vpn;
    tlb.invalidate(this.asid, HERE, 1);
  }

  /** Forgets a sheet that holds nothing. */
  dropEmptySheet(base: Vpn): void {
    const sheet = this.sheets.take(base);
    if (sheet !== null) this.vmm.core.sheets.destroy(sheet);
  }

  /** Hands a range of whole 2 MiB units over to another space; its address there, or why not. */
  transfer(address: VirtAddr, bytes: number, into: AddressSpace, to?: VirtAddr): VirtAddr | Refusal {
    this.#demandAlive();
    into.#demandAlive();
    return this.#exclusively(() => into.#exclusively(() => transferRange(this, address, bytes, into, to)));
  }

  /** Lets another space map a range of shared objects, whole 2 MiB units, through the very same page tables; its address there, or why not. */
  share(address: VirtAddr, bytes: number, into: AddressSpace, to?: VirtAddr): VirtAddr | Refusal {
    this.#demandAlive();
    into.#demandAlive();
    return this.#exclusively(() => into.#exclusively(() => shareRange(this, address, bytes, into, to)));
  }

  /** Walks everything of the space; throws with the sentence of the broken invariant. */
  check(): void {
    checkSpace(this);
  }

  #demandAlive(): void {
    if (this.#destroyed) throw new VmmError("destroyed", "The space was destroyed.", { asid: this.asid });
  }

  /** The kernel's space is every space's upper half: it has neither a copy nor an end. */
  #demandUser(): void {
    this.#demandAlive();
    if (this.attributes !== 0)
      throw new VmmError("bad-argument", "The kernel's space is neither cloned nor destroyed.", { asid: this.asid });
  }

  /** One operation on regions at a time: another one that comes at a yield point is `busy` and has to be tried again. */
  #exclusively<T>(operation: () => T): T | "busy" {
    if (this.#isBusy) return "busy";
    this.#isBusy = true;
    try {
      return operation();
    } finally {
      this.#isBusy = false;
    }
  }
}

const HERE = new Float64Array(1);
