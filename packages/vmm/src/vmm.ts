/**
 * The virtual memory manager: one per memory. It makes spaces and objects, and owns what they share.
 */
import { checkManager } from "./check.ts";
import { CommitAccount } from "./commit.ts";
import { Core } from "./core.ts";
import { ManualClock, SeededRandom } from "./environment.ts";
import { VmmError } from "./errors.ts";
import { AnonymousObject } from "./objects/anonymous-object.ts";
import { DeviceObject } from "./objects/device-object.ts";
import { FileObject } from "./objects/file-object.ts";
import { PagerObject, type PagerOptions } from "./objects/pager-object.ts";
import { AsyncFileObject } from "./objects/async-file-object.ts";
import { allocateDmaBuffer, type DmaOutcome, type DmaRequest } from "./dma/allocate.ts";
import { beginTransfer, type DeviceReach, type DmaTransfer, type TransferDirection } from "./dma/transfer.ts";
import { Collapser } from "./large/collapser.ts";
import { LargePages } from "./large/large-pages.ts";
import { Migrator } from "./migration.ts";
import { Balancer, type BalancerStats } from "./numa/balancer.ts";
import type { Refusal } from "./outcome.ts";
import { FrameReserve } from "./frames/frame-reserve.ts";
import { Background } from "./pressure/background.ts";
import type { MemoryPressure } from "./pressure/memory-pressure.ts";
import type { OutOfMemoryChoice } from "./pressure/out-of-memory.ts";
import type {
  AddressSpaceSwitch,
  AsyncBackingStore,
  BackingStore,
  FramePressure,
  MemoryTypes,
  Pager,
  SpecialFrames,
} from "./ports.ts";
import type { AccessHistogram } from "./reclaim/idle-tracker.ts";
import type { GroupShare, GroupStats } from "./reclaim/grouped-policy.ts";
import type { PurgeableHandle } from "./reclaim/purgeable.ts";
import type { RefaultStats } from "./reclaim/refault-meter.ts";
import { SpaceGroups } from "./reclaim/space-groups.ts";
import { defaultPolicy } from "./reclaim/policies/catalogue.ts";
import { EXECUTE, WRITE } from "./rights.ts";
import { FaultHandler } from "./space/faults.ts";
import { AddressSpace } from "./space/space.ts";
import type { Events } from "./statistics/events.ts";
import { RateMeter, RateMeters } from "./statistics/rates.ts";
import { reportOf, type MemoryReport } from "./statistics/report.ts";
import type { VmmStats } from "./stats.ts";
import { SwapSpace } from "./swap/swap-space.ts";
import type { SwapTierStats } from "./swap/tier-stats.ts";
import { PlainTranslationSystem } from "./tables/plain-system.ts";
import { TypeLedger } from "./type-ledger.ts";
import { TABLE_PAGES, type Pfn, type VirtAddr } from "./units.ts";
import type { VmmOptions, WriteExecutePolicy } from "./vmm-options.ts";

/** The virtual memory manager, one per memory: makes address spaces and the objects that they map, resolves faults, and puts pages out where frames run short. */
export class Vmm {
  /** Shared state; for the package's own modules and auditors. */
  readonly core: Core;
  /** The fault handler. */
  readonly faults: FaultHandler;
  /** 2M pages. */
  readonly large: LargePages;
  /** Makes 2M pages of small ones; see {@link background}. */
  readonly collapser: Collapser;
  /** Promised memory. */
  readonly commit: CommitAccount;
  /** Memory types in use. */
  readonly types: TypeLedger;
  /** How processors change spaces. */
  readonly spaceSwitch: AddressSpaceSwitch | null;
  /** What is done about pages that would be writable and executable at once. */
  readonly writeExecute: WriteExecutePolicy;
  /** The kernel half, shared by all spaces; null where the tables have none. */
  readonly kernel: AddressSpace | null;
  /** Moves pages between frames. */
  readonly migrator: Migrator;
  readonly #special: SpecialFrames | null;
  readonly #background: Background;
  readonly #memoryTypes: MemoryTypes | null;
  /** Requests for writable and executable memory that `warn` let pass. */
  writeExecuteWarnings = 0;
  #asid = 0;

