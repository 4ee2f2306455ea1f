/**
 * Assembles 2M pages in the background, in the manner of Linux's khugepaged: looks at a sheet after the other, and copies the pages of one that is nearly full
 * and in use into a block of frames, which one leaf then translates.
 *
 * ```
 *  512 entries ── all private, own, in frames, unpinned; some used ── unmap, flush ── nobody mapped one meanwhile? ── copy ── one leaf
 *                                                                        └─ again, a few times, or left as they are
 * ```
 * From the last flush on nobody else runs until the leaf is there, and the pages are frozen before: whoever shares, unmaps or moves one of them at a yield
 * point is found out by the second look.
 */
import type { Change } from "../change.ts";
import type { Core } from "../core.ts";
import type { Migrator } from "../migration.ts";
import { NO_PAGE, PAGE_REFERENCED } from "../pages/pages.ts";
import type { SpecialFrames } from "../ports.ts";
import { ACCESSED, WRITE } from "../rights.ts";
import type { Region } from "../space/region.ts";
import type { Sheet } from "../space/sheet.ts";
import type { AddressSpace } from "../space/space.ts";
import { blockWishesAt, type Wishes } from "../space/wishes.ts";
import { NO_FRAME, TABLE_PAGES, type Pfn, type Vpn } from "../units.ts";
import { giveBlock, hasRoom, takeBlock } from "./blocks.ts";
import { canHold, type LargePages } from "./large-pages.ts";
import { enterMappings, mapFrames } from "./leaf.ts";

/** Of the 512 pages of a collapse, those that may be missing and become zeroes: a tenth, as in Ingens (Kwon and others, OSDI 2016). Linux allows 511. */
export const MAX_MISSING = 51;
/** What a look at a sheet costs of a budget that is counted in copied pages. */
const LOOK_COST = 8;
/** Times that pages which others map again are unmapped before they are left as they are. */
const MAX_ROUNDS = 4;
/** Frames that are moved at most to make one block free: more would cost more copies than the collapse. */
const MAX_MOVES = 256;
/** Free runs that turn out to be no blocks, before the search for one ends. */
const MAX_TRIES = 16;

/** One unit to look at. */
interface Unit {
  readonly space: AddressSpace;
  readonly base: Vpn;
}

/** Turns small pages into 2M pages, a bounded step at a time. */
export class Collapser {
  readonly #core: Core;
  readonly #large: LargePages;
  readonly #migrator: Migrator;
  readonly #special: SpecialFrames | null;
  readonly #maxMissing: number;
  /** Units of this round that have still to be looked at. */
  #units: Unit[] = [];
  /** Pages that may be copied now; negative: a collapse cost more than there was. */
  #credit = 0;

  /** A collapser; `special` says which frames to move where no block is free. */
  constructor(
    core: Core,
    large: LargePages,
    migrator: Migrator,
    special: SpecialFrames | null,
    maxMissing: number = MAX_MISSING,
  ) {
    this.#core = core;
    this.#large = large;
    this.#migrator = migrator;
    this.#special = special;
    this.#maxMissing = maxMissing;
  }

