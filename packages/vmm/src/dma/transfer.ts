/**
 * Transfers to and from a program's own memory: its pages are pinned, their frames listed for a device with scatter-gather, and bounced through
 * buffers within reach where the device cannot address them.
 */
import type { Core } from "../core.ts";
import { VmmError } from "../errors.ts";
import { isResolved, type Refusal } from "../outcome.ts";
import type { SpecialFrames } from "../ports.ts";
import { READ, USER, WRITE } from "../rights.ts";
import type { AddressSpace } from "../space/space.ts";
import { PAGE_SIZE, TABLE_PAGES, type Pfn, type PhysAddr, type VirtAddr } from "../units.ts";

/** Bytes in a row in physical memory. */
export interface Segment {
  /** First byte. */
  readonly address: PhysAddr;
  /** Bytes. */
  readonly bytes: number;
}

/** Which way the data go: the device reads memory, or writes it. */
export type TransferDirection = "to-device" | "from-device";

/** A frame outside the device's reach and its stand-in. */
interface Bounce {
  readonly own: Pfn;
  readonly standIn: Pfn;
}

/** A program's buffer in the hands of a device. Ends with {@link complete}. */
export class DmaTransfer {
  /** What the device is told: segments in order, neighbours merged. */
  readonly segments: readonly Segment[];
  /** Pages that go through a stand-in. */
  readonly bounced: number;
  readonly #core: Core;
  readonly #pages: readonly number[];
  readonly #bounces: readonly Bounce[];
  readonly #direction: TransferDirection;
  readonly #special: SpecialFrames | null;
  #done = false;

  /** A transfer whose pages are pinned. Made by `Vmm.beginTransfer`. */
  constructor(
    core: Core,
    pages: readonly number[],
    segments: readonly Segment[],
    bounces: readonly Bounce[],
    direction: TransferDirection,
    special: SpecialFrames | null,
  ) {
    this.#core = core;
    this.#special = special;
    this.#pages = pages;
    this.segments = segments;
    this.#bounces = bounces;
    this.bounced = bounces.length;
    this.#direction = direction;
  }

  /** The device is done: bounced data are copied, stand-ins given back, pages marked as stored to and unpinned. Idempotent. */
  complete(): void {
    this.#end(this.#direction === "from-device");
  }

  /** The device was never started: {@link complete} without data. Idempotent. */
  cancel(): void {
    this.#end(false);
  }

  #end(stored: boolean): void {
    if (this.#done) return;
    this.#done = true;
    const core = this.#core;
    for (const { own, standIn } of this.#bounces) {
      if (stored) core.window.copy(standIn, own);
      core.standIns.delete(standIn);
      this.#special?.release(standIn, 1);
    }
    const change = core.begin(null);
    for (const page of this.#pages) {
      if (stored && core.pages.refs[page]! > 0) core.dirty(page);
      core.releasePinned(page, change.plan);
    }
    core.end(change);
  }
}

/** What a device can reach. */
export interface DeviceReach {
  /** First address that it cannot reach; without: all of memory. */
  readonly below?: PhysAddr;
  /** Longest segment in bytes, at least 1; without: any. */
  readonly longest?: number;
}

/**
 * Faults in and pins the pages under `[address, address + bytes)` and lists them for a device. Private pages are made the program's own
 * first where the device writes. Throws `out-of-range` for what is no range.
 */
export function beginTransfer(
  space: AddressSpace,
  address: VirtAddr,
  bytes: number,
  direction: TransferDirection,
  reach: DeviceReach = {},
  special: SpecialFrames | null = null,
): DmaTransfer | Refusal {
  const { core } = space.vmm;
  const { longest = Infinity } = reach;
  if (!Number.isSafeInteger(address) || !Number.isSafeInteger(bytes) || bytes < 0 || !(longest >= 1))
    throw new VmmError("out-of-range", "A transfer is of 0 or more bytes, in segments of at least one.", {
      address,
      bytes,
      longest,
    });
  const limit = Math.floor((reach.below ?? Infinity) / PAGE_SIZE);
  const pages: number[] = [];
  const bounces: Bounce[] = [];
  const list: Segment[] = [];
  const refuse = (reason: Refusal): Refusal => {
    new DmaTransfer(core, pages, [], bounces, direction, special).cancel();
    return reason;
  };
  for (let at = address; at < address + bytes;) {
    const offset = at & (PAGE_SIZE - 1);
    const count = Math.min(PAGE_SIZE - offset, address + bytes - at);
    const page = pinAt(space, at, direction === "from-device" ? WRITE : READ);
    if (typeof page === "string") return refuse(page);
    pages.push(page);
    let pfn = core.pages.pfn[page]!;
    if (pfn >= limit) {
      const standIn = takeBelow(special, limit);
      if (standIn < 0) return refuse("no-memory");
      // Also where the device is going to write: it may write less than it was asked for.
      core.window.copy(pfn, standIn);
      core.standIns.add(standIn);
      bounces.push({ own: pfn, standIn });
      if (core.suspects.has(pfn)) return refuse("bus");
      pfn = standIn;
    }
    append(list, pfn * PAGE_SIZE + offset, count, longest);
    at += count;
  }
  return new DmaTransfer(core, pages, list, bounces, direction, special);
}

/** Pins the page at an address, after an access of this kind; or why it cannot be had. */
function pinAt(space: AddressSpace, address: VirtAddr, access: number): number | Refusal {
  const { core } = space.vmm;
  const needed = access + (space.attributes === 0 ? USER : 0);
  const vpn = Math.floor(address / PAGE_SIZE);
  for (let tries = 0; tries < 4; tries++) {
    const state = space.tables.query(vpn);
    if ((needed & ~state) === 0) {
      const page = core.frameMap.pageAt(space.tables.frame);
      if (page >= 0) {
        if (core.isSuspect(page)) return "bus";
        core.pin(page);
        return page;
      }
      // The shared frame of zeroes has no page: a private one is made by a store.
      const region = space.regions.find(vpn);
      if (region === null || region.object !== null) return "not-anonymous";
      const sheet = space.sheetFor(vpn);
      if (sheet.anons[vpn & (TABLE_PAGES - 1)]! >= 0) return "not-anonymous";
      if (!isResolved(space.fault(address, WRITE + (needed & USER)))) return "rights";
      continue;
    }
    const outcome = space.fault(address, needed);
    if (outcome === "no-memory" || outcome === "unmapped" || outcome === "pending" || outcome === "bus") return outcome;
    if (!isResolved(outcome)) return "rights";
  }
  return "no-memory";
}

function takeBelow(special: SpecialFrames | null, limit: Pfn): Pfn {
  if (special === null) return -1;
  const outcome = special.request({ frames: 1, below: limit });
  return outcome.ok ? outcome.start : -1;
}

function append(list: Segment[], address: PhysAddr, bytes: number, longest: number): void {
  const last = list[list.length - 1];
  if (last !== undefined && last.address + last.bytes === address && last.bytes + bytes <= longest)
    list[list.length - 1] = { address: last.address, bytes: last.bytes + bytes };
  else
    for (let done = 0; done < bytes; done += longest)
      list.push({ address: address + done, bytes: Math.min(longest, bytes - done) });
}
