/**
 * The fault handler: from an access that could not be translated to a translation, or to the reason why there is none. Driven by fault-table.ts.
 *
 * Anonymous minor fault: region found (one compare), table state read, frame taken, zeroed, mapped. No allocation.
 */
import type { Core } from "../core.ts";
import type { LargePages } from "../large/large-pages.ts";
import { DeviceObject } from "../objects/device-object.ts";
import { SUPPLY_BUS, SUPPLY_NO_MEMORY, type MemoryObject } from "../objects/object.ts";
import { NO_PAGE, PAGE_POISONED } from "../pages/pages.ts";
import type { FaultOutcome } from "../outcome.ts";
import { EXECUTE, RIGHTS_MASK, USER, WRITE } from "../rights.ts";
import { NO_FRAME, PAGE_SIZE, TABLE_PAGES, type Pfn, type VirtAddr, type Vpn } from "../units.ts";
import {
  FAULT_TABLE,
  MAP_COPY,
  MAP_DEVICE,
  MAP_NEW,
  MAP_READ_ONLY,
  MAP_ZERO,
  REFUSE,
  SOURCE_CLONED,
  SOURCE_DEVICE,
  SOURCE_GUARD,
  SOURCE_NOTHING,
  SOURCE_OWN,
  SOURCE_PRIVATE,
  SOURCE_SHARED,
} from "./fault-table.ts";
import { hintsFor, type FramePlacement } from "./frame-placement.ts";
import { dropAnon } from "./private-pages.ts";
import type { Region } from "./region.ts";
import { isPageResident } from "./residency.ts";
import { makeRoom } from "./resident-limit.ts";
import { GUARD_PAGE, type Sheet } from "./sheet.ts";
import type { AddressSpace } from "./space.ts";
import { growStack } from "./stack-growth.ts";

/** Pages around a faulting page of an object that are mapped with it where they are in frames: one cache line of entries, twice. */
export const FAULT_AROUND = 16;

/** Resolves faults. */
export class FaultHandler {
  /** Pages mapped around a fault, a power of two; 1 switches fault-around off. */
  faultAround: number = FAULT_AROUND;
  /** Whether loads of untouched memory map the one shared frame of zeroes. */
  zeroFrame = true;
  /** NUMA node of the processor that runs. */
  currentNode: () => number = () => -1;
  /** Faults that 2M pages resolve. */
  readonly large: LargePages;
  readonly #core: Core;
  #zeroPfn: Pfn = NO_FRAME;

  /** A handler for a core. */
  constructor(core: Core, large: LargePages) {
    this.#core = core;
    this.large = large;
  }

  /** The shared frame of zeroes, −1 while there is none. */
  get zeroFramePfn(): Pfn {
    return this.#zeroPfn;
  }

  /** Resolves an access (READ, WRITE or EXECUTE, and USER from user mode) at an address, or says why it cannot be. */
  fault(space: AddressSpace, address: VirtAddr, access: number): FaultOutcome {
    const vpn = Math.floor(address / PAGE_SIZE);
    const region = space.regions.find(vpn) ?? growStack(space, vpn);
    if (region === null) return this.#failed(space, null, vpn, "unmapped");
    const lacking = access & ~region.rights & RIGHTS_MASK;
    if (lacking !== 0) return this.#failed(space, region, vpn, lackingOutcome(lacking));
    if (space.isMoving) return "busy";
    if (space.limits.residentPages !== Infinity && !makeRoom(space, vpn))
      return this.#failed(space, region, vpn, "no-memory");
    const { groups, yields } = this.#core;
    const charged = groups?.begin(space.group) ?? -1;
    const placement = region.placement ?? space.placement;
    let outcome =
      placement === null
        ? this.resolve(space, region, vpn, access)
        : this.#resolvePlaced(space, region, placement, vpn, access);
    if (outcome === "no-memory") outcome = this.#withoutFrame(space, region, vpn, access, yields);
    this.#core.tally.fault(space, region, vpn, outcome);
    this.#core.prefetcher.follow();
    groups?.end(space.group, charged, this.#core.reclaimer);
    return outcome;
  }

  /**
   * What a fault without a frame comes to: others ran meanwhile, or room was made (for a table, say), and it starts over; pages are leaving, or on their way to files, or slots are about to be free, and it waits
   * for one; a page that has a frame gets its tables out of the reserve; the owner of the manager ends a space, and it starts over; or nothing helps.
   */
  #withoutFrame(space: AddressSpace, region: Region, vpn: Vpn, access: number, yields: number): FaultOutcome {
    const core = this.#core;
    if (core.yields !== yields || core.keeper.makeRoom()) return "spurious";
    const { relief } = core;
    if (relief !== null) {
      space.pending = relief.then(() => undefined);
      return "pending";
    }
    if (core.reserve !== null && isPageResident(space, region, vpn)) {
      core.reserve.open();
      const outcome = this.resolve(space, region, vpn, access);
      core.reserve.close();
      if (outcome !== "no-memory") return outcome;
    }
    return core.lastResort.ask(space) ? "spurious" : "no-memory";
  }

