/** What `LargeLeaves` do, whatever the format of the tables. */
import { SeededRandom } from "../environment.ts";
import type { LargeLeaves, TranslationTables } from "../ports.ts";
import { ACCESSED, DIRTY, PRESENT, READ, USER, WRITE } from "../rights.ts";
import { TABLE_PAGES, type Pfn, type Vpn } from "../units.ts";
import { claim, same, type ConformanceCase } from "./case.ts";
import { Plan, type TablesFixture } from "./tables-fixture.ts";

const RIGHTS = READ + USER;
const ALL = READ + WRITE + USER;
/** First page of the leaves here, and their first frame. */
const AT: Vpn = 262144;
const FRAME: Pfn = 262144;

interface Large {
  readonly fixture: TablesFixture;
  readonly large: LargeLeaves;
  readonly tables: TranslationTables;
  readonly plan: Plan;
}

/** Tables with one leaf of `pages` pages at AT. */
function withLeaf(make: () => TablesFixture, pages: number = TABLE_PAGES): Large {
  const fixture = make();
  const { large } = fixture.system;
  const tables = fixture.system.create();
  if (large === undefined || tables === null)
    throw new Error("the system has no leaves above 4K, or no frame for a root");
  const plan = new Plan();
  claim(large.map(tables, AT, FRAME, pages, ALL, plan), "there are frames for tables");
  return { fixture, large, tables, plan };
}

function demandRun(tables: TranslationTables, start: Vpn, end: Vpn, state: number): void {
  for (let vpn = start; vpn < end; vpn += end - start > 4096 ? 511 : 1)
    same([tables.query(vpn), tables.frame], [state, FRAME + (vpn - AT)], `page ${vpn}`);
}

