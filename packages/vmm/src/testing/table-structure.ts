/** What `TableStructure` does, whatever the tables' format. */
import type { TableStructure, TranslationTables } from "../ports.ts";
import { PRESENT } from "../rights.ts";
import { TABLE_PAGES } from "../units.ts";
import { claim, same, type ConformanceCase } from "./case.ts";
import { ALL, entriesOf, Plan, RIGHTS, tablesOf, type TablesFixture } from "./tables-fixture.ts";

/** Two spaces of a system that can share tables. */
function sharing(make: () => TablesFixture): {
  fixture: TablesFixture;
  structure: TableStructure;
  from: TranslationTables;
  to: TranslationTables;
} {
  const fixture = make();
  const { structure } = fixture.system;
  if (structure === null) throw new Error("the system has no structure");
  return { fixture, structure, from: tablesOf(fixture), to: tablesOf(fixture) };
}

/** Claims about `TableStructure`: whole tables that change hands, or have several. */
export const tableStructureSuite: readonly ConformanceCase<TablesFixture>[] = [
  {
    name: "moved tables are gone in one space and there, entry for entry, in the other",
    run(make): void {
      const fixture = make();
      const { structure } = fixture.system;
      if (structure === null) throw new Error("the system has no structure");
      const [from, to] = [tablesOf(fixture), tablesOf(fixture)];
      const pages = 2 * TABLE_PAGES;
      for (const at of [0, 1, 511, 512, 1023]) from.map(4 * TABLE_PAGES + at, 900 + at, RIGHTS, new Plan());
      from.map(6 * TABLE_PAGES, 1, RIGHTS, new Plan());
      const plan = new Plan();
      claim(
        structure.moveTables(from, 4 * TABLE_PAGES, to, 8 * TABLE_PAGES, pages, plan),
        "there are frames for tables",
      );
      for (const at of [0, 1, 511, 512, 1023]) {
        claim(plan.covers(4 * TABLE_PAGES + at), "what moved away is to be invalidated");
        same(from.query(4 * TABLE_PAGES + at), 0, "where it was");
        same([to.query(8 * TABLE_PAGES + at), to.frame], [RIGHTS + PRESENT, 900 + at], "where it is");
      }
      claim(from.query(6 * TABLE_PAGES) !== 0, "what lies beside the range stays");
      plan.complete(fixture);
    },
  },
  {
    name: "tables move within a space too",
    run(make): void {
      const fixture = make();
      const { structure } = fixture.system;
      if (structure === null) throw new Error("the system has no structure");
      const tables = tablesOf(fixture);
      for (const at of [0, 511, 512]) tables.map(4 * TABLE_PAGES + at, 900 + at, RIGHTS, new Plan());
      const before = fixture.tableFrames?.();
      const plan = new Plan();
      claim(
        structure.moveTables(tables, 4 * TABLE_PAGES, tables, 9 * TABLE_PAGES, 2 * TABLE_PAGES, plan),
        "there are frames for tables",
      );
      for (const at of [0, 511, 512]) {
        claim(plan.covers(4 * TABLE_PAGES + at), "what moved away is to be invalidated");
        same(tables.query(4 * TABLE_PAGES + at), 0, "where it was");
        same([tables.query(9 * TABLE_PAGES + at), tables.frame], [RIGHTS + PRESENT, 900 + at], "where it is");
      }
      plan.complete(fixture);
      same(fixture.tableFrames?.(), before, "frames of tables");
    },
  },
  {
    name: "shared tables are filled, changed and emptied through either space",
    run(make): void {
      const { fixture, structure, from, to } = sharing(make);
      const [here, there] = [4 * TABLE_PAGES, 8 * TABLE_PAGES];
      from.map(here + 7, 907, RIGHTS, new Plan());
      claim(structure.shareTables(from, here, to, there, 2 * TABLE_PAGES, new Plan()), "there are frames for tables");
      same([to.query(there + 7), to.frame], [RIGHTS + PRESENT, 907], "what was there before");
      to.map(there + 9, 909, ALL, new Plan());
      same([from.query(here + 9), from.frame], [ALL + PRESENT, 909], "mapped through the second space");
      from.map(here + 600, 910, RIGHTS, new Plan());
      same([to.query(there + 600), to.frame], [RIGHTS + PRESENT, 910], "in a table that was not there before");
      to.protect(there, there + 20, RIGHTS, new Plan());
      same(from.query(here + 9), RIGHTS + PRESENT, "protected through the second space");
      const plan = new Plan();
      const removed = entriesOf((sink) => {
        to.unmap(there, there + 2 * TABLE_PAGES, plan, sink);
      });
      plan.complete(fixture);
      same(removed.length, 3, "entries that were removed");
      for (const at of [7, 9, 600]) same(from.query(here + at), 0, "unmapped through the second space");
      from.map(here + 8, 908, RIGHTS, new Plan());
      same([to.query(there + 8), to.frame], [RIGHTS + PRESENT, 908], "mapped in a shared table that was empty");
    },
  },
  {
    name: "a space that detaches shared tables leaves their entries to the other, and begins with empty ones",
    run(make): void {
      const { fixture, structure, from, to } = sharing(make);
      const [here, there] = [4 * TABLE_PAGES, 8 * TABLE_PAGES];
      for (const at of [0, 511]) from.map(here + at, 900 + at, RIGHTS, new Plan());
      structure.shareTables(from, here, to, there, TABLE_PAGES, new Plan());
      const plan = new Plan();
      structure.detachTables(from, here, TABLE_PAGES, plan);
      for (const at of [0, 511]) {
        claim(plan.covers(here + at), "what was detached is to be invalidated");
        same(from.query(here + at), 0, "where it was detached");
        same([to.query(there + at), to.frame], [RIGHTS + PRESENT, 900 + at], "where it stays");
      }
      plan.complete(fixture);
      from.map(here, 5, RIGHTS, new Plan());
      same([to.query(there), to.frame], [RIGHTS + PRESENT, 900], "the tables have nothing in common any more");
    },
  },
  {
    name: "the table of many spaces comes back with the last of them, and with nobody twice",
    run(make): void {
      const fixture = make();
      const { structure } = fixture.system;
      if (structure === null || fixture.tableFrames === undefined) return;
      const before = fixture.tableFrames();
      const spaces = [tablesOf(fixture), tablesOf(fixture), tablesOf(fixture)] as const;
      const [first, second, third] = spaces;
      first.map(5, 1, RIGHTS, new Plan());
      structure.shareTables(first, 0, second, TABLE_PAGES, TABLE_PAGES, new Plan());
      structure.shareTables(second, TABLE_PAGES, third, 0, TABLE_PAGES, new Plan());
      for (const tables of spaces) {
        const last = new Plan();
        tables.destroy(last);
        last.complete(fixture);
      }
      same(fixture.tableFrames(), before, "frames of tables");
    },
  },
  {
    name: "without a frame for a table nothing is shared and nothing is lost",
    run(make): void {
      const fixture = make();
      const { structure } = fixture.system;
      if (structure === null || fixture.starve === undefined || fixture.tableFrames === undefined) return;
      const [from, to] = [tablesOf(fixture), tablesOf(fixture)];
      from.map(5, 1, RIGHTS, new Plan());
      fixture.starve();
      const before = fixture.tableFrames();
      const plan = new Plan();
      const shared = structure.shareTables(from, 0, to, 0, 4 * TABLE_PAGES, plan);
      plan.complete(fixture);
      if (shared) return; // Tables that take no frames.
      same(to.query(5), 0, "the space that was to share");
      same([from.query(5), from.frame], [RIGHTS + PRESENT, 1], "the page that was there");
      same(fixture.tableFrames(), before, "frames of tables");
    },
  },
];
