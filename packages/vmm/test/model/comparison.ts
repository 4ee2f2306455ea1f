/**
 * The comparison of a manager with its oracle, page by page, by looking: at regions, sheets, page records, frames, swap slots and table entries, never by an access.
 * So what is in swap stays there, and what nobody has touched stays untouched.
 *
 * Agree must: what is mapped with which rights, type and lock; what each page holds, wherever it lies; who shares it, to the exact count of references; what
 * entries lead to, and that only pages with one owner can be stored to; which pages are in frames, and that every other frame is accounted for.
 */
import { PAGE_SIZE, RIGHTS_MASK, TABLE_PAGES, USER, WRITE, typeOf, type Region } from "@pagewright/vmm";

import { PAGE_POISONED } from "../../src/pages/pages.ts";
import { Content, copyOf, setOwn, valueOf, type NaiveObject, type NaivePage } from "./naive.ts";
import { WORD, isBuffer, type Thing } from "./things.ts";
import type { Pair, World } from "./world.ts";

/** What a page of the manager holds: its word, or that it is lost. */
type Word = number | "lost";

/** Compares a world with itself. */
export class Comparison {
  readonly #world: World;
  readonly #four: Uint8Array = new Uint8Array(4);
  readonly #view: DataView = new DataView(this.#four.buffer);
  readonly #page: Uint8Array = new Uint8Array(PAGE_SIZE);
  /** The content of each page record that was seen. */
  readonly #contents: Map<number, Content> = new Map();
  /** Page records that some part of the world names. */
  readonly #named: Set<number> = new Set();

  constructor(world: World) {
    this.#world = world;
  }

  /** Throws at the first difference. */
  run(): void {
    const { vmm, spaces, things, retired } = this.#world;
    vmm.check();
    this.#contents.clear();
    this.#named.clear();
    this.noticePurges();
    for (const pair of spaces) {
      this.#comparePages(pair);
      demand(pair.real.mappedPages === pair.naive.pages.size, "a space has mapped other pages", {
        mapped: pair.real.mappedPages,
        naive: pair.naive.pages.size,
      });
    }
    for (const thing of things) this.#compareObject(thing);
    for (const thing of retired) if (!thing.real.isDestroyed) this.#compareObject(thing);
    this.#compareReferences();
    this.#compareTransfers();
    this.#compareFrames();
  }

  /** Ranges whose owner let go of them and that the manager has dropped. */
  noticePurges(): void {
    const open = this.#world.volatile.filter(({ isHeld }) => !isHeld);
    if (open.length === 0) return;
    const gone = new Set<NaivePage>();
    for (const pair of this.#world.spaces)
      for (const [vpn, page] of pair.naive.pages) {
        const { own } = page;
        if (own === null || own.page < 0) continue;
        const anon = anonOf(pair, vpn);
        if (anon === -1 || (anon !== own.page && own.owners === 1)) gone.add(page);
      }
    for (const range of open) {
      if (!range.pages.some((page) => gone.has(page))) continue;
      range.wasPurged = true;
      for (const page of range.pages) setOwn(page, null);
    }
  }

  #comparePages(pair: Pair): void {
    let locked = 0;
    for (const page of pair.naive.pages.values()) if (page.locked) locked++;
    demand(pair.real.lockedPages === locked, "a space has locked other pages", { locked });
    for (const [start, count] of this.#world.windows())
      for (let vpn = start; vpn < start + count; vpn++) {
        const page = pair.naive.pages.get(vpn);
        const region = pair.real.regions.find(vpn);
        if (page === undefined || region === null) {
          demand(page === undefined && region === null, "a page is mapped in one world only", { vpn });
          demand(pair.real.tables.query(vpn) === 0, "an entry leads somewhere where nothing is mapped", { vpn });
          continue;
        }
        this.#compareTraits(vpn, page, region);
        this.#compareOwn(pair, vpn, page);
        this.#compareEntry(pair, vpn, page, region);
      }
  }

  #compareTraits(vpn: number, page: NaivePage, region: Region): void {
    const same =
      region.rights === page.rights + USER
      && region.ceiling === page.ceiling + USER
      && region.shared === page.shared
      && region.type === page.type
      && (region.locked !== "none") === page.locked
      && region.leftOutOfClones === page.skipped
      && region.wipedInClones === page.wiped
      && (page.object === null) === (region.object === null)
      && (page.object === null || region.indexOf(vpn) === page.index);
    if (same) return;
    const { rights, ceiling, shared, type, locked, leftOutOfClones, wipedInClones } = region;
    const real = { rights, ceiling, shared, type, locked, leftOutOfClones, wipedInClones, index: region.indexOf(vpn) };
    demand(false, "a region has other traits", { vpn, real, page: { ...page, own: null, object: null } });
  }

