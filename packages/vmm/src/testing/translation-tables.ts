/** What `TranslationTables` do, whatever their format. */
import { SeededRandom } from "../environment.ts";
import type { TranslationTables } from "../ports.ts";
import {
  ACCESSED,
  DIRTY,
  PRESENT,
  READ,
  UNCACHED,
  USER,
  WRITE,
  WRITE_BACK,
  WRITE_COMBINING,
  withType,
} from "../rights.ts";
import { TABLE_PAGES, type Pfn, type Vpn } from "../units.ts";
import { claim, same, type ConformanceCase } from "./case.ts";
import { ALL, entriesOf, Plan, RIGHTS, tablesOf, type TablesFixture } from "./tables-fixture.ts";

/** Pages at the edges of tables, near and far. */
const PAGES: readonly Vpn[] = [16, 511, 512, 1023, 262143, 262144, 5_000_000, 60_000_000];

/** Claims about `TranslationTables` and the system that makes them. Pages below 2^26 have to be translatable. */
export const translationTablesSuite: readonly ConformanceCase<TablesFixture>[] = [
  {
    name: "a page that was never mapped has no translation",
    run(make): void {
      const tables = tablesOf(make());
      for (const vpn of PAGES) same(tables.query(vpn), 0, `state of page ${vpn}`);
    },
  },
  {
    name: "a mapped page is found with its frame and attributes, and its neighbours are not",
    run(make): void {
      const tables = tablesOf(make());
      const plan = new Plan();
      for (const [at, vpn] of PAGES.entries())
        claim(tables.map(vpn, 7000 + at, at === 0 ? ALL : RIGHTS, plan), "there are frames for tables");
      claim(plan.pages.size === 0 && !plan.everything, "a new translation leaves nothing stale");
      for (const [at, vpn] of PAGES.entries()) {
        same(tables.query(vpn), (at === 0 ? ALL : RIGHTS) + PRESENT, `state of page ${vpn}`);
        same(tables.frame, 7000 + at, `frame of page ${vpn}`);
      }
      for (const vpn of [15, 17, 513, 1024, 262145]) same(tables.query(vpn), 0, `state of page ${vpn}`);
    },
  },
  {
    name: "mapping a page again replaces its translation and reports the old one as stale",
    run(make): void {
      const tables = tablesOf(make());
      tables.map(600, 1, ALL, new Plan());
      const plan = new Plan();
      tables.map(600, 2, RIGHTS, plan);
      claim(plan.covers(600), "the replaced translation is to be invalidated");
      same([tables.query(600), tables.frame], [RIGHTS + PRESENT, 2], "the new translation");
    },
  },
  {
    name: "filling sets what is absent, or changes nothing",
    run(make): void {
      const tables = tablesOf(make());
      tables.map(600, 1, RIGHTS, new Plan());
      for (const [vpn, before] of [
        [600, RIGHTS + PRESENT],
        [601, 0],
        [60_000_000, 0],
      ] as const) {
        const filled = tables.fill(vpn, 9, ALL);
        claim(!filled || before === 0, "a translation that is there is not replaced");
        same(tables.query(vpn), filled ? ALL + PRESENT : before, `state of page ${vpn}`);
        if (filled || before !== 0) same(tables.frame, filled ? 9 : 1, `frame of page ${vpn}`);
      }
    },
  },
  {
    name: "unmapping a range removes what is there, tells each entry once, and spares the rest",
    run(make): void {
      const tables = tablesOf(make());
      for (const [at, vpn] of PAGES.entries()) tables.map(vpn, 100 + at, RIGHTS, new Plan());
      const plan = new Plan();
      const removed = entriesOf((sink) => {
        tables.unmap(511, 262144, plan, sink);
      });
      same(
        removed.map(([vpn, pfn]) => [vpn, pfn]).sort(),
        [
          [511, 101],
          [512, 102],
          [1023, 103],
          [262143, 104],
        ].sort(),
        "removed",
      );
      for (const [vpn, , state] of removed) {
        same(state, RIGHTS + PRESENT, "the state that an entry had");
        claim(plan.covers(vpn), `page ${vpn} is to be invalidated`);
        same(tables.query(vpn), 0, `state of page ${vpn}`);
      }
      for (const vpn of [16, 262144, 5_000_000, 60_000_000]) claim(tables.query(vpn) !== 0, `page ${vpn} is spared`);
      tables.unmap(511, 262144, new Plan(), {
        entry: () => {
          throw new Error("an entry was told twice");
        },
      });
    },
  },
  {
    name: "protecting a range changes the present pages only, keeps their frames, and reports what became stricter",
    run(make): void {
      const tables = tablesOf(make());
      for (const vpn of [510, 511, 512]) tables.map(vpn, vpn, READ + WRITE + USER, new Plan());
      const plan = new Plan();
      tables.protect(511, 1100, RIGHTS, plan);
      same(tables.query(510), READ + WRITE + USER + PRESENT, "state of the page before the range");
      for (const vpn of [511, 512]) {
        same([tables.query(vpn), tables.frame], [RIGHTS + PRESENT, vpn], `page ${vpn}`);
        claim(plan.covers(vpn), `page ${vpn} is to be invalidated`);
      }
      same(tables.query(600), 0, "a page that was absent stays so");
    },
  },
  {
    name: "protecting sets the memory type with the rights, and reports what had another one",
    run(make): void {
      const tables = tablesOf(make());
      for (const vpn of [511, 512]) tables.map(vpn, vpn, ALL, new Plan());
      for (const type of [WRITE_COMBINING, UNCACHED, WRITE_BACK]) {
        const plan = new Plan();
        tables.protect(511, 513, withType(ALL, type), plan);
        for (const vpn of [511, 512]) {
          same([tables.query(vpn), tables.frame], [withType(ALL, type) + PRESENT, vpn], `page ${vpn}`);
          claim(plan.covers(vpn), `page ${vpn} is to be invalidated`);
        }
      }
    },
  },
  {
    name: "accessed and dirty survive protecting, and are told by unmapping",
    run(make): void {
      const fixture = make();
      if (fixture.use === undefined) return;
      const tables = tablesOf(fixture);
      tables.map(20, 5, READ + WRITE + USER, new Plan());
      fixture.use(tables, 20, ACCESSED + DIRTY);
      tables.protect(20, 21, RIGHTS, new Plan());
      same(tables.query(20), RIGHTS + PRESENT + ACCESSED + DIRTY, "state after protecting");
      const removed = entriesOf((sink) => {
        tables.unmap(20, 21, new Plan(), sink);
      });
      same(removed, [[20, 5, RIGHTS + PRESENT + ACCESSED + DIRTY]], "what unmapping tells");
    },
  },
  {
    name: "harvesting clears the bits asked for and tells the state before; only a cleared dirty bit must be invalidated",
    run(make): void {
      const fixture = make();
      if (fixture.use === undefined) return;
      const tables = tablesOf(fixture);
      const rights = READ + WRITE + USER;
      for (const vpn of [30, 31, 32]) tables.map(vpn, vpn, rights, new Plan());
      fixture.use(tables, 30, ACCESSED);
      fixture.use(tables, 31, ACCESSED + DIRTY);
      const accessed = entriesOf((sink) => {
        tables.harvest(30, 33, ACCESSED, new Plan(), sink);
      });
      same(accessed.map(([vpn]) => vpn).sort(), [30, 31], "pages that were used");
      same(tables.query(31), rights + PRESENT + DIRTY, "the dirty bit stays");
      const plan = new Plan();
      const dirty = entriesOf((sink) => {
        tables.harvest(30, 33, DIRTY, plan, sink);
      });
      same(dirty, [[31, 31, rights + PRESENT + DIRTY]], "pages that were stored to");
      claim(plan.covers(31), "a cleared dirty bit is to be invalidated");
      same(tables.query(31), rights + PRESENT, "nothing is left");
    },
  },
  {
    name: "spaces do not see each other's translations",
    run(make): void {
      const fixture = make();
      const [one, two] = [tablesOf(fixture), tablesOf(fixture)];
      one.map(99, 1, RIGHTS, new Plan());
      same(two.query(99), 0, "the other space");
      claim(one.root !== two.root, "roots differ");
    },
  },
  {
    name: "every table frame comes back by plans, the last ones when the tables go",
    run(make): void {
      const fixture = make();
      if (fixture.tableFrames === undefined) return;
      const before = fixture.tableFrames();
      const tables = tablesOf(fixture);
      for (const vpn of PAGES) tables.map(vpn, 1, RIGHTS, new Plan());
      claim(fixture.tableFrames() > before, "tables take frames");
      const plan = new Plan();
      tables.unmap(16, 262144, plan, null);
      plan.complete(fixture);
      const last = new Plan();
      tables.destroy(last);
      last.complete(fixture);
      same(fixture.tableFrames(), before, "frames of tables");
    },
  },
  {
    name: "without a frame for a table nothing is mapped and nothing is lost",
    run(make): void {
      const fixture = make();
      if (fixture.starve === undefined) return;
      const tables = tablesOf(fixture);
      tables.map(16, 1, RIGHTS, new Plan());
      fixture.starve();
      const plan = new Plan();
      claim(!tables.map(60_000_000, 2, RIGHTS, plan), "mapping needs a table");
      plan.complete(fixture);
      same(tables.query(60_000_000), 0, "the page that could not be mapped");
      same([tables.query(16), tables.frame], [RIGHTS + PRESENT, 1], "the page that was there");
      claim(tables.map(17, 3, RIGHTS, new Plan()), "a table that is there needs no frame");
    },
  },
  {
    name: "a long random run agrees with a map",
    run(make): void {
      againstModel(tablesOf(make()), new SeededRandom(7), 3000);
    },
  },
];

