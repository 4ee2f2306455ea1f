/**
 * The mapper: changes one root's tables, range by range, and says what each change owes.
 *
 * Every change returns a `FlushPlan`, or a `Refusal` that leaves the tables exactly as they were. A range is a first page and a
 * number of pages; pages are `Vpn`, so that 5-level addresses are exact. Entries that refer to tables carry all rights: the leaf alone decides.
 */

import { ATTR_ACCESSED, ATTR_DIRTY, ATTR_GLOBAL, attributesOf, checkAttributes } from "./attributes.ts";
import { PagingError } from "./errors.ts";
import { FLUSH_ACCESSED, FLUSH_REQUIRED, NOTHING_TO_FLUSH } from "./flush-plan.ts";
import type { FlushPlan } from "./flush-plan.ts";
import { checkTables } from "./check-tables.ts";
import { countForMap, writeMap } from "./map-range.ts";
import type { PagingMode } from "./mode.ts";
import { LEAF_NEVER } from "./mode.ts";
import type { Refusal } from "./refusal.ts";
import { describeRefusal } from "./refusal.ts";
import { RIGHT_EXECUTE, RIGHT_READ, RIGHT_USER, RIGHT_USER_EXECUTE, RIGHT_WRITE } from "./rights.ts";
import type { MapperOptions } from "./table-editor.ts";
import { TableEditor } from "./table-editor.ts";
import type { Pfn, Vpn } from "./units.ts";
import { NO_FRAME } from "./units.ts";
import { countSplits, writeProtect, writeUnmap } from "./unmap-range.ts";
import type { Walk } from "./walk.ts";

/** Which pages `Mapper.map` uses, and whether it may take the place of others. */
export interface MapOptions {
  /** Only this leaf level: 1 for 4K, 2 for 2M (or 4M), 3 for 1G. Default: the largest that fits, piece by piece. */
  readonly level?: number;
  /** Replace what is mapped there (default: refuse). */
  readonly replace?: boolean;
}

const PLAIN_MAP: MapOptions = {};

/** One leaf, as `query` finds it. */
export interface Mapping {
  /** First page of the leaf. */
  readonly vpn: Vpn;
  /** 4K pages that the leaf maps. */
  readonly pages: number;
  /** First frame that the leaf maps. */
  readonly pfn: Pfn;
  readonly attributes: number;
  readonly level: number;
}

/** A leaf whose accessed or dirty bit was set, as `harvest` reports it: `ATTR_ACCESSED`, `ATTR_DIRTY` or both. */
export type HarvestVisitor = (vpn: Vpn, pages: number, bits: number) => void;

/** What `#makeLeafTable` says of a position under a large page. */
const LARGE_PAGE: Pfn = -2;

const ALL_ATTRIBUTE_RIGHTS = RIGHT_READ | RIGHT_WRITE | RIGHT_USER | RIGHT_EXECUTE | RIGHT_USER_EXECUTE;

/** Changes the tables under one root. */
export class Mapper {
  /** Tells a mapper from the refusal that `create` may return. */
  readonly ok = true as const;
  readonly mode: PagingMode;
  /** The frame of the root table. */
  readonly root: Pfn;
  /** Entry access, for the operations that live in files of their own. */
  readonly editor: TableEditor;
  /** Attributes that were found to suit the mode last. */
  #checked = -1;

  constructor(options: MapperOptions, root: Pfn) {
    this.mode = options.mode;
    this.editor = new TableEditor(options);
    this.root = root;
  }

  /** A mapper over an empty root taken from `options.frames`, or a refusal where there is no frame. */
  static create(options: MapperOptions): Mapper | Refusal {
    const root = options.frames.take();
    if (root === NO_FRAME) return describeRefusal("no-table-frame", { mode: options.mode, low: 0, high: 0 }, 0, 0);
    return new Mapper(options, root);
  }