  /** The private page of an entry: none, a guard, or the content that the oracle has, with its identity. */
  #compareOwn(pair: Pair, vpn: number, page: NaivePage): void {
    const anon = anonOf(pair, vpn);
    demand((anon === -2) === page.guard, "a guard is in one world only", { vpn });
    if (anon < 0) {
      demand(page.own === null, "a private page is gone", { vpn, value: page.own?.value });
      return;
    }
    const isCopied = this.#world.allowance.copies.some(
      (range) => range.pair === pair && vpn >= range.start && vpn < range.start + range.count,
    );
    if (page.own === null) {
      demand(page.object === null || isCopied, "a page was copied that nobody stored to", { vpn });
      setOwn(
        page,
        this.#contents.get(anon) ?? new Content(page.object === null ? 0 : valueOf(page.object, page.index)),
      );
    } else if (page.own.page >= 0 && page.own.page !== anon) {
      demand(isCopied && page.own.owners > 1, "a page was copied that had one owner", { vpn });
      setOwn(page, copyOf(page.own));
    }
    if (page.own === null) return;
    page.own.page = anon;
    const known = this.#contents.get(anon);
    demand(known === undefined || known === page.own, "a page is shared that should be the space's own", { vpn });
    this.#contents.set(anon, page.own);
    this.#compareContent(anon, page.own, { vpn });
  }

  #compareContent(record: number, content: Content, where: Readonly<Record<string, unknown>>): void {
    this.#named.add(record);
    const word = this.#wordOf(record);
    if (word === "lost") {
      demand(content.lost || this.#world.coin.failures > 0, "a page is lost though no port failed", where);
      content.lost = true;
      return;
    }
    demand(!content.lost, "a lost page is back", where);
    if (word === 0 && this.#mayBeZero(content)) content.value = 0;
    demand(word === content.value, "a page holds something else", { ...where, word, wanted: content.value });
  }

  #mayBeZero(content: Content): boolean {
    return content.mayVanish || this.#world.allowance.zeroes.has(content);
  }

  /** What an entry leads to, and with which rights. */
  #compareEntry(pair: Pair, vpn: number, page: NaivePage, region: Region): void {
    const { tables } = pair.real;
    const state = tables.query(vpn);
    if (state === 0) return;
    const { frame } = tables;
    const { core, faults } = this.#world.vmm;
    demand((state & RIGHTS_MASK & ~region.rights) === 0, "an entry has a right that its region lacks", { vpn, state });
    const { own, object, index } = page;
    if (own === null && object === null) {
      demand(frame === faults.zeroFramePfn && (state & WRITE) === 0, "an entry of untouched memory", { vpn, frame });
      return;
    }
    demand(typeOf(state) === page.type, "an entry has another memory type", { vpn, state });
    const isSole = own === null ? page.shared : own.owners === 1;
    demand((state & WRITE) === 0 || isSole, "a page of several owners can be stored to", { vpn });
    if (object !== null && own === null && region.object !== null && isBuffer(region.object)) {
      demand(frame === region.object.frameAt(index), "an entry leads beside the buffer", { vpn, frame });
      return;
    }
    const record = own === null ? (region.object?.pages.get(index) ?? -1) : own.page;
    demand(core.frameMap.pageAt(frame) === record, "an entry leads to another page", { vpn, frame, record });
  }

  #compareObject({ real, naive, file }: Thing): void {
    if (!isBuffer(real))
      demand(real.pageCount === naive.pages, "an object has another size", { pages: real.pageCount });
    for (const region of real.regions.keys()) demand(region.type === naive.type, "an object has another type", {});
    for (let index = 0; index < naive.pages; index++) {
      const record = isBuffer(real) ? -1 : real.pages.get(index);
      const word = isBuffer(real) ? this.#wordAt(real.frameAt(index)) : this.#objectWord(record, index, naive, file);
      const content = naive.content.get(index);
      if (record >= 0) {
        this.#named.add(record);
        demand(this.#world.vmm.core.pages.refs[record] === 1, "an object's page has other owners", { index });
      }
      if (content !== undefined && word === "lost" && this.#world.coin.failures > 0) content.lost = true;
      if (content !== undefined && word === 0 && this.#mayBeZero(content)) content.value = 0;
      const wanted = valueOf(naive, index);
      if (word === "lost" && content === undefined) {
        const lost = new Content(0);
        lost.lost = true;
        lost.owners = 1;
        naive.content.set(index, lost);
      } else
        demand(word === wanted || word === "lost", "an object holds something else", {
          kind: naive.kind,
          index,
          word,
          wanted,
        });
    }
  }

  /** What a page of an object holds: in its record, or in the file if that is where it comes from. */
  #objectWord(record: number, index: number, naive: NaiveObject, file: Thing["file"]): Word {
    const { pages } = this.#world.vmm.core;
    const isHere = record >= 0 && (file === null || pages.isResident(record) || pages.swap[record]! >= 0);
    if (isHere) return this.#wordOf(record);
    if (file === null) return naive.initial(index);
    file.read(index * PAGE_SIZE + WORD, this.#four);
    return this.#view.getUint32(0, true);
  }

  /** Every content is referred to as often as the oracle says. */
  #compareReferences(): void {
    const { core } = this.#world.vmm;
    for (const [record, { owners }] of this.#contents) {
      const refs = core.pages.refs[record] ?? 0;
      demand(refs === owners, "a page has another number of owners", { record, refs, owners });
    }
  }

  /** Pages in the hands of devices stay where they are. */
  #compareTransfers(): void {
    const { pfn, pins } = this.#world.vmm.core.pages;
    for (const { pages, frames } of this.#world.transfers)
      for (const [at, page] of pages.entries()) {
        this.#named.add(page);
        demand(pfn[page] === frames[at] && pins[page]! > 0, "a pinned page moved", { page, frame: frames[at] });
      }
  }

  /** The pages in frames are those that somebody names, and every frame is in one place. */
  #compareFrames(): void {
    const { vmm, memory } = this.#world;
    const { core, faults } = vmm;
    let resident = 0;
    for (const record of this.#named) if (core.pages.isResident(record)) resident++;
    demand(resident === vmm.residentPages, "a page is in a frame that nobody names", {
      resident,
      counted: vmm.residentPages,
    });
    let others = core.keeper.stockFrames().length + core.standIns.size + (faults.zeroFramePfn >= 0 ? 1 : 0);
    for (const object of core.objects.values()) if (isBuffer(object)) others += object.frames;
    const taken = memory.totalFrames - memory.freeFrames - this.#world.ground.otherFrames();
    demand(taken === resident + others, "a frame is nowhere", { taken, resident, others });
  }

  #wordOf(record: number): Word {
    const { pages, swap } = this.#world.vmm.core;
    if (pages.has(record, PAGE_POISONED)) return "lost";
    const frame = pages.pfn[record]!;
    if (frame >= 0) return this.#wordAt(frame);
    const reference = pages.swap[record]!;
    if (reference < 0 || swap === null) return 0;
    if (swap.read(reference, this.#page) !== "ok") return "lost";
    return new DataView(this.#page.buffer).getUint32(WORD, true);
  }

  #wordAt(frame: number): number {
    this.#world.memory.read(frame, WORD, this.#four);
    return this.#view.getUint32(0, true);
  }
}

/** The private page of an entry: −1 none, −2 a guard. */
export function anonOf({ real }: Pair, vpn: number): number {
  return real.sheets.get(vpn)?.anons[vpn & (TABLE_PAGES - 1)] ?? -1;
}

/** Throws unless both worlds agree. */
function demand(agree: boolean, difference: string, facts: Readonly<Record<string, unknown>>): void {
  if (!agree) throw new Error(`${difference}: ${JSON.stringify(facts)}`);
}