  /** A manager over its ports. */
  constructor(options: VmmOptions) {
    const { residentLimit = Infinity, faultAround = 16 } = options;
    if (residentLimit < 1)
      throw new VmmError("out-of-range", "At least one page must be allowed in a frame.", { residentLimit });
    if (!Number.isInteger(Math.log2(faultAround)) || faultAround > TABLE_PAGES)
      throw new VmmError("out-of-range", "Fault-around is a power of two of at most 512 pages.", { faultAround });
    const pressure = options.pressure ?? (isPressure(options.frames) ? options.frames : null);
    const policyFrames = Math.min(residentLimit, pressure?.totalFrames ?? 65536);
    const tables = options.tables ?? new PlainTranslationSystem();
    const groups = options.fairness === true ? new SpaceGroups() : null;
    if (groups !== null && options.policy !== undefined)
      throw new VmmError("bad-argument", "With fairness the policy is made of the groups' own.", {});
    this.core = new Core({
      frames: options.frames,
      window: options.window,
      tables,
      tlb: options.tlb ?? null,
      policy: groups?.policy ?? options.policy ?? defaultPolicy(1024, policyFrames),
      groups,
      policyFrames,
      swap: options.swap === undefined || options.swap.length === 0 ? null : new SwapSpace(options.swap),
      residentLimit,
      clock: options.clock ?? new ManualClock(),
      random: options.random ?? new SeededRandom(1),
      interleaving: options.interleaving ?? null,
      lazyShootdown: options.lazyShootdown ?? false,
      framePressure: pressure,
      readAhead: options.readAhead ?? 32,
      memoryTypes: options.memoryTypes ?? null,
      reserve: options.reserve ?? (options.frames instanceof FrameReserve ? options.frames : null),
      outOfMemoryPolicy: options.outOfMemoryPolicy,
      outOfMemory: options.outOfMemory ?? null,
    });
    this.#background = new Background(this.core);
    if (options.nodeOf !== undefined) this.core.nodeOf = options.nodeOf;
    this.large = new LargePages(this.core, options.largePages ?? "advise");
    this.faults = new FaultHandler(this.core, this.large);
    this.faults.faultAround = faultAround;
    if (options.currentNode !== undefined) this.faults.currentNode = options.currentNode;
    this.faults.zeroFrame = options.zeroFrame ?? true;
    this.commit = new CommitAccount(options.commit ?? "unlimited", options.commitLimit ?? Infinity);
    this.#memoryTypes = options.memoryTypes ?? null;
    this.#special = options.special ?? null;
    this.types = new TypeLedger(this.core, this.#memoryTypes);
    this.migrator = new Migrator(this.core);
    const { currentNode, nodeOf } = options;
    if (currentNode !== undefined && nodeOf !== undefined)
      this.core.balancer = new Balancer(this.core, { currentNode, nodeOf }, this.migrator);
    this.collapser = new Collapser(this.core, this.large, this.migrator, this.#special, options.collapseMissing);
    this.spaceSwitch = options.spaceSwitch ?? null;
    this.writeExecute = options.writeExecute ?? "off";
    this.kernel = tables.kernel === null ? null : new AddressSpace(this, 0, tables.kernel, true);
    if (this.kernel !== null) this.core.spaces.set(0, this.kernel);
  }

  /** Counters since the manager was made. A live object: copy it to compare. */
  get stats(): Readonly<VmmStats> {
    return this.core.stats;
  }

  /** How short memory is: level, stalls, shrinkers. */
  get pressure(): MemoryPressure {
    return this.core.pressure;
  }

  /** Frames that hold pages now. */
  get residentPages(): number {
    return this.core.resident;
  }

  /** Makes an empty space; null: no frame for its tables. */
  createSpace(): AddressSpace | null {
    const tables = this.core.tables.create();
    if (tables === null) return null;
    const space = new AddressSpace(this, ++this.#asid, tables, false);
    this.core.spaces.set(space.asid, space);
    return space;
  }

  /** Makes zero-filled memory that several regions can share. `sealable`: seals may be added. */
  createAnonymous(bytes: number, sealable = false): AnonymousObject {
    return new AnonymousObject(this.core, bytes, sealable);
  }

  /** Puts a file into the page cache. One object per file: mapping the same file twice means mapping the same object twice. */
  openFile(backing: BackingStore): FileObject {
    return new FileObject(this.core, backing);
  }

  /** Makes memory whose pages a pager supplies on demand. */
  createPaged(bytes: number, pager: Pager, options: PagerOptions = {}): PagerObject {
    return new PagerObject(this.core, bytes, pager, options);
  }

  /** Makes a range of frames that are no RAM mappable. */
  openDevice(start: Pfn, frames: number): DeviceObject {
    return new DeviceObject(this.core, start, frames);
  }

  /** Puts a file that cannot answer at once into the page cache. */
  openAsyncFile(backing: AsyncBackingStore): AsyncFileObject {
    return new AsyncFileObject(this.core, backing);
  }

  /** Grants a contiguous buffer within a device's limits, moving pages out of the way where that helps. Needs the `special` port. */
  allocateDmaBuffer(request: DmaRequest): DmaOutcome {
    if (this.#special === null) throw new VmmError("bad-argument", "DMA buffers need the port `special`.");
    return allocateDmaBuffer(this.core, this.#special, this.migrator, this.#memoryTypes, request);
  }

  /** Pins a program's memory for a device and lists its frames; ends with the transfer's `complete`. */
  beginTransfer(
    space: AddressSpace,
    address: VirtAddr,
    bytes: number,
    direction: TransferDirection,
    reach: DeviceReach = {},
  ): DmaTransfer | Refusal {
    return beginTransfer(space, address, bytes, direction, reach, this.#special);
  }

  /** Writes file pages that have been dirty for at least `age` nanoseconds, or begins to where a file answers later; returns how many became clean at once. */
  writeBackOlderThan(age: number): number {
    const moment = this.core.clock.nanoseconds() - age;
    let clean = 0;
    for (const object of this.core.objects.values()) {
      if (object instanceof FileObject) clean += object.flushOlderThan(moment);
      if (object instanceof AsyncFileObject) object.writeOlderThan(moment);
    }
    return clean;
  }

  /** Evicts up to `pages` pages; returns how many left. */
  reclaim(pages: number): number {
    let done = 0;
    while (done < pages && this.core.reclaimer.reclaimOne()) done++;
    return done;
  }

  /**
   * One bounded step of background work: releases quarantined frames, evicts up to `budget` pages while the frame source is below its high watermark or fewer
   * than a sixteenth of the resident limit is free. Where frames are plenty, and no store was used since the last step, pages that left last come back from swap,
   * until an eighth of the limit is free; then small pages are made 2M pages. What that leaves of the budget is for NUMA balancing, where there are several nodes: see
   * {@link balance}. Returns how many pages left, came, or are under new leaves; 0: nothing to do now.
   */
  background(budget: number): number {
    const { core } = this;
    let done = this.#background.step(budget);
    if (done === 0) done = core.prefetcher.refill(budget, 2 * this.#background.spare);
    if (done === 0) done = this.collapser.step(budget);
    core.balancer?.turn(budget - done);
    return done;
  }

  /**
   * One bounded step of NUMA balancing, whether it is worth it or not ({@link background} does it where it is): unmaps up to `budget` pages, so that their next uses show which node uses them; pages that another node keeps using
   * move there as it does. Returns how many were sampled; 0 without the options `currentNode` and `nodeOf`.
   */
  balance(budget: number): number {
    return this.core.balancer?.step(budget) ?? 0;
  }

  /** What NUMA balancing did; null without the options for it. */
  balancing(): BalancerStats | null {
    return this.core.balancer?.stats() ?? null;
  }

  /** Settles when every page that is on its way to a store that answers later has left, or is known to stay. */
  settled(): Promise<void> {
    return this.core.swapper.settled();
  }

  /** What became of each swap store, by priority: slots, transfers, failures, whether it is fenced. */
  swapTiers(): SwapTierStats[] {
    return this.core.swap?.stats() ?? [];
  }

  /** Makes a range of private memory purgeable: dropped under pressure while nobody holds it. Throws `unaligned` or `out-of-range` for what is no page range. */
  makePurgeable(space: AddressSpace, address: VirtAddr, bytes: number): PurgeableHandle {
    space.endOf(address, bytes);
    return this.core.purgeable.add(space, address, bytes);
  }

  /** Which space would go if memory were out now, and how each is judged. O(pages that regions have). */
  chooseVictim(): OutOfMemoryChoice {
    return this.core.lastResort.choose();
  }

  /** Sets what a group of spaces (`space.group`) is promised and allowed. Needs `fairness`. */
  setShare(group: number, share: GroupShare): void {
    this.#groups().setShare(group, share);
  }

  /** The standing of every group of spaces. Needs `fairness`. */
  shares(): GroupStats[] {
    return this.#groups().stats();
  }

  /** How much memory would do: evictions, pages that came back, and the frames with which nine in ten would have stayed. */
  workingSet(): RefaultStats {
    return this.core.refaults.stats();
  }

  /**
   * How idle and how often used the resident pages are, as far as harvests have seen: reclaim makes them as it needs them, {@link sampleAccesses} at any time.
   * Of one space's private pages where one is given.
   */
  accessHistogram(space?: AddressSpace): AccessHistogram {
    if (space === undefined) return this.core.idleness.histogram();
    const own = new Set<number>();
    space.sheets.forEach(space.low, space.high, (sheet) => {
      for (const page of sheet.anons) if (page >= 0) own.add(page);
    });
    return this.core.idleness.histogram((page) => own.has(page));
  }

  /** Gathers the accessed bits of all pages: what was used since the last time counts as used, everything else as idle for one more. O(tables + pages). */
  sampleAccesses(): void {
    this.core.reclaimer.harvest();
  }

  /** Pages that were used within the last `samples` harvests, see {@link sampleAccesses}: the working set of that time. */
  usedPages(samples: number): number {
    return this.core.idleness.usedWithin(samples);
  }

  /** Everything that is known of the memory now: system, spaces, objects, nodes, policy. O(pages). */
  report(): MemoryReport {
    return reportOf(this.core, this.commit.charged, this.core.nodeOf);
  }

  /**
   * Begins to measure faults by kind, pages fetched, written and evicted, per second of the clock: of everything, or of one space, region or object. One meter for each
   * reader: they do not disturb each other.
   */
  rateMeter(of?: { readonly events: Readonly<Events> }): RateMeter {
    const { clock, tally } = this.core;
    return new RateMeter(clock, of === undefined ? () => tally.system : () => of.events);
  }

  /** Begins to measure the same of everything that there is: by region, space, object, node and policy, and in all. */
  rateMeters(): RateMeters {
    return new RateMeters(this.core);
  }

  /** For idle time: zeroes up to `budget` frames ahead. Returns how many. */
  idle(budget: number): number {
    return this.core.keeper.fillStock(budget);
  }

  /** Whether the policy lets pages have these rights. */
  allowsWriteExecute(rights: number): boolean {
    if ((rights & (WRITE | EXECUTE)) !== WRITE + EXECUTE || this.writeExecute === "off") return true;
    if (this.writeExecute === "enforce") return false;
    this.writeExecuteWarnings++;
    return true;
  }

  /** Gives back the frames that the manager holds for itself: stock and zero frame. Spaces must be gone. */
  close(): void {
    this.core.parting.settle();
    this.core.quarantine?.drain();
    this.core.keeper.emptyStock();
    this.faults.close();
  }

  /** Walks everything; throws with the sentence of the broken invariant. */
  check(): void {
    checkManager(this.core, this.commit);
  }

  #groups(): SpaceGroups {
    const { groups } = this.core;
    if (groups === null) throw new VmmError("bad-argument", "Shares need the option `fairness`.", {});
    return groups;
  }
}

/** Whether a frame source also says how full it is. */
function isPressure(source: object): source is FramePressure {
  return "totalFrames" in source && "freeFrames" in source && "level" in source && "watermarks" in source;
}