  /**
   * Maps `pages` pages from `vpn` to the frames from `pfn` on, with the largest pages that fit. O(pages + tables).
   * Refuses with `mapped` or `no-table-frame`. Throws `out-of-range`, `unaligned` (a given level does not fit) or `bad-attributes`.
   */
  map(vpn: Vpn, pages: number, pfn: Pfn, packed: number, options: MapOptions = PLAIN_MAP): FlushPlan | Refusal {
    const editor = this.editor;
    const raw = this.#rangeAt(vpn, pages);
    const largest = this.#largestFor(vpn, pages, pfn, options.level);
    if (packed !== this.#checked) checkAttributes(this.mode, packed);
    this.#checked = packed;
    const replace = options.replace ?? false;
    if (pages === 1 && !replace && this.#mapOne(raw, pfn, packed)) return NOTHING_TO_FLUSH;
    const request = { start: raw, end: raw + pages, delta: pfn - raw, packed, largest, replace };
    const needed = countForMap(editor, request, this.root, this.mode.depth, 0);
    if (needed < 0) return editor.takeRefusal("mapped", vpn);
    if (!editor.reserve(needed)) return describeRefusal("no-table-frame", { mode: this.mode, low: 0, high: 0 }, 0, vpn);
    const plan = editor.plan();
    writeMap(editor, request, this.root, this.mode.depth, 0, plan);
    editor.releaseReserve();
    return plan.isEmpty && !plan.reloadRoot ? NOTHING_TO_FLUSH : plan;
  }

  /** One 4K page into tables that exist: true where that was possible. */
  #mapOne(raw: number, pfn: Pfn, packed: number): boolean {
    const editor = this.editor;
    const table = this.#leafTable(raw);
    if (table === NO_FRAME) return false;
    const level = editor.level(1);
    const index = raw & (level.entries - 1);
    editor.read(table, index);
    if (editor.isPresent) return false;
    editor.writeLeaf(table, index, level, pfn, packed);
    return true;
  }

  /** The level-1 table over a position, or `NO_FRAME`. */
  #leafTable(raw: number): Pfn {
    const editor = this.editor;
    let table = this.root;
    for (let n = this.mode.depth; n > 1; n--) {
      const level = editor.level(n);
      editor.read(table, Math.floor(raw / level.pages) & (level.entries - 1));
      if (!editor.isPresent || editor.isLeaf(level)) return NO_FRAME;
      table = editor.tableFrame(level);
    }
    return table;
  }

  /**
   * Unmaps the pages of a range that are mapped, splits large pages that cross its ends, and frees tables that became empty.
   * The frames unmapped are in the plan. Refuses with `no-table-frame` (a split needs a table).
   */
  unmap(vpn: Vpn, pages: number): FlushPlan | Refusal {
    const editor = this.editor;
    const raw = this.#rangeAt(vpn, pages);
    const depth = this.mode.depth;
    if (!editor.reserve(countSplits(editor, this.root, depth, 0, raw, raw + pages))) {
      return describeRefusal("no-table-frame", { mode: this.mode, low: 0, high: 0 }, 0, vpn);
    }
    const plan = editor.plan();
    writeUnmap(editor, this.root, depth, 0, raw, raw + pages, plan);
    return plan.isEmpty ? NOTHING_TO_FLUSH : plan;
  }

  /**
   * Changes attributes of the pages of a range that are mapped: those that `mask` selects (default: the rights).
   * The plan says which translations only fault spuriously and which must go. Refuses with `no-table-frame`.
   */
  protect(vpn: Vpn, pages: number, packed: number, mask: number = ALL_ATTRIBUTE_RIGHTS): FlushPlan | Refusal {
    const editor = this.editor;
    const raw = this.#rangeAt(vpn, pages);
    checkAttributes(this.mode, mask === ALL_ATTRIBUTE_RIGHTS ? packed & mask : packed | RIGHT_READ | RIGHT_EXECUTE);
    if (!editor.reserve(countSplits(editor, this.root, this.mode.depth, 0, raw, raw + pages))) {
      return describeRefusal("no-table-frame", { mode: this.mode, low: 0, high: 0 }, 0, vpn);
    }
    const plan = editor.plan();
    writeProtect(editor, this.root, this.mode.depth, 0, raw, raw + pages, packed, mask, plan);
    return plan.isEmpty ? NOTHING_TO_FLUSH : plan;
  }

  /** The leaf that maps a page, or null. */
  query(vpn: Vpn): Mapping | null {
    const editor = this.editor;
    const raw = this.#rangeAt(vpn, 1);
    let table = this.root;
    for (let n = this.mode.depth; n > 0; n--) {
      const level = editor.level(n);
      const at = Math.floor(raw / level.pages);
      editor.read(table, at & (level.entries - 1));
      if (!editor.isPresent) return null;
      if (editor.isLeaf(level)) {
        const packed = attributesOf(this.mode, level, editor.low, editor.high, editor.encryption);
        return {
          vpn: editor.vpnOf(at * level.pages),
          pages: level.pages,
          pfn: editor.leafFrame(level),
          attributes: packed,
          level: n,
        };
      }
      table = editor.tableFrame(level);
    }
    return null;
  }

