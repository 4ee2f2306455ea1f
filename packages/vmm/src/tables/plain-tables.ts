/**
 * Translations in plain memory, for spaces that no processor walks: `SpaceMemory` reads them, tests act as the processor through {@link PlainTables.use}.
 *
 * ```
 *  floor(vpn / 512) → table (table-map.ts) { frames: 512 numbers, states: 512 words, or one 2M leaf }
 * ```
 * Tables take no frames. They can be moved and shared whole, so users of {@link TableStructure} work without a machine too.
 */
import { VmmError } from "../errors.ts";
import type { EntrySink, FlushSink, TranslationTables } from "../ports.ts";
import { DIRTY, PRESENT } from "../rights.ts";
import { NO_FRAME, TABLE_PAGES, type Pfn, type Vpn } from "../units.ts";
import { PlainTable, STATE_MASK } from "./plain-table.ts";
import { TableMap } from "./table-map.ts";

/** The translations of one space. */
export class PlainTables implements TranslationTables {
  /** A number that tells this space's tables from others'. */
  readonly root: number;
  /** See {@link TranslationTables.frame}. */
  frame: Pfn = NO_FRAME;
  /** Counts the 2M leaves that became single translations, in all spaces. */
  readonly #counts: { splits: number };
  readonly #tables: TableMap<PlainTable> = new TableMap();
  #lastNumber = NaN;
  #last: PlainTable | null = null;

  /** Empty tables. */
  constructor(root: number, counts: { splits: number } = { splits: 0 }) {
    this.root = root;
    this.#counts = counts;
  }

  /** See {@link TranslationTables.fill}. */
  fill(vpn: Vpn, pfn: Pfn, attributes: number): boolean {
    const table = this.#find(Math.floor(vpn / TABLE_PAGES));
    const at = vpn & (TABLE_PAGES - 1);
    if (table === null || table.leaf !== 0 || table.states[at] !== 0) return false;
    table.frames[at] = pfn;
    table.states[at] = attributes + PRESENT;
    table.used++;
    return true;
  }

  /** See {@link TranslationTables.map}. */
  map(vpn: Vpn, pfn: Pfn, attributes: number, plan: FlushSink): boolean {
    const table = this.#make(Math.floor(vpn / TABLE_PAGES));
    const at = vpn & (TABLE_PAGES - 1);
    if (table.leaf !== 0) this.splitLarge(vpn, plan);
    if (table.states[at] !== 0) plan.invalidate(vpn);
    else table.used++;
    table.frames[at] = pfn;
    table.states[at] = attributes + PRESENT;
    return true;
  }

