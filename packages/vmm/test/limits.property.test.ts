/**
 * What limits refuse, and nothing else: random operations beside a naive account of every page. What would grow a count beyond its limit is refused and changes nothing;
 * what would not is never refused for it; and what is promised is, after each step, what the pages of all spaces add up to.
 */
import { expect, test } from "vitest";

import { PAGE_SIZE, PlainMemory, READ, SeededRandom, Vmm, WRITE, type AddressSpace } from "@pagewright/vmm";

import { spaceOf } from "./kit/rig.ts";

/** First page and pages of the window that fixed requests fall into. */
const FIRST = 0x10000;
const WINDOW = 40;
const COMMIT_LIMIT = 18;
const LIMITS = { pages: 40, lockedPages: 9, regions: 10 };

/** A mapped page as the limits see it. */
interface Page {
  readonly isPrivate: boolean;
  readonly isExempt: boolean;
  isPromised: boolean;
  isLocked: boolean;
}

type Pages = Map<number, Page>;

const LIMIT_OF = { "size-limit": "pages", "lock-limit": "locked", "commit-limit": "promised" } as const;
type LimitName = keyof typeof LIMIT_OF;

function countsOf(pages: Pages): Record<"pages" | "locked" | "promised", number> {
  const all = [...pages.values()];
  return {
    pages: all.length,
    locked: all.filter(({ isLocked }) => isLocked).length,
    promised: all.filter(({ isPromised }) => isPromised).length,
  };
}

/** How often each refusal was seen, by all seeds together. */
const REFUSALS: Map<string, number> = new Map();

class Account {
  readonly vmm: Vmm;
  readonly space: AddressSpace;
  pages: Pages = new Map();
  readonly #random: SeededRandom;

  constructor(seed: number) {
    const memory = new PlainMemory(2048);
    this.vmm = new Vmm({ frames: memory, window: memory, commit: "strict", commitLimit: COMMIT_LIMIT });
    this.space = spaceOf(this.vmm);
    Object.assign(this.space.limits, LIMITS);
    this.#random = new SeededRandom(seed);
  }