  /**
   * Finds the entry that decides about a page, without allocating: true where it is a leaf. `into` gets `level`, `low`, `high`, and, for a leaf,
   * `pfn` of the page; for a not-present entry `low` and `high` are its payload.
   */
  lookup(vpn: Vpn, into: Walk): boolean {
    const editor = this.editor;
    const raw = this.#rangeAt(vpn, 1);
    let table = this.root;
    for (let n = this.mode.depth; n > 0; n--) {
      const level = editor.level(n);
      const at = Math.floor(raw / level.pages);
      editor.read(table, at & (level.entries - 1));
      into.level = n;
      into.low = editor.low;
      into.high = editor.high;
      if (!editor.isPresent) return false;
      if (editor.isLeaf(level)) {
        into.pfn = editor.leafFrame(level) + (raw - at * level.pages);
        return true;
      }
      table = editor.tableFrame(level);
    }
    return false;
  }

  /**
   * Replaces a mapped 4K page by a not-present entry with a payload (see `payloadLow`, `payloadHigh`): what page-out does.
   * The frame is in the plan, with the accessed and dirty bits it had at the last moment. Refuses with `not-mapped`.
   * Throws `bad-attributes` where the payload has a present bit.
   */
  evict(vpn: Vpn, low: number, high: number): FlushPlan | Refusal {
    const editor = this.editor;
    const raw = this.#rangeAt(vpn, 1);
    this.#requirePayload(low);
    const table = this.#leafTable(raw);
    if (table === NO_FRAME) return describeRefusal("not-mapped", editor, 0, vpn);
    const level = editor.level(1);
    const index = raw & (level.entries - 1);
    const shared = editor.isShared(this.root, raw);
    editor.read(table, index);
    if (!editor.isPresent) return describeRefusal("not-mapped", editor, 1, vpn);
    editor.replace(table, index, low, high);
    const packed = attributesOf(this.mode, level, editor.low, editor.high, editor.encryption);
    const plan = editor.plan();
    plan.everyContext = shared;
    plan.addRange(vpn, 1, 1, FLUSH_REQUIRED, (packed & ATTR_GLOBAL) !== 0);
    plan.addFrames(editor.leafFrame(level), 1, vpn, packed);
    return plan;
  }

  /** Gives a not-present page a payload; makes the tables it needs. Refuses with `mapped` or `no-table-frame`. */
  leavePayload(vpn: Vpn, low: number, high: number): FlushPlan | Refusal {
    const editor = this.editor;
    const raw = this.#rangeAt(vpn, 1);
    this.#requirePayload(low);
    const table = this.#makeLeafTable(raw);
    if (table === NO_FRAME) return describeRefusal("no-table-frame", { mode: this.mode, low: 0, high: 0 }, 0, vpn);
    const index = raw & (editor.level(1).entries - 1);
    if (table >= 0) editor.read(table, index);
    if (editor.isPresent) return describeRefusal("mapped", editor, table < 0 ? 2 : 1, vpn);
    editor.write(table, index, low, high);
    return NOTHING_TO_FLUSH;
  }