/** Random operations on a few tables' pages, with a `Map` beside them. */
function againstModel(tables: TranslationTables, random: SeededRandom, steps: number): void {
  const model = new Map<Vpn, [Pfn, number]>();
  const pages = 3 * TABLE_PAGES;
  for (let step = 0; step < steps; step++) {
    const start = random.uint32() % pages;
    const end = Math.min(pages, start + 1 + (random.uint32() % 64));
    const rights = (random.uint32() & 1) === 0 ? RIGHTS : READ + WRITE + USER;
    const plan = new Plan();
    const choice = random.uint32() % 5;
    if (choice === 4) {
      const filled = tables.fill(start, step, rights);
      claim(!filled || !model.has(start), "a translation that is there is not replaced");
      if (filled) model.set(start, [step, rights + PRESENT]);
    } else if (choice <= 1) {
      tables.map(start, step, rights, plan);
      claim(!model.has(start) || plan.covers(start), "a replaced translation is to be invalidated");
      model.set(start, [step, rights + PRESENT]);
    } else if (choice === 2) {
      const removed = entriesOf((sink) => {
        tables.unmap(start, end, plan, sink);
      });
      for (const [vpn, pfn, state] of removed) {
        same([pfn, state], model.get(vpn), `page ${vpn} in step ${step}`);
        claim(plan.covers(vpn), "a removed translation is to be invalidated");
        model.delete(vpn);
      }
    } else {
      tables.protect(start, end, rights, plan);
      for (let vpn = start; vpn < end; vpn++) {
        const known = model.get(vpn);
        if (known === undefined) continue;
        if ((known[1] & ~rights & ALL) !== 0) claim(plan.covers(vpn), "a lost right is to be invalidated");
        known[1] = rights + PRESENT;
      }
    }
  }
  for (let vpn = 0; vpn < pages; vpn++) {
    const known = model.get(vpn);
    const state = tables.query(vpn);
    same(known === undefined ? [0] : [known[1], known[0]], state === 0 ? [0] : [state, tables.frame], `page ${vpn}`);
  }
}