  /** Resolves an access that the region allows. */
  resolve(space: AddressSpace, region: Region, vpn: Vpn, access: number): FaultOutcome {
    const write = (access & WRITE) !== 0;
    const sheet = space.sheetFor(vpn);
    const anon = sheet.anons[vpn & (TABLE_PAGES - 1)]!;
    const source = this.#sourceOf(region, anon);
    const action = FAULT_TABLE[source * 2 + (write ? 1 : 0)]!;
    const isLarge = this.large.wants(region);
    if (action === MAP_NEW && !isLarge) return this.#mapNew(space, region, sheet, vpn);
    const state = space.tables.query(vpn);
    if (state !== 0 && (access & ~state & RIGHTS_MASK) === 0) {
      space.invalidateHere(vpn);
      return "spurious";
    }
    if (action === REFUSE) return "guard";
    if (isLarge) {
      const wanted = action === MAP_ZERO && (!this.zeroFrame || region.locked !== "none") ? MAP_NEW : action;
      const fill = (): FaultOutcome | null => this.large.resolve(space, region, vpn, wanted, write, state !== 0);
      const done = this.#core.tally.asking(space, region, fill);
      if (done !== null) return done;
    }
    if (action === MAP_NEW) return this.#mapNew(space, region, sheet, vpn);
    if (action === MAP_ZERO) return this.#mapZero(space, region, sheet, vpn);
    if (action === MAP_DEVICE) return this.#mapDevice(space, region, vpn);
    const outcome =
      anon >= 0 ? this.#bringAnon(space, region, vpn, anon) : this.#bringObject(space, region, vpn, write);
    if (outcome !== "minor" && outcome !== "major") return outcome;
    const page = anon >= 0 ? anon : region.object === null ? NO_PAGE : region.object.pages.get(region.indexOf(vpn));
    if (page < 0) return "bus";
    if (action === MAP_COPY) return this.#mapCopy(space, region, sheet, vpn, page, outcome);
    this.#core.balancer?.used(page);
    const rights = action === MAP_READ_ONLY || (region.writeNotify && !write) ? region.rights & ~WRITE : region.rights;
    if (state !== 0 && !this.#unmapOld(space, vpn)) return "spurious";
    if (!this.#map(space, region, sheet, vpn, page, rights)) return "no-memory";
    if (anon < 0 && this.faultAround > 1 && region.object !== null)
      this.#mapAround(space, region, sheet, vpn, region.object);
    return outcome;
  }

  /** {@link resolve} for a region that wishes for certain frames. */
  #resolvePlaced(
    space: AddressSpace,
    region: Region,
    placement: FramePlacement,
    vpn: Vpn,
    access: number,
  ): FaultOutcome {
    const { keeper } = this.#core;
    return keeper.wishing(hintsFor(placement, vpn, this.currentNode()), () => this.resolve(space, region, vpn, access));
  }

  /** Gives the shared zero frame back. */
  close(): void {
    if (this.#zeroPfn !== NO_FRAME) this.#core.frames.give(this.#zeroPfn);
    this.#zeroPfn = NO_FRAME;
  }

  #sourceOf(region: Region, anon: number): number {
    if (anon >= 0) return this.#core.pages.refs[anon] === 1 ? SOURCE_OWN : SOURCE_CLONED;
    if (anon === GUARD_PAGE) return SOURCE_GUARD;
    const { object } = region;
    if (object === null) return SOURCE_NOTHING;
    if (object.kind === "device") return SOURCE_DEVICE;
    return region.shared ? SOURCE_SHARED : SOURCE_PRIVATE;
  }

  /** First store to untouched private memory: a zeroed frame, mapped writable. Tables are not looked at before: all that can be there is the frame of zeroes. */
  #mapNew(space: AddressSpace, region: Region, sheet: Sheet, vpn: Vpn): FaultOutcome {
    const core = this.#core;
    const pfn = core.keeper.takeZeroed();
    if (pfn < 0) return "no-memory";
    const page = core.pages.create();
    core.place(page, pfn);
    sheet.anons[vpn & (TABLE_PAGES - 1)] = page;
    sheet.used++;
    return core.fill(space, region, sheet, vpn, page, region.rights)
      ? "zero"
      : this.#mapNewSlowly(space, region, sheet, vpn, page);
  }