/** Claims about `LargeLeaves`. Frames 2^18 … 2^19 need not exist; 2M leaves have to be among the sizes. */
export const largeLeavesSuite: readonly ConformanceCase<TablesFixture>[] = [
  {
    name: "a leaf of every size translates all its pages, and its neighbours are not there",
    run(make): void {
      for (const pages of make().system.large?.sizes ?? []) {
        const { large, tables, plan } = withLeaf(make, pages);
        claim(plan.pages.size === 0, "a new leaf leaves nothing stale");
        demandRun(tables, AT, AT + pages, ALL + PRESENT);
        same([tables.query(AT - 1), tables.query(AT + pages)], [0, 0], "neighbours");
        for (const vpn of [AT, AT + pages - 1])
          same(large.pagesAt(tables, vpn), pages, `pages of the leaf over ${vpn}`);
        for (const vpn of [AT - 1, AT + pages]) same(large.pagesAt(tables, vpn), 1, `pages at ${vpn}`);
      }
    },
  },
  {
    name: "unmapping a leaf whole tells every page once and splits nothing",
    run(make): void {
      for (const pages of make().system.large?.sizes ?? []) {
        const { fixture, large, tables } = withLeaf(make, pages);
        const plan = new Plan();
        const seen = new Set<Vpn>();
        tables.unmap(AT - 5, AT + pages + 5, plan, {
          entry: (vpn, pfn, state) => {
            claim(!seen.has(vpn) && pfn === FRAME + (vpn - AT) && state === ALL + PRESENT, `page ${vpn}`);
            seen.add(vpn);
          },
        });
        same([seen.size, large.splits, large.pagesAt(tables, AT)], [pages, 0, 1], "pages told");
        claim(plan.covers(AT), "the leaf is to be invalidated");
        plan.complete(fixture);
      }
    },
  },
  {
    name: "unmapping part of a leaf, in any place and with no frame to be had, leaves the rest as it was",
    run(make): void {
      for (const pages of make().system.large?.sizes ?? [])
        for (const [from, to] of [
          [0, 1],
          [100, 300],
          [pages - 1, pages],
          [500, pages - 20],
        ] as const) {
          const { fixture, large, tables } = withLeaf(make, pages);
          if (from >= to) continue;
          fixture.starve?.();
          const plan = new Plan();
          let told = 0;
          tables.unmap(AT + from, AT + to, plan, { entry: () => told++ });
          same([told, tables.query(AT + from), tables.query(AT + to - 1)], [to - from, 0, 0], "what went");
          if (from > 0) demandRun(tables, AT, AT + from, ALL + PRESENT);
          if (to < pages) demandRun(tables, AT + to, AT + pages, ALL + PRESENT);
          claim(large.splits > 0 && plan.covers(AT), "the leaf was split and is to be invalidated");
          plan.complete(fixture);
        }
    },
  },
  {
    name: "protecting all of a leaf keeps it, protecting a part splits it",
    run(make): void {
      const { large, tables } = withLeaf(make);
      const whole = new Plan();
      tables.protect(AT, AT + TABLE_PAGES, RIGHTS, whole);
      same(large.pagesAt(tables, AT), TABLE_PAGES, "pages of the leaf");
      demandRun(tables, AT, AT + TABLE_PAGES, RIGHTS + PRESENT);
      claim(whole.covers(AT), "a lost right is to be invalidated");
      const part = new Plan();
      tables.protect(AT + 8, AT + 16, ALL, part);
      same(large.pagesAt(tables, AT), 1, "pages of the leaf afterwards");
      demandRun(tables, AT, AT + 8, RIGHTS + PRESENT);
      demandRun(tables, AT + 8, AT + 16, ALL + PRESENT);
      demandRun(tables, AT + 16, AT + TABLE_PAGES, RIGHTS + PRESENT);
      claim(part.covers(AT), "the split leaf is to be invalidated");
    },
  },
  {
    name: "accessed and dirty are the leaf's: told for all its pages, and kept by a split",
    run(make): void {
      const { fixture, large, tables } = withLeaf(make);
      if (fixture.use === undefined) return;
      fixture.use(tables, AT + 77, ACCESSED + DIRTY);
      const plan = new Plan();
      let told = 0;
      tables.harvest(AT + 3, AT + 4, ACCESSED, plan, { entry: () => told++ });
      same([told, large.pagesAt(tables, AT)], [TABLE_PAGES, TABLE_PAGES], "pages told of their use");
      claim(!plan.covers(AT), "a cleared accessed bit is not to be invalidated");
      large.split(tables, AT + 9, new Plan());
      demandRun(tables, AT, AT + TABLE_PAGES, ALL + PRESENT + DIRTY);
    },
  },
  {
    name: "frames of tables come back, those kept back for splits too",
    run(make): void {
      const { fixture, tables } = withLeaf(make);
      if (fixture.tableFrames === undefined) return;
      const before = fixture.tableFrames();
      const plan = new Plan();
      tables.unmap(AT + 1, AT + 2, plan, null);
      plan.complete(fixture);
      same(fixture.tableFrames(), before, "frames of tables: a split takes what was kept back");
      const last = new Plan();
      tables.destroy(last);
      last.complete(fixture);
      const fresh = make();
      same(fixture.tableFrames(), fresh.tableFrames?.(), "frames of tables at the end");
    },
  },
  {
    name: "tables that move take their leaves along",
    run(make): void {
      const { fixture, large, tables } = withLeaf(make);
      const { structure } = fixture.system;
      const into = fixture.system.create();
      if (structure === null || into === null) return;
      large.map(tables, AT + TABLE_PAGES, FRAME + TABLE_PAGES, TABLE_PAGES, ALL, new Plan());
      const moved = structure.moveTables(tables, AT, into, AT, TABLE_PAGES, new Plan());
      claim(moved, "there are frames for tables");
      same([large.pagesAt(tables, AT), tables.query(AT)], [1, 0], "where it was");
      same([large.pagesAt(into, AT), large.pagesAt(into, AT + TABLE_PAGES)], [TABLE_PAGES, 1], "where it is");
      demandRun(into, AT, AT + TABLE_PAGES, ALL + PRESENT);
      demandRun(tables, AT + TABLE_PAGES, AT + 2 * TABLE_PAGES, ALL + PRESENT);
      into.unmap(AT + 5, AT + 6, new Plan(), null);
      same([into.query(AT + 5), into.query(AT + 6)], [0, ALL + PRESENT], "after a split there");
    },
  },
  {
    name: "tables out of the middle of a 1G leaf move as 2M leaves",
    run(make): void {
      const pages = TABLE_PAGES * TABLE_PAGES;
      const { structure, large: offered } = make().system;
      if (structure === null || offered?.sizes.includes(pages) !== true) return;
      const { fixture, large, tables } = withLeaf(make, pages);
      const into = fixture.system.create();
      if (into === null || fixture.system.structure === null) return;
      const [from, end] = [AT + TABLE_PAGES, AT + 3 * TABLE_PAGES];
      claim(
        fixture.system.structure.moveTables(tables, from, into, AT, 2 * TABLE_PAGES, new Plan()),
        "there are frames for tables",
      );
      same([tables.query(from), tables.query(end - 1)], [0, 0], "where it was");
      same([into.query(AT + 5), into.frame], [ALL + PRESENT, FRAME + TABLE_PAGES + 5], "where it is");
      same([large.pagesAt(into, AT), large.pagesAt(tables, end)], [TABLE_PAGES, TABLE_PAGES], "pages of the leaves");
      demandRun(tables, AT, from, ALL + PRESENT);
      demandRun(tables, end, AT + pages, ALL + PRESENT);
    },
  },
  {
    name: "a 1G leaf that moves to where it cannot be one leaf moves as 2M leaves",
    run(make): void {
      const pages = TABLE_PAGES * TABLE_PAGES;
      if (make().system.large?.sizes.includes(pages) !== true) return;
      const { fixture, large, tables } = withLeaf(make, pages);
      const into = fixture.system.create();
      const { structure } = fixture.system;
      if (structure === null || into === null) return;
      const to = AT + TABLE_PAGES;
      claim(structure.moveTables(tables, AT, into, to, pages, new Plan()), "there are frames for tables");
      for (const at of [0, 1, 4095, pages - 1]) {
        same(tables.query(AT + at), 0, "where it was");
        same([into.query(to + at), into.frame], [ALL + PRESENT, FRAME + at], "where it is");
        same(large.pagesAt(into, to + at), TABLE_PAGES, "pages of the leaf");
      }
    },
  },
  {
    name: "a long random run agrees with a map",
    run(make): void {
      againstMap(make, new SeededRandom(11), 1500);
    },
  },
];

