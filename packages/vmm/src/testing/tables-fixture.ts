/** What the suites for tables need: an implementation, and a plan that collects what a change of it leaves to do. */
import type { FlushSink, TranslationSystem, TranslationTables } from "../ports.ts";
import { EXECUTE, READ, USER, WRITE } from "../rights.ts";
import type { Pfn, Vpn } from "../units.ts";

/** An implementation and what the suite has to know of it. */
export interface TablesFixture {
  /** Makes the tables. */
  readonly system: TranslationSystem;
  /** Does what a processor's use of a page does: sets ACCESSED and DIRTY. Absent: claims about them are not tried. */
  readonly use?: (tables: TranslationTables, vpn: Vpn, bits: number) => void;
  /** Frames that tables take up now. Absent: claims about them are not tried. */
  readonly tableFrames?: () => number;
  /** Lets the frame source have no frame any more. Absent: claims about that are not tried. */
  readonly starve?: () => void;
  /** Takes back what a completed plan gives. */
  readonly giveTable: (pfn: Pfn) => void;
}

/** Collects what a change leaves to do. */
export class Plan implements FlushSink {
  readonly pages: Set<Vpn> = new Set();
  everything = false;
  readonly tables: Pfn[] = [];
  /** See {@link FlushSink.invalidate}. */
  invalidate(vpn: Vpn): void {
    this.pages.add(vpn);
  }
  /** See {@link FlushSink.invalidateSpace}. */
  invalidateSpace(): void {
    this.everything = true;
  }
  /** See {@link FlushSink.tableFrame}. */
  tableFrame(pfn: Pfn): void {
    this.tables.push(pfn);
  }
  /** Whether a stale entry of the page would be dropped. */
  covers(vpn: Vpn): boolean {
    return this.everything || this.pages.has(vpn);
  }
  /** Gives back what the plan set free. */
  complete({ giveTable }: TablesFixture): void {
    for (const pfn of this.tables) giveTable(pfn);
  }
}

/** What most pages are mapped with. */
export const RIGHTS: number = READ + USER;
/** Every right. */
export const ALL: number = READ + WRITE + EXECUTE + USER;

/** Tables of a new space. */
export function tablesOf(fixture: TablesFixture): TranslationTables {
  const tables = fixture.system.create();
  if (tables === null) throw new Error("a fresh fixture has frames for the tables of a space");
  return tables;
}

/** The entries that a change tells, in order. */
export function entriesOf(
  collect: (sink: { entry(vpn: Vpn, pfn: Pfn, state: number): void }) => void,
): [Vpn, Pfn, number][] {
  const entries: [Vpn, Pfn, number][] = [];
  collect({ entry: (vpn, pfn, state) => entries.push([vpn, pfn, state]) });
  return entries;
}
