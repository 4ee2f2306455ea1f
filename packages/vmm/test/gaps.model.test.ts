/** Gap searches among regions that keep pages, against a list of pages that is searched one by one. */
import { expect, test } from "vitest";

import { PAGE_SIZE, PlainMemory, STACK_GAP, Vmm, type AddressSpace, type GapSearch } from "@pagewright/vmm";

import { spaceOf } from "./kit/rig.ts";

const LOW = 4096;
const PAGES = 2000;
const HIGH = LOW + PAGES;

/** What a page's region keeps. */
interface Kept {
  readonly guard: number;
  readonly growsDown: boolean;
}

/** The pages of the arena: what keeps each mapped one, null for the others. */
type Arena = (Kept | null)[];

function below({ guard, growsDown }: Kept): number {
  return Math.max(guard, growsDown ? STACK_GAP : 0);
}

/** Whether each page is free and kept by no region next to its hole. */
function openPages(arena: Arena, keepsStacks: boolean): boolean[] {
  const open = arena.map((page) => page === null);
  for (const [at, page] of arena.entries()) {
    if (page === null) continue;
    for (let by = 1; by <= page.guard && arena[at + by] === null; by++) open[at + by] = false;
    const lower = keepsStacks ? below(page) : page.guard;
    for (let by = 1; by <= lower && arena[at - by] === null; by++) open[at - by] = false;
  }
  return open;
}

/** All starts that a region of `pages` pages may have, ascending. */
function startsOf(arena: Arena, pages: number, kept: Kept, alignment: number): number[] {
  const open = openPages(arena, true);
  const need = below(kept) + pages + kept.guard;
  const starts: number[] = [];
  let run = 0;
  for (const [at, isOpen] of open.entries()) {
    run = isOpen ? run + 1 : 0;
    const start = at + 1 - need + below(kept);
    if (run >= need && (LOW + start) % alignment === 0) starts.push(start);
  }
  return starts;
}

/** A space with room in the arena alone. */
function arenaOf(seed: number): { vmm: Vmm; space: AddressSpace; arena: Arena; next: (bound: number) => number } {
  const memory = new PlainMemory(64);
  const vmm = new Vmm({ frames: memory, window: memory });
  const space = spaceOf(vmm);
  for (const [from, to] of [
    [space.low, LOW],
    [HIGH, space.high],
  ] as const) {
    const bytes = (to - from) * PAGE_SIZE;
    const at = space.map({ address: from * PAGE_SIZE, bytes, placement: "fixed", rights: 0, accounted: false });
    expect(at).toBe(from * PAGE_SIZE);
  }
  let state = seed;
  const next = (bound: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
  return { vmm, space, arena: new Array<Kept | null>(PAGES).fill(null), next };
}

for (const seed of [1, 2, 3, 4])
  test(`regions go where a search page by page says, seed ${seed}`, () => {
    const { vmm, space, arena, next } = arenaOf(seed);
    let refusals = 0;
    for (let step = 0; step < 500; step++) {
      const at = next(PAGES - 40);
      const pages = 1 + next(next(4) === 0 ? 40 : 6);
      const kept = { guard: Math.max(0, next(6) - 2), growsDown: next(8) === 0 };
      const common = { bytes: pages * PAGE_SIZE, guardPages: kept.guard, growsDown: kept.growsDown };
      const address = (LOW + at) * PAGE_SIZE;
      const dice = next(10);
      if (dice < 3) {
        expect(space.unmap(address, pages * PAGE_SIZE)).toBe("ok");
        arena.fill(null, at, at + pages);
      } else if (dice < 5) {
        const placement = dice === 3 ? "fixed" : "fixed-new";
        const free = openPages(arena, false).slice(at, at + pages);
        const fits = placement === "fixed" || free.every(Boolean);
        expect(space.map({ ...common, address, placement })).toBe(fits ? address : "exists");
        if (fits) arena.fill(kept, at, at + pages);
        else refusals++;
      } else {
        const search = (["top-down", "bottom-up", "random"] as const satisfies GapSearch[])[next(3)] ?? "top-down";
        const alignment = 2 ** next(4);
        const starts = startsOf(arena, pages, kept, alignment);
        const hint = dice === 9 ? Math.floor((LOW + at) / alignment) * alignment - LOW : -1;
        const wish = { search, alignment: alignment * PAGE_SIZE, ...(dice === 9 ? { address } : {}) };
        const got = space.map({ ...common, ...wish });
        const start = typeof got === "number" ? got / PAGE_SIZE - LOW : -1;
        if (startsOf(arena, pages, { ...kept, growsDown: false }, alignment).includes(hint)) expect(start).toBe(hint);
        else if (search === "random") expect(starts.length === 0 ? start === -1 : starts.includes(start)).toBe(true);
        else expect(start).toBe((search === "bottom-up" ? starts[0] : starts[starts.length - 1]) ?? -1);
        if (start === -1) expect(got).toBe("no-space");
        else arena.fill(kept, start, start + pages);
      }
      vmm.check();
    }
    expect(refusals).toBeGreaterThan(0);
  });