  below(bound: number): number {
    return this.#random.uint32() % bound;
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  /** Compares an operation's outcome with what a naive account comes to: `next` where it succeeds. */
  settle(outcome: unknown, next: Pages, grows: Partial<Record<LimitName, boolean>> = {}): void {
    const before = countsOf(this.pages);
    const after = countsOf(next);
    const most = { pages: LIMITS.pages, locked: LIMITS.lockedPages, promised: COMMIT_LIMIT };
    const exceeded = (name: LimitName): boolean => {
      const count = LIMIT_OF[name];
      return grows[name] ?? (after[count] > before[count] && after[count] > most[count]);
    };
    const broken = (Object.keys(LIMIT_OF) as LimitName[]).filter(exceeded);
    if (outcome === "ok" || typeof outcome === "number") {
      expect(broken).toEqual([]);
      this.pages = next;
    } else {
      const name = String(outcome);
      REFUSALS.set(name, (REFUSALS.get(name) ?? 0) + 1);
      if (name in LIMIT_OF) expect(broken).toContain(name);
    }
    this.compare();
  }

  /** The manager agrees with the account. */
  compare(): void {
    const { space, vmm } = this;
    const counts = countsOf(this.pages);
    expect([space.mappedPages, space.lockedPages, vmm.commit.charged]).toEqual([
      counts.pages,
      counts.locked,
      counts.promised,
    ]);
    expect(space.regions.count).toBeLessThanOrEqual(LIMITS.regions);
    for (const [vpn, { isPrivate, isPromised, isLocked }] of this.pages) {
      const region = space.regions.find(vpn);
      expect([vpn, region?.shared, region?.accounted, region?.locked !== "none"]).toEqual([
        vpn,
        !isPrivate,
        isPromised,
        isLocked,
      ]);
    }
    vmm.check();
  }

  map(): void {
    const pages = 1 + this.below(12);
    const start = FIRST + this.below(WINDOW);
    const isPrivate = this.chance(75);
    const isExempt = this.chance(20);
    const rights = this.chance(70) ? READ + WRITE : READ;
    const isLocked = this.chance(20);
    const object = isPrivate ? null : this.vmm.createAnonymous(pages * PAGE_SIZE);
    const replaces = this.chance(70);
    const outcome = this.space.map({
      bytes: pages * PAGE_SIZE,
      address: start * PAGE_SIZE,
      placement: replaces ? "fixed" : "fixed-new",
      rights,
      locked: isLocked ? "touched" : "none",
      accounted: !isExempt,
      ...(object === null ? {} : { object, shared: true }),
    });
    object?.close();
    const next = new Map(this.pages);
    for (let vpn = start; vpn < start + pages; vpn++)
      next.set(vpn, { isPrivate, isExempt, isPromised: isPrivate && !isExempt && rights !== READ, isLocked });
    // As in Linux, locks that a fixed region replaces count until they are gone. What replaces nothing is counted in full, whatever is in its way.
    const before = countsOf(this.pages);
    const locked = before.locked + (isLocked ? pages : 0);
    const isNew = !replaces && typeof outcome !== "number";
    this.settle(outcome, next, {
      "lock-limit": isLocked && locked > LIMITS.lockedPages,
      ...(isNew ? { "size-limit": before.pages + pages > LIMITS.pages } : {}),
    });
  }

  /** A range in the window or around a mapped page. */
  range(): [start: number, pages: number] {
    const known = [...this.pages.keys()];
    const start = this.chance(60)
      ? (known[this.below(Math.max(1, known.length))] ?? FIRST)
      : FIRST + this.below(WINDOW);
    return [start, 1 + this.below(8)];
  }

  unmap(): void {
    const [start, pages] = this.range();
    const next = new Map(this.pages);
    for (let vpn = start; vpn < start + pages; vpn++) next.delete(vpn);
    this.settle(this.space.unmap(start * PAGE_SIZE, pages * PAGE_SIZE), next);
  }

  /** The account with some pages changed. */
  changed(start: number, pages: number, change: (page: Page) => Page): Pages {
    const next = new Map(this.pages);
    for (let vpn = start; vpn < start + pages; vpn++) {
      const page = next.get(vpn);
      if (page !== undefined) next.set(vpn, change(page));
    }
    return next;
  }

  protect(): void {
    const [start, pages] = this.range();
    const rights = this.chance(60) ? READ + WRITE : READ;
    const outcome = this.space.protect(start * PAGE_SIZE, pages * PAGE_SIZE, rights);
    const next = this.changed(start, pages, (page) => ({
      ...page,
      isPromised: page.isPromised || (rights !== READ && page.isPrivate && !page.isExempt),
    }));
    this.settle(outcome, next);
  }

  lock(): void {
    const [start, pages] = this.range();
    const isLocked = this.chance(60);
    const bytes = pages * PAGE_SIZE;
    const outcome = isLocked
      ? this.space.lock(start * PAGE_SIZE, bytes, "touched")
      : this.space.unlock(start * PAGE_SIZE, bytes);
    this.settle(
      outcome,
      this.changed(start, pages, (page) => ({ ...page, isLocked })),
    );
  }

  remap(): void {
    const [start, pages] = this.range();
    const keepSource = this.chance(25);
    const newPages = keepSource ? pages : 1 + this.below(12);
    const target = this.chance(50) ? FIRST + this.below(WINDOW) : null;
    const outcome = this.space.remap({
      address: start * PAGE_SIZE,
      bytes: pages * PAGE_SIZE,
      newBytes: newPages * PAGE_SIZE,
      mayMove: true,
      keepSource,
      ...(target === null ? {} : { target: target * PAGE_SIZE }),
    });
    // Where it is refused, the totals are those of a move to where nothing is.
    const to = typeof outcome === "number" ? outcome / PAGE_SIZE : (target ?? 2 * FIRST);
    const next = new Map(this.pages);
    const moved = Array.from({ length: pages }, (_, at) => next.get(start + at));
    for (let at = 0; at < pages; at++) {
      const page = moved[at];
      next.delete(start + at);
      if (keepSource && page !== undefined) next.set(start + at, { ...page, isLocked: false });
    }
    for (let at = 0; at < newPages; at++) {
      const page = moved[Math.min(at, pages - 1)];
      if (page !== undefined) next.set(to + at, { ...page });
    }
    this.settle(outcome, next);
  }

  /** A clone is promised what its original is, and gives it back. */
  clone(): void {
    const { promised } = countsOf(this.pages);
    const clone = this.space.clone();
    expect(clone === null).toBe(2 * promised > COMMIT_LIMIT);
    expect(this.vmm.commit.charged).toBe(clone === null ? promised : 2 * promised);
    clone?.destroy();
    this.compare();
  }

  step(): void {
    const kind = this.below(100);
    if (kind < 30) this.map();
    else if (kind < 50) this.remap();
    else if (kind < 65) this.protect();
    else if (kind < 80) this.lock();
    else if (kind < 92) this.unmap();
    else this.clone();
  }
}

test.each(Array.from({ length: 12 }, (_, at) => at + 1))(
  "seed %i: limits refuse what passes them, and only that",
  (seed) => {
    const account = new Account(seed);
    for (let step = 0; step < 400; step++) account.step();
    account.space.destroy();
    expect([account.vmm.commit.charged, account.vmm.residentPages]).toEqual([0, 0]);
    account.vmm.check();
  },
);

test("every limit was passed often enough to tell", () => {
  for (const name of ["size-limit", "lock-limit", "commit-limit", "region-limit"])
    expect(REFUSALS.get(name)).toBeGreaterThan(10);
});
