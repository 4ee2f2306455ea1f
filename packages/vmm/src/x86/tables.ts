/** The translations of one space in x86 page tables: x86-paging's mapper behind the core's port. */
import {
  ATTR_ACCESSED,
  ATTR_DIRTY,
  ATTR_GLOBAL,
  ATTR_TYPE_SHIFT,
  FLUSH_REQUIRED,
  RIGHT_EXECUTE,
  RIGHT_USER,
  RIGHT_WRITE,
  attributesOf,
  levelOf,
  splitPage,
  type FlushPlan as PagingPlan,
  type Mapper,
  type PagingLevel,
  type Refusal,
} from "@pagewright/x86-paging";

import { VmmError } from "../errors.ts";
import { FULL_LIMIT } from "../flush-plan.ts";
import type { EntrySink, FlushSink, TranslationTables } from "../ports.ts";
import { ACCESSED, DIRTY } from "../rights.ts";
import { NO_FRAME, type Pfn, type Vpn } from "../units.ts";
import type { AttributeMap } from "./attributes.ts";
import { LargeBook, PAGES_2M, tablesWithin } from "./large-book.ts";
import type { TableSource } from "./table-source.ts";

/** Tables of one space. */
export class X86Tables implements TranslationTables {
  /** Frame of the root table. */
  readonly root: Pfn;
  /** See {@link TranslationTables.frame}. */
  frame: Pfn = NO_FRAME;
  /** The mapper; for moves of whole tables and for auditors. */
  readonly mapper: Mapper;
  /** The 2M and 1G leaves. */
  readonly large: LargeBook = new LargeBook();
  readonly #attributes: AttributeMap;
  readonly #source: TableSource;
  /** Empties the part of the root that is not this space's own, before the tables go. */
  readonly #release: (root: Pfn) => void;
  /** The level whose entries map 4K pages. */
  readonly #leafLevel: PagingLevel;
  /** The leaf table that was found last, by number of 512 pages. */
  #lastNumber = NaN;
  #lastTable: Pfn = NO_FRAME;

  /** Tables over a mapper. */
  constructor(mapper: Mapper, attributes: AttributeMap, source: TableSource, release: (root: Pfn) => void) {
    this.mapper = mapper;
    this.root = mapper.root;
    this.#attributes = attributes;
    this.#source = source;
    this.#release = release;
    this.#leafLevel = levelOf(mapper.mode, 1);
  }

  /** See {@link TranslationTables.fill}. One look-up, one entry read and written. */
  fill(vpn: Vpn, pfn: Pfn, attributes: number): boolean {
    const table = this.#leafTable(vpn);
    if (table < 0) return false;
    const level = this.#leafLevel;
    return this.mapper.editor.fillLeaf(
      table,
      vpn & (level.entries - 1),
      level,
      pfn,
      this.#attributes.packed(attributes),
    );
  }

  /** See {@link TranslationTables.map}. */
  map(vpn: Vpn, pfn: Pfn, attributes: number, plan: FlushSink): boolean {
    if (this.fill(vpn, pfn, attributes)) return true;
    this.#splitAround(vpn, vpn + 1, plan);
    const done = this.mapper.map(vpn, 1, pfn, this.#attributes.packed(attributes), REPLACE);
    if (!done.ok) return this.#refused(done);
    this.#report(done, plan);
    return true;
  }

  /** See {@link TranslationTables.unmap}. */
  unmap(start: Vpn, end: Vpn, plan: FlushSink, sink: EntrySink | null): void {
    if (end - start === 1 && this.#unmapOne(start, plan, sink)) return;
    if (this.mapper.editor.shares.size === 0) this.#unmapRange(start, end, plan, sink);
    else this.#unmapShared(start, end, plan, sink);
  }

  /** Lets go of the tables of a table-aligned range: those that others use too live on with their entries. */
  detach(start: Vpn, end: Vpn, plan: FlushSink): void {
    this.#unmapRange(start, end, plan, null);
    this.forgetTables();
  }

  /** {@link unmap} table by table: a shared one is emptied, in two parts, because the mapper would detach it whole. */
  #unmapShared(start: Vpn, end: Vpn, plan: FlushSink, sink: EntrySink | null): void {
    const { entries } = this.#leafLevel;
    let done = start;
    for (let base = Math.ceil(start / entries) * entries; base + entries <= end; base += entries) {
      const table = this.#leafTable(base);
      if (table < 0 || this.mapper.editor.shares.count(table) < 2) continue;
      this.#unmapRange(done, base + 1, plan, sink);
      done = base + 1;
    }
    if (done < end) this.#unmapRange(done, end, plan, sink);
  }

  /** One 4K page out of a table that keeps other pages: nothing is allocated. False: the long way. */
  #unmapOne(vpn: Vpn, plan: FlushSink, sink: EntrySink | null): boolean {
    const table = this.#leafTable(vpn);
    if (table < 0) return table === NO_FRAME;
    const { editor, mode } = this.mapper;
    const level = this.#leafLevel;
    const index = vpn & (level.entries - 1);
    editor.read(table, index);
    if (!editor.isPresent) return true;
    editor.replace(table, index, 0, 0);
    const { low, high } = editor;
    plan.invalidate(vpn);
    if (sink !== null)
      sink.entry(
        vpn,
        editor.leafFrame(level),
        this.#attributes.state(attributesOf(mode, level, low, high, editor.encryption)),
      );
    // A table that holds nothing any more is unlinked by the mapper, which finds no page left to report; not so where others use it.
    return editor.shares.count(table) > 1 || !editor.isEmptyTable(table);
  }