  /** Works for about `budget` copied pages, at the most 512 more; what a collapse cost beyond it is saved up for first the next time. Returns the pages now under new leaves. */
  step(budget: number): number {
    if (this.#large.use === "never") return 0;
    this.#credit = Math.min(this.#credit + budget, Math.max(budget, TABLE_PAGES));
    if (this.#units.length === 0) this.#beginRound();
    let collapsed = 0;
    while (this.#credit > 0) {
      const unit = this.#units.pop();
      if (unit === undefined) break;
      this.#credit -= LOOK_COST;
      if (!this.collapse(unit.space, unit.base)) continue;
      this.#credit -= TABLE_PAGES;
      collapsed += TABLE_PAGES;
    }
    return collapsed;
  }

  /** Collapses the 512 pages of a space from `base` on if that is wanted and can be done now. */
  collapse(space: AddressSpace, base: Vpn): boolean {
    const core = this.#core;
    const found = this.#candidate(space, base);
    if (found === null || !hasRoom(core, TABLE_PAGES - found.sheet.used)) return false;
    if (this.#isInRow(found.sheet)) return this.#assemble(space, found.region, found.sheet, base, NO_FRAME);
    const wishes = blockWishesAt(space, found.region, found.sheet, base);
    const block = wishes === "spread" ? NO_FRAME : this.#block(wishes);
    if (block === NO_FRAME) return false;
    const still = this.#candidate(space, base); // Moving frames out of the way takes time.
    if (still !== null && this.#assemble(space, still.region, still.sheet, base, block)) return true;
    if (still === null) giveBlock(core, block, TABLE_PAGES);
    return false;
  }

  /** Lists the sheets that there are now. */
  #beginRound(): void {
    for (const space of this.#core.spaces.values())
      space.sheets.forEach(space.low, space.high, (sheet, base) => {
        if (TABLE_PAGES - sheet.used <= this.#maxMissing) this.#units.push({ space, base });
      });
    this.#units.reverse();
  }

  /** The region and sheet of 512 pages that should and could be under one leaf; else null. */
  #candidate(space: AddressSpace, base: Vpn): { region: Region; sheet: Sheet } | null {
    const core = this.#core;
    const region = space.regions.find(base);
    const sheet = space.sheets.get(base);
    if (region === null || sheet === null || space.isMoving || sheet.sharers !== null) return null;
    if (space.limits.residentPages !== Infinity) return null;
    if (!this.#large.wants(region) || !canHold(region, base)) return null;
    if (region.object !== null || region.locked !== "none" || (region.rights & WRITE) === 0) return null;
    if (core.tables.large?.pagesAt(space.tables, base) !== 1 || TABLE_PAGES - sheet.used > this.#maxMissing)
      return null;
    return this.#areOwn(sheet) && this.#isUsed(space, sheet, base) ? { region, sheet } : null;
  }

  /** Whether every page there is lies in a frame, belongs to this sheet alone and may be moved. */
  #areOwn(sheet: Sheet): boolean {
    const { pages, mappings } = this.#core;
    for (const page of sheet.anons) {
      if (page === NO_PAGE) continue;
      if (page < 0 || !pages.isResident(page) || pages.refs[page] !== 1 || pages.holds[page] !== 0) return false;
      if (this.#core.isSuspect(page)) return false;
      const first = mappings.first(page);
      if (first >= 0 && (mappings.next(first) >= 0 || mappings.sheetOf(first) !== sheet.number)) return false;
    }
    return true;
  }

  /** Whether any page was used since accessed bits were cleared last: what nobody uses needs no larger page. */
  #isUsed(space: AddressSpace, sheet: Sheet, base: Vpn): boolean {
    const { pages } = this.#core;
    for (let at = 0; at < TABLE_PAGES; at++) {
      const page = sheet.anons[at]!;
      if (page >= 0 && (pages.has(page, PAGE_REFERENCED) || (space.tables.query(base + at) & ACCESSED) !== 0))
        return true;
    }
    return false;
  }

  /** Whether all 512 pages lie in frames in a row already. */
  #isInRow(sheet: Sheet): boolean {
    if (sheet.used < TABLE_PAGES) return false;
    const { pfn } = this.#core.pages;
    const first = pfn[sheet.anons[0]!]!;
    if (Math.floor(first / TABLE_PAGES) * TABLE_PAGES !== first) return false;
    for (let at = TABLE_PAGES - 1; at > 0; at--) if (pfn[sheet.anons[at]!] !== first + at) return false;
    return true;
  }

  /** A block of frames: a free one, or one that becomes free when a few pages move. */
  #block(wishes: Wishes): Pfn {
    const core = this.#core;
    const free = takeBlock(core, TABLE_PAGES, wishes);
    if (free !== NO_FRAME || this.#special === null || core.frames.split === undefined) return free;
    const node = wishes?.[0]?.node ?? -1;
    let above = 0;
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const outcome = this.#special.request({ frames: TABLE_PAGES, alignment: TABLE_PAGES, above, node });
      if (!outcome.ok) {
        if (outcome.plan === undefined || outcome.plan.moves.length > MAX_MOVES) return NO_FRAME;
        if (!this.#migrator.evacuate(outcome.plan, false).ok) return NO_FRAME;
        this.#special.release(outcome.plan.start, outcome.plan.frames);
        return takeBlock(core, TABLE_PAGES, wishes);
      }
      // A run that is free and yet no block lies in a zone that is kept for devices.
      this.#special.release(outcome.start, outcome.frames);
      above = outcome.start + outcome.frames;
    }
    return NO_FRAME;
  }

  /** Puts the pages of a sheet under one leaf, copied into `block` (NO_FRAME: they stay where they are). False: left as they are, the block given back. */
  #assemble(space: AddressSpace, region: Region, sheet: Sheet, base: Vpn, block: Pfn): boolean {
    const core = this.#core;
    const before = sheet.anons.slice();
    const change = core.begin(space);
    for (const page of before) {
      if (page < 0) continue;
      core.policy.remove(page);
      core.freeze(page);
    }
    const quiet = this.#unmap(change, space, sheet, base);
    const isUnchanged = quiet && this.#isUnchanged(space, region, sheet, base, before);
    const same = isUnchanged && (block === NO_FRAME || this.#copy(sheet, block));
    if (same && block !== NO_FRAME) this.#moveInto(change, sheet, block);
    for (const page of before)
      if (page >= 0 && core.thaw(page, change.plan) && core.pages.holds[page] === 0) core.policy.insert(page);
    const pfn = same ? core.pages.pfn[sheet.anons[0]!]! : NO_FRAME;
    const done = same && mapFrames(space, region, base, TABLE_PAGES, pfn, region.rights, change.plan);
    if (done) {
      enterMappings(core, region, sheet, (at) => sheet.anons[at]!);
      this.#large.collapsed();
    }
    if (!same && block !== NO_FRAME) giveBlock(core, block, TABLE_PAGES);
    core.end(change);
    return done;
  }

  /** Removes all translations of a sheet, flushed everywhere; false: others make new ones all the time. */
  #unmap(change: Change, space: AddressSpace, sheet: Sheet, base: Vpn): boolean {
    for (let round = 0; round < MAX_ROUNDS; round++) {
      change.remove(base, base + TABLE_PAGES, false);
      change.plan.flush();
      if (sheet.mapped === 0 && this.#isClear(space, base)) return true;
    }
    return false;
  }

  #isClear(space: AddressSpace, base: Vpn): boolean {
    for (let at = 0; at < TABLE_PAGES; at++) if (space.tables.query(base + at) !== 0) return false;
    return true;
  }

  /** Whether what was decided at first still holds, page by page. */
  #isUnchanged(space: AddressSpace, region: Region, sheet: Sheet, base: Vpn, before: Int32Array): boolean {
    if (space.isDestroyed || space.isMoving || space.sheets.get(base) !== sheet) return false;
    if (space.regions.find(base) !== region || !canHold(region, base)) return false;
    if (region.locked !== "none" || (region.rights & WRITE) === 0) return false;
    const { pages } = this.#core;
    for (let at = 0; at < TABLE_PAGES; at++) {
      const page = sheet.anons[at]!;
      if (page !== before[at]) return false;
      if (page >= 0 && (pages.refs[page] !== 1 || pages.pins[page] !== 1)) return false; // The one pin is ours.
    }
    return true;
  }

  /** Copies the bytes of a sheet's pages into a block, zeroes for missing ones; false: some of them may be wrong. */
  #copy(sheet: Sheet, block: Pfn): boolean {
    const { pages, suspects, window } = this.#core;
    let isGood = true;
    for (let at = 0; at < TABLE_PAGES; at++) {
      const page = sheet.anons[at]!;
      if (page === NO_PAGE) window.zero(block + at);
      else window.copy(pages.pfn[page]!, block + at);
      if (page !== NO_PAGE && suspects.has(pages.pfn[page]!)) isGood = false;
    }
    return isGood;
  }

  /** Makes the frames of a block, which have the bytes, those of a sheet's pages; missing ones become pages of zeroes. */
  #moveInto(change: Change, sheet: Sheet, block: Pfn): void {
    const core = this.#core;
    const { pages } = core;
    for (let at = 0; at < TABLE_PAGES; at++) {
      const page = sheet.anons[at]!;
      const target = block + at;
      if (page === NO_PAGE) {
        const made = pages.create();
        core.place(made, target);
        sheet.anons[at] = made;
        sheet.used++;
        continue;
      }
      const source = pages.pfn[page]!;
      core.frameMap.clear(source);
      core.frameMap.set(target, page);
      pages.pfn[page] = target;
      change.plan.dataFrame(source);
    }
  }
}