/** Random operations on a few leaves and their pages, with a `Map` beside them. */
function againstMap(make: () => TablesFixture, random: SeededRandom, steps: number): void {
  const { large, tables, fixture } = withLeaf(make);
  const model = new Map<Vpn, [Pfn, number]>();
  const pages = 3 * TABLE_PAGES;
  const first = AT + TABLE_PAGES;
  for (let step = 0; step < steps; step++) {
    const start = first + (random.uint32() % pages);
    const wide = random.uint32() % 2 === 0 ? 64 : pages;
    const end = Math.min(first + pages, start + 1 + (random.uint32() % wide));
    const rights = random.uint32() % 2 === 0 ? RIGHTS : ALL;
    const plan = new Plan();
    const unit = Math.floor(start / TABLE_PAGES) * TABLE_PAGES;
    const choice = random.uint32() % 4;
    if (choice === 0) {
      tables.unmap(unit, unit + TABLE_PAGES, plan, null);
      claim(large.map(tables, unit, step * TABLE_PAGES, TABLE_PAGES, rights, plan), "there are frames");
      for (let at = 0; at < TABLE_PAGES; at++) model.set(unit + at, [step * TABLE_PAGES + at, rights + PRESENT]);
    } else if (choice === 1) {
      tables.map(start, step, rights, plan);
      model.set(start, [step, rights + PRESENT]);
    } else if (choice === 2) {
      tables.unmap(start, end, plan, {
        entry: (vpn, pfn, state) => {
          same([pfn, state], model.get(vpn), `page ${vpn} in step ${step}`);
          model.delete(vpn);
        },
      });
    } else {
      tables.protect(start, end, rights, plan);
      for (let vpn = start; vpn < end; vpn++) {
        const known = model.get(vpn);
        if (known !== undefined) known[1] = rights + PRESENT;
      }
    }
    plan.complete(fixture);
  }
  for (let vpn = first; vpn < first + pages; vpn++) {
    const known = model.get(vpn);
    const state = tables.query(vpn);
    same(known === undefined ? [0] : [known[1], known[0]], state === 0 ? [0] : [state, tables.frame], `page ${vpn}`);
  }
}