  #unmapRange(start: Vpn, end: Vpn, plan: FlushSink, sink: EntrySink | null): void {
    this.#splitAround(start, end, plan);
    const done = this.mapper.unmap(start, end - start);
    if (!done.ok)
      throw new VmmError("port-contract", "A range of whole pages cannot be unmapped.", { reason: done.reason });
    if (sink !== null)
      done.forEachFrame((pfn, pages, vpn, packed) => {
        const state = this.#attributes.state(packed);
        for (let at = 0; at < pages; at++) sink.entry(vpn + at, pfn + at, state);
      });
    this.#report(done, plan);
    if (this.large.size > 0) this.#source.withdraw(this.large.remove(start, end));
  }

  /** See {@link TranslationTables.protect}. */
  protect(start: Vpn, end: Vpn, attributes: number, plan: FlushSink): void {
    this.#splitAround(start, end, plan);
    const done = this.mapper.protect(start, end - start, this.#attributes.packed(attributes), ASKED_FOR);
    if (!done.ok)
      throw new VmmError("port-contract", "A range of whole pages cannot be protected.", { reason: done.reason });
    this.#report(done, plan);
  }

  /** See {@link TranslationTables.query}. */
  query(vpn: Vpn): number {
    const table = this.#leafTable(vpn);
    if (table === NO_FRAME) return 0;
    if (table === LARGE_PAGE) return this.#queryLarge(vpn);
    const { editor, mode } = this.mapper;
    const level = this.#leafLevel;
    editor.read(table, vpn & (level.entries - 1));
    if (!editor.isPresent) return 0;
    this.frame = editor.leafFrame(level);
    return this.#attributes.state(attributesOf(mode, level, editor.low, editor.high, editor.encryption));
  }

  /** The table whose entries map pages of this size around `vpn`: remembered for the next call, NO_FRAME, or LARGE_PAGE. */
  #leafTable(vpn: Vpn): Pfn {
    const number = Math.floor(vpn / this.#leafLevel.entries);
    return number === this.#lastNumber ? this.#lastTable : this.#findLeafTable(vpn, number);
  }

  #findLeafTable(vpn: Vpn, number: number): Pfn {
    const { editor, root, mode } = this.mapper;
    const raw = editor.rawOf(vpn);
    let table = root;
    for (let n = mode.depth; n > 1; n--) {
      const level = editor.level(n);
      editor.read(table, Math.floor(raw / level.pages) & (level.entries - 1));
      if (!editor.isPresent) return NO_FRAME;
      if (editor.isLeaf(level)) return LARGE_PAGE;
      table = editor.tableFrame(level);
    }
    this.#lastNumber = number;
    this.#lastTable = table;
    return table;
  }

  #queryLarge(vpn: Vpn): number {
    const found = this.mapper.query(vpn);
    if (found === null) return 0;
    this.frame = found.pfn + (vpn - found.vpn);
    return this.#attributes.state(found.attributes);
  }

  /** See {@link TranslationTables.harvest}. */
  harvest(start: Vpn, end: Vpn, bits: number, plan: FlushSink, sink: EntrySink): void {
    const clear = ((bits & ACCESSED) !== 0 ? ATTR_ACCESSED : 0) | ((bits & DIRTY) !== 0 ? ATTR_DIRTY : 0);
    if (end - start === 1 && this.#leafTable(start) !== LARGE_PAGE) {
      this.#harvestOne(start, bits, plan, sink);
      return;
    }
    const done = this.mapper.harvest(start, end - start, clear, (vpn, pages, seen) => {
      const was = ((seen & ATTR_ACCESSED) !== 0 ? ACCESSED : 0) | ((seen & ATTR_DIRTY) !== 0 ? DIRTY : 0);
      const state = this.query(vpn) | was;
      const pfn = this.frame;
      for (let at = 0; at < pages; at++) sink.entry(vpn + at, pfn + at, state);
    });
    this.#report(done, plan);
  }

  #harvestOne(vpn: Vpn, bits: number, plan: FlushSink, sink: EntrySink): void {
    const state = this.query(vpn);
    if ((state & bits) === 0) return;
    const { editor, mode } = this.mapper;
    const table = this.#leafTable(vpn);
    const index = vpn & (this.#leafLevel.entries - 1);
    const mask = ((bits & ACCESSED) !== 0 ? mode.accessedMask : 0) | ((bits & DIRTY) !== 0 ? mode.dirtyMask : 0);
    let seen: number;
    do {
      editor.read(table, index);
      seen = editor.low;
    } while (!editor.exchangeLow(table, index, seen, (seen & ~mask) >>> 0));
    const dirty = (seen & mask & mode.dirtyMask) !== 0;
    if (dirty) plan.invalidate(vpn);
    sink.entry(vpn, this.frame, state | (dirty ? DIRTY : 0));
  }

  /** See `LargeLeaves.map` of the ports. */
  mapLarge(vpn: Vpn, pfn: Pfn, pages: number, attributes: number, plan: FlushSink): boolean {
    const kept = tablesWithin(pages);
    if (!this.#source.deposit(kept)) return false;
    const level = pages === PAGES_2M ? 2 : 3;
    const done = this.mapper.map(vpn, pages, pfn, this.#attributes.packed(attributes), { level });
    if (!done.ok) {
      this.#source.withdraw(kept);
      return done.reason === "mapped" ? false : this.#refused(done);
    }
    this.#report(done, plan);
    this.large.add(vpn, pages);
    this.#lastNumber = NaN;
    return true;
  }

  /** See `LargeLeaves.split` of the ports. */
  splitLarge(vpn: Vpn, plan: FlushSink): void {
    const done = this.#source.splitting(() => splitPage(this.mapper, vpn));
    if (!done.ok)
      throw new VmmError("invariant", "A leaf that has a table kept back cannot be split.", { vpn, why: done.reason });
    this.large.split(vpn);
    this.#report(done, plan);
  }

  /** Splits the leaves that reach across either end of a range. */
  #splitAround(start: Vpn, end: Vpn, plan: FlushSink): void {
    if (this.large.size === 0) return;
    for (const edge of [start, end]) while (this.large.crosses(edge)) this.splitLarge(edge, plan);
  }

  /** See {@link TranslationTables.destroy}. */
  destroy(plan: FlushSink): void {
    this.#source.withdraw(this.large.remove(-Infinity, Infinity));
    this.#release(this.root);
    this.#report(this.mapper.destroy(), plan);
    plan.invalidateSpace();
  }

  /** Splits the leaves across the ends of a range that moves to other tables, and those that would not be aligned there; enters the others there. */
  moveLarge(start: Vpn, pages: number, into: X86Tables, to: Vpn, plan: FlushSink): void {
    this.#splitAround(start, start + pages, plan);
    for (const vpn of this.large.unaligned(start, pages, to)) this.splitLarge(vpn, plan);
    this.large.moveTo(into.large, start, pages, to);
  }

  /** Forgets which leaf table was found last: tables have moved. */
  forgetTables(): void {
    this.#lastNumber = NaN;
    this.#source.moved();
  }

  /** Takes out the tables of a table-aligned range that hold nothing. */
  dropEmptyTables(start: Vpn, end: Vpn, plan: FlushSink): void {
    for (let vpn = start; vpn < end; vpn += this.#leafLevel.entries) {
      const table = this.#leafTable(vpn);
      if (table === LARGE_PAGE || (table !== NO_FRAME && !this.mapper.editor.isEmptyTable(table))) continue;
      this.#unmapRange(vpn, vpn + this.#leafLevel.entries, plan, null);
    }
  }

  /** Table frames of this space, shared ones included. */
  countTables(): number {
    return this.mapper.countTables();
  }

  #refused(refusal: Refusal): boolean {
    if (refusal.reason === "no-table-frame") return false;
    throw new VmmError("port-contract", "A page cannot be mapped.", { reason: refusal.reason });
  }

  /** Hands what a mapper's change owes to the core's plan. Its table frames come back through the source and go to the plan too. */
  #report(done: PagingPlan, plan: FlushSink): void {
    if (done.isEmpty && !done.reloadRoot) return;
    if (done.reloadRoot || done.everyContext) plan.invalidateSpace();
    let pages = 0;
    for (const range of done.ranges) if (range.need >= FLUSH_REQUIRED) pages += range.pages / range.stride;
    if (pages > FULL_LIMIT) plan.invalidateSpace();
    else if (pages > 0)
      for (const range of done.ranges)
        if (range.need >= FLUSH_REQUIRED)
          for (let at = 0; at < range.pages; at += range.stride) plan.invalidate(range.start + at);
    if (done.heldTables > 0) {
      this.#lastNumber = NaN;
      if (pages === 0 || this.#source.isRecursive) plan.invalidateSpace();
      this.#source.redirect(plan);
      done.complete();
      this.#source.redirect(null);
    }
  }
}

/** What {@link X86Tables} says of a page under a 2M or 1G leaf. */
const LARGE_PAGE = -2;
/** The attributes that the port asks for: all but accessed, dirty and the right to load, which x86 pages always give. */
const ASKED_FOR = RIGHT_WRITE | RIGHT_EXECUTE | RIGHT_USER | ATTR_GLOBAL | (7 << ATTR_TYPE_SHIFT);
const REPLACE = { level: 1, replace: true } as const;