  /** The level-1 table over a position, made where it is missing. `NO_FRAME` without frames, `LARGE_PAGE` where a large page is. */
  #makeLeafTable(raw: number): Pfn {
    const editor = this.editor;
    let table = this.root;
    for (let n = this.mode.depth; n > 1; n--) {
      const level = editor.level(n);
      const index = Math.floor(raw / level.pages) & (level.entries - 1);
      editor.read(table, index);
      if (!editor.isPresent) {
        if (!editor.reserve(n - 1)) return NO_FRAME;
        for (let m = n; m > 1; m--) {
          const between = editor.level(m);
          table = editor.link(table, Math.floor(raw / between.pages) & (between.entries - 1), between);
        }
        return table;
      }
      if (editor.isLeaf(level)) return LARGE_PAGE;
      table = editor.tableFrame(level);
    }
    return table;
  }

  #requirePayload(low: number): void {
    if ((low & this.mode.presentMask) !== 0) {
      throw new PagingError("bad-attributes", "a payload must leave the present bits 0", { low });
    }
  }

  /**
   * Reports and clears accessed and dirty bits of a range: those that `clear` selects. `visit` is called for leaves that had one of
   * them. The plan holds what clearing owes: dirty required, accessed optional.
   */
  harvest(vpn: Vpn, pages: number, clear: number, visit: HarvestVisitor): FlushPlan {
    const raw = this.#rangeAt(vpn, pages);
    const plan = this.editor.plan();
    const mask = (clear & ATTR_ACCESSED ? this.mode.accessedMask : 0) | (clear & ATTR_DIRTY ? this.mode.dirtyMask : 0);
    this.#harvest(this.root, this.mode.depth, 0, raw, raw + pages, mask, plan, visit);
    return plan.isEmpty ? NOTHING_TO_FLUSH : plan;
  }

  #harvest(
    table: Pfn,
    n: number,
    at: number,
    start: number,
    end: number,
    mask: number,
    plan: FlushPlan,
    visit: HarvestVisitor,
  ): void {
    const editor = this.editor;
    const { accessedMask, dirtyMask, globalMask, presentMask } = this.mode;
    const level = editor.level(n);
    const pages = level.pages;
    for (let i = Math.floor((start - at) / pages), next = at + i * pages; next < end; i++, next += pages) {
      const used = editor.nextWith(table, i, i + Math.ceil((end - next) / pages), n === 1 ? mask : presentMask);
      next += (used - i) * pages;
      i = used;
      if (next >= end) break;
      editor.read(table, i);
      if (!editor.isPresent) continue;
      if (!editor.isLeaf(level)) {
        const child = editor.tableFrame(level);
        if (editor.shares.count(child) > 1) plan.everyContext = true;
        this.#harvest(child, n - 1, next, Math.max(start, next), Math.min(end, next + pages), mask, plan, visit);
        continue;
      }
      let seen = editor.low;
      while ((seen & mask) !== 0 && !editor.exchangeLow(table, i, seen, (seen & ~mask) >>> 0)) {
        editor.read(table, i);
        seen = editor.low;
      }
      const found = seen & mask;
      if (found === 0) continue;
      const bits = ((found & accessedMask) === 0 ? 0 : ATTR_ACCESSED) | ((found & dirtyMask) === 0 ? 0 : ATTR_DIRTY);
      plan.addRange(
        editor.vpnOf(next),
        pages,
        pages,
        (bits & ATTR_DIRTY) === 0 ? FLUSH_ACCESSED : FLUSH_REQUIRED,
        (seen & globalMask) !== 0,
      );
      visit(editor.vpnOf(next), pages, bits);
    }
  }

  /** Unmaps everything and gives up the root too: the plan holds all frames. The mapper must not be used afterwards. */
  destroy(): FlushPlan {
    const plan = this.editor.plan();
    writeUnmap(this.editor, this.root, this.mode.depth, 0, 0, this.editor.span, plan);
    plan.addTable(this.root);
    return plan;
  }

  /** Walks all tables; throws `inconsistent` for a loop, an empty table, or a table with two parents that is not shared. */
  check(): void {
    checkTables(this.editor, this.root);
  }

  /** Table frames reachable from the root, root and shared tables included. O(tables). */
  countTables(): number {
    return checkTables(this.editor, this.root);
  }

  /** Throws `out-of-range` for pages that are no range of one half of the address space. */
  checkRange(vpn: Vpn, pages: number): void {
    this.#rangeAt(vpn, pages);
  }

  /** The raw position of a range; throws where it leaves the address space or crosses 0 from below. */
  #rangeAt(vpn: Vpn, pages: number): number {
    const { span, mode } = this.editor;
    const signed = mode.definition.extension === "sign";
    const lowest = signed ? -span / 2 : 0;
    const limit = signed ? (vpn < 0 ? 0 : span / 2) : span;
    if (
      !Number.isSafeInteger(vpn)
      || !Number.isSafeInteger(pages)
      || pages < 1
      || vpn < lowest
      || vpn + pages > limit
    ) {
      throw new PagingError(
        "out-of-range",
        `pages ${vpn} … ${vpn + pages} are not a range of one half of ${mode.name} address space`,
        { vpn, pages },
      );
    }
    return this.editor.rawOf(vpn);
  }

  #largestFor(vpn: Vpn, pages: number, pfn: Pfn, wanted: number | undefined): number {
    if (!Number.isSafeInteger(pfn) || pfn < 0 || pfn + pages > 2 ** (this.mode.definition.physicalBits - 12)) {
      throw new PagingError(
        "out-of-range",
        `frames ${pfn} … ${pfn + pages} cannot be mapped in ${this.mode.name} entries`,
        { pfn, pages },
      );
    }
    if (wanted === undefined) return this.editor.largestLeaf;
    const level = this.editor.level(wanted);
    if (level.leafKind === LEAF_NEVER)
      throw new PagingError("out-of-range", `${level.name} entries map no pages`, { level: wanted });
    for (const value of [vpn, pages, pfn]) {
      if (Math.floor(value / level.pages) * level.pages !== value) {
        throw new PagingError("unaligned", `${value} is not a multiple of ${level.pages} pages (${level.page})`, {
          value,
          level: wanted,
        });
      }
    }
    return wanted;
  }
}