  /** The rest of {@link #mapNew} where a table is missing, or the frame of zeroes is in the way. */
  #mapNewSlowly(space: AddressSpace, region: Region, sheet: Sheet, vpn: Vpn, page: number): FaultOutcome {
    if (space.tables.query(vpn) !== 0 && !this.#unmapOld(space, vpn)) return "spurious";
    if (this.#map(space, region, sheet, vpn, page, region.rights)) return "zero";
    dropAnon(space, sheet, vpn);
    return "no-memory";
  }

  /** First load of untouched private memory: the shared frame of zeroes, read-only; a frame of its own where it is locked, or of another type than that frame. */
  #mapZero(space: AddressSpace, region: Region, sheet: Sheet, vpn: Vpn): FaultOutcome {
    const core = this.#core;
    const isOwn = region.locked !== "none" || region.type !== 0;
    if (!this.zeroFrame || isOwn) return this.#mapNew(space, region, sheet, vpn);
    if (this.#zeroPfn === NO_FRAME) {
      this.#zeroPfn = core.frames.take();
      if (this.#zeroPfn === NO_FRAME) return this.#mapNew(space, region, sheet, vpn);
      core.window.zero(this.#zeroPfn);
    }
    const rights = (region.rights & ~WRITE) + space.attributes;
    if (space.tables.fill(vpn, this.#zeroPfn, rights)) return "zero";
    const change = core.begin(space);
    const mapped = space.tables.map(vpn, this.#zeroPfn, rights, change.plan);
    core.end(change);
    return mapped ? "zero" : "no-memory";
  }

  #mapDevice(space: AddressSpace, region: Region, vpn: Vpn): FaultOutcome {
    const core = this.#core;
    const { object } = region;
    if (!(object instanceof DeviceObject)) return "bus";
    const index = region.indexOf(vpn);
    if (index >= object.frames) return "bus";
    const change = core.begin(space);
    const attributes = region.rights + space.attributes + (region.type << 4);
    const mapped = space.tables.map(vpn, object.frameAt(index), attributes, change.plan);
    core.end(change);
    return mapped ? "minor" : "no-memory";
  }

  /** A store to a page that others see too: the writer gets a copy of its own. */
  #mapCopy(
    space: AddressSpace,
    region: Region,
    sheet: Sheet,
    vpn: Vpn,
    from: number,
    brought: FaultOutcome,
  ): FaultOutcome {
    const core = this.#core;
    const change = core.begin(space);
    core.pin(from);
    const pfn = core.keeper.take();
    if (pfn >= 0) core.window.copy(core.pages.pfn[from]!, pfn);
    if (pfn < 0 || core.isSuspect(from)) {
      if (pfn >= 0) core.keeper.giveUnused(pfn);
      core.releasePinned(from, change.plan);
      core.end(change);
      return pfn < 0 ? "no-memory" : "bus";
    }
    const page = core.pages.create();
    core.place(page, pfn);
    core.dirty(page);
    core.releasePinned(from, change.plan);
    const at = vpn & (TABLE_PAGES - 1);
    const before = sheet.anons[at]!;
    sheet.anons[at] = page;
    if (before < 0) sheet.used++;
    const { yields } = core;
    change.remove(vpn, vpn + 1, region.locked !== "none");
    if (before >= 0) core.dropReference(before, change.plan);
    change.plan.flush();
    const mapped = core.yields !== yields || core.map(space, region, sheet, vpn, page, region.rights, change.plan);
    core.end(change);
    if (!mapped) return "no-memory";
    return brought === "major" ? "major" : "copy";
  }

  #bringAnon(space: AddressSpace, region: Region, vpn: Vpn, page: number): FaultOutcome {
    const { pages, prefetcher, swapper, tally } = this.#core;
    if (pages.has(page, PAGE_POISONED)) return "bus";
    if (pages.isResident(page)) {
      prefetcher.touched(page);
      return "minor";
    }
    const stored = pages.swap[page]! >= 0;
    const brought = tally.asking(space, region, () => swapper.bringIn(page));
    if (brought === SUPPLY_NO_MEMORY) return "no-memory";
    if (brought === SUPPLY_BUS) return "bus";
    if (brought < 0) space.pending = swapper.pending;
    if (stored) prefetcher.swapFault(space, region, vpn);
    if (brought < 0) return "pending";
    return stored ? "major" : "minor";
  }

  #bringObject(space: AddressSpace, region: Region, vpn: Vpn, write: boolean): FaultOutcome {
    const { object } = region;
    if (object === null) return "bus";
    const index = region.indexOf(vpn);
    if (index * PAGE_SIZE >= object.size) return "bus";
    const { prefetcher, tally, yields } = this.#core;
    if (write && region.writeNotify && object.writeFault(index, vpn) === "deny") return "bus";
    if (this.#core.yields !== yields) return "spurious";
    const brought = tally.asking(space, region, () => object.obtain(index));
    if (brought >= 0 && this.#core.yields !== yields) return "spurious"; // A pager's doing.
    if (brought >= 0) {
      const read = object.supplyRead;
      if (object.readAhead !== null)
        prefetcher.fileFault(object, object.readAhead, space, region, index, brought, read);
      else if (read) prefetcher.swapFault(space, region, vpn);
      else prefetcher.touched(brought);
      return read ? "major" : "minor";
    }
    if (brought === SUPPLY_NO_MEMORY) return "no-memory";
    if (brought === SUPPLY_BUS) return "bus";
    space.pending = object.pending;
    return "pending";
  }

  /** Maps neighbours of a page of an object that are in frames already, read-only and unlocked regions only. */
  #mapAround(space: AddressSpace, region: Region, sheet: Sheet, vpn: Vpn, object: MemoryObject): void {
    if (region.locked !== "none" || region.writeNotify || space.limits.residentPages !== Infinity) return;
    const core = this.#core;
    const size = this.faultAround;
    const first = Math.max(region.start, Math.floor(vpn / size) * size);
    const end = Math.min(region.end, Math.floor(vpn / size) * size + size);
    const rights = region.rights & ~WRITE;
    let change = null;
    for (let at = first; at < end; at++) {
      if (at === vpn || sheet.anons[at & (TABLE_PAGES - 1)] !== NO_PAGE) continue;
      const page = object.pages.get(region.indexOf(at));
      if (page < 0 || !core.pages.isResident(page) || space.tables.query(at) !== 0) continue;
      if (object.readAhead?.trigger === region.indexOf(at)) continue;
      change ??= core.begin(space);
      if (!core.map(space, region, sheet, at, page, rights, change.plan)) break;
      core.stats.prefetched++;
    }
    if (change !== null) core.end(change);
  }

  /** Removes the translation that is in the way; false: others ran meanwhile, and the fault starts over. */
  #unmapOld(space: AddressSpace, vpn: Vpn): boolean {
    const core = this.#core;
    const { yields } = core;
    const change = core.begin(space);
    change.removeInto(vpn, change.plan);
    core.end(change);
    return core.yields === yields;
  }

  #map(space: AddressSpace, region: Region, sheet: Sheet, vpn: Vpn, page: number, rights: number): boolean {
    const core = this.#core;
    if (core.fill(space, region, sheet, vpn, page, rights)) return true;
    const change = core.begin(space);
    const mapped = core.map(space, region, sheet, vpn, page, rights, change.plan);
    core.end(change);
    return mapped;
  }

  #failed(space: AddressSpace, region: Region | null, vpn: Vpn, outcome: FaultOutcome): FaultOutcome {
    this.#core.tally.fault(space, region, vpn, outcome);
    return outcome;
  }
}

function lackingOutcome(lacking: number): FaultOutcome {
  if ((lacking & USER) !== 0) return "no-user";
  if ((lacking & WRITE) !== 0) return "no-write";
  return (lacking & EXECUTE) !== 0 ? "no-execute" : "no-read";
}