  /** See {@link TranslationTables.unmap}. */
  unmap(start: Vpn, end: Vpn, plan: FlushSink, sink: EntrySink | null): void {
    this.#visit(start, end, plan, {
      leaf: (table, base) => {
        const { leaf, leafFrame } = table;
        table.leaf = 0;
        plan.invalidate(base);
        if (sink !== null) for (let at = 0; at < TABLE_PAGES; at++) sink.entry(base + at, leafFrame + at, leaf);
      },
      entry: (table, at, vpn) => {
        const pfn = table.frames[at]!;
        const state = table.states[at]!;
        table.states[at] = 0;
        table.frames[at] = NO_FRAME;
        table.used--;
        plan.invalidate(vpn);
        if (sink !== null) sink.entry(vpn, pfn, state);
      },
    });
  }

  /** See {@link TranslationTables.protect}. */
  protect(start: Vpn, end: Vpn, attributes: number, plan: FlushSink): void {
    this.#visit(start, end, plan, {
      leaf: (table, base) => {
        const after = (table.leaf & STATE_MASK) + attributes + PRESENT;
        if (after !== table.leaf) plan.invalidate(base);
        table.leaf = after;
      },
      entry: (table, at, vpn) => {
        const before = table.states[at]!;
        const after = (before & STATE_MASK) + attributes + PRESENT;
        if (after === before) return;
        table.states[at] = after;
        plan.invalidate(vpn);
      },
    });
  }

  /** See {@link TranslationTables.query}. */
  query(vpn: Vpn): number {
    const table = this.#find(Math.floor(vpn / TABLE_PAGES));
    if (table === null) return 0;
    const at = vpn & (TABLE_PAGES - 1);
    if (table.leaf !== 0) {
      this.frame = table.leafFrame + at;
      return table.leaf;
    }
    const state = table.states[at]!;
    if (state !== 0) this.frame = table.frames[at]!;
    return state;
  }

  /** See {@link TranslationTables.harvest}. */
  harvest(start: Vpn, end: Vpn, bits: number, plan: FlushSink, sink: EntrySink): void {
    this.#visit(start, end, null, {
      leaf: (table, base) => {
        const { leaf, leafFrame } = table;
        if ((leaf & bits) === 0) return;
        table.leaf = leaf & ~bits;
        if ((leaf & bits & DIRTY) !== 0) plan.invalidate(base);
        for (let at = 0; at < TABLE_PAGES; at++) sink.entry(base + at, leafFrame + at, leaf);
      },
      entry: (table, at, vpn) => {
        const state = table.states[at]!;
        if ((state & bits) === 0) return;
        table.states[at] = state & ~bits;
        if ((state & bits & DIRTY) !== 0) plan.invalidate(vpn);
        sink.entry(vpn, table.frames[at]!, state);
      },
    });
  }

  /** See {@link LargeLeaves.map}. */
  mapLarge(vpn: Vpn, pfn: Pfn, attributes: number): boolean {
    const table = this.#make(Math.floor(vpn / TABLE_PAGES));
    if (table.used > 0 || table.leaf !== 0) return false;
    table.setLeaf(pfn, attributes);
    return true;
  }

  /** See {@link LargeLeaves.split}. */
  splitLarge(vpn: Vpn, plan: FlushSink): void {
    const number = Math.floor(vpn / TABLE_PAGES);
    const table = this.#find(number);
    if (table === null || table.leaf === 0)
      throw new VmmError("bad-argument", "There is no 2M page to split.", { vpn });
    table.split();
    this.#counts.splits++;
    plan.invalidate(number * TABLE_PAGES);
  }

  /** See {@link LargeLeaves.pagesAt}. */
  pagesAt(vpn: Vpn): number {
    const table = this.#find(Math.floor(vpn / TABLE_PAGES));
    return table !== null && table.leaf !== 0 ? TABLE_PAGES : 1;
  }

  /** See {@link TranslationTables.destroy}. */
  destroy(plan: FlushSink): void {
    this.#tables.clear();
    this.#forget();
    plan.invalidateSpace();
  }

  /** What a processor's use does to a translation: sets ACCESSED and, for a store, DIRTY. */
  use(vpn: Vpn, bits: number): void {
    const table = this.#find(Math.floor(vpn / TABLE_PAGES));
    const at = vpn & (TABLE_PAGES - 1);
    if (table === null || (table.leaf === 0 && table.states[at] === 0))
      throw new VmmError("bad-argument", "A page that has no translation was used.", { vpn });
    if (table.leaf !== 0) table.leaf |= bits & STATE_MASK;
    else table.states[at] = table.states[at]! | (bits & STATE_MASK);
  }

  /** Takes the table of a table-aligned page out, whole; null if there is none. */
  detach(start: Vpn): PlainTable | null {
    this.#forget();
    return this.#tables.take(start / TABLE_PAGES);
  }

  /** Puts a whole table at a table-aligned page. */
  attach(start: Vpn, table: PlainTable): void {
    this.#tables.set(start / TABLE_PAGES, table);
    this.#forget();
  }

  /** Moves the tables of a table-aligned range to other tables, where nothing is. */
  moveTo(into: PlainTables, start: Vpn, pages: number, target: Vpn): void {
    this.#forget();
    into.#forget();
    const first = start / TABLE_PAGES;
    this.#tables.moveTo(into.#tables, first, pages / TABLE_PAGES, target / TABLE_PAGES, () => undefined);
  }

  /** The table of a table-aligned page, made if there is none. */
  tableAt(start: Vpn): PlainTable {
    return this.#make(Math.floor(start / TABLE_PAGES));
  }

  /** Walks everything; throws with the sentence of the broken invariant. */
  check(): void {
    this.#tables.forEach(-Infinity, Infinity, (table, number) => {
      let used = 0;
      for (const state of table.states) if (state !== 0) used++;
      if (used !== table.used)
        throw new VmmError("invariant", "A table's count of translations is wrong.", { number, used });
      if (used > 0 && table.leaf !== 0)
        throw new VmmError("invariant", "A table has a 2M leaf and single translations.", { number, used });
    });
  }

  #forget(): void {
    this.#last = null;
    this.#lastNumber = NaN;
  }

  #find(number: number): PlainTable | null {
    if (number === this.#lastNumber) return this.#last;
    const table = this.#tables.get(number);
    if (table === null) return null;
    this.#lastNumber = number;
    this.#last = table;
    return table;
  }

  #make(number: number): PlainTable {
    const known = this.#find(number);
    if (known !== null) return known;
    const made = new PlainTable();
    this.#tables.set(number, made);
    this.#lastNumber = number;
    this.#last = made;
    return made;
  }

  /** Visits what is present of a range. With `plan`, 2M leaves that reach beyond the range are split first; without, they are visited whole. */
  #visit(start: Vpn, end: Vpn, plan: FlushSink | null, visitor: Visitor): void {
    this.#tables.forEach(Math.floor(start / TABLE_PAGES), Math.ceil(end / TABLE_PAGES), (table, number) => {
      this.#visitTable(table, number * TABLE_PAGES, start, end, plan, visitor);
    });
  }

  #visitTable(table: PlainTable, base: Vpn, start: Vpn, end: Vpn, plan: FlushSink | null, visitor: Visitor): void {
    const from = Math.max(0, start - base);
    const to = Math.min(TABLE_PAGES, end - base);
    if (table.leaf !== 0) {
      if (plan === null || to - from === TABLE_PAGES) {
        visitor.leaf(table, base);
        return;
      }
      this.splitLarge(base, plan);
    }
    if (table.used === 0) return;
    for (let at = from; at < to; at++) if (table.states[at] !== 0) visitor.entry(table, at, base + at);
  }
}

/** What is done to the translations of a range. */
interface Visitor {
  /** A 2M leaf from page `base` on. */
  leaf(table: PlainTable, base: Vpn): void;
  /** A single translation. */
  entry(table: PlainTable, at: number, vpn: Vpn): void;
}
