/** Steps on regions: mapping, rights, moves, locks, types, and handing over between spaces. */
import { expect } from "vitest";

import {
  EXECUTE,
  PAGE_SIZE,
  READ,
  UNCACHED,
  WRITE,
  WRITE_COMBINING,
  type MemoryType,
  type Outcome,
} from "@pagewright/vmm";

import { RIGHTS, setOwn, type NaivePage } from "./naive.ts";
import { HALL, HALL_PAGES, HALL_USED, type Pair, type Range, type World } from "./world.ts";

/** A new region of nothing or of an object, over whatever is there. */
export function map(world: World, pair: Pair, range: Range): string {
  const { start } = range;
  const count = Math.min(3 * range.count, range.end - start);
  const { units } = world.shape;
  const thing = world.next(2) === 0 ? null : world.pick(world.things);
  const wanted = units > 0 && world.next(2) === 0 ? READ + WRITE : world.pick(RIGHTS);
  const shared = thing !== null && (thing.naive.kind === "buffer" || world.next(2) === 0);
  // Now and then an object lies as the arena does, so that its 2M pages and the arena's meet.
  const isAligned = units > 0 && world.next(4) < units;
  const index = thing === null ? 0 : isAligned ? start % 512 : world.next(6);
  const isPlain = thing?.naive.kind !== "buffer" && world.next(8) === 0;
  const type = isPlain ? WRITE_COMBINING : (thing?.naive.type ?? 0);
  const notifies = thing?.naive.kind === "paged" && shared;
  const isSealed = thing !== null && (thing.naive.seals.has("write") || thing.naive.seals.has("future-write"));
  const outcome = pair.real.map({
    address: start * PAGE_SIZE,
    bytes: count * PAGE_SIZE,
    placement: "fixed",
    rights: wanted,
    shared,
    offset: index * PAGE_SIZE,
    type,
    writeNotify: notifies,
    populate: world.next(6) === 0,
    ...(thing === null ? {} : { object: thing.real }),
  });
  if (typeof outcome !== "number") {
    if (shared && isSealed && (wanted & WRITE) !== 0) expect(["sealed", "type-conflict"]).toContain(outcome);
    return `map: ${outcome}`;
  }
  expect(shared && isSealed && (wanted & WRITE) !== 0).toBe(false);
  pair.naive.map(start, count, {
    rights: wanted,
    ceiling: READ + EXECUTE + (shared && isSealed ? 0 : WRITE),
    object: thing?.naive ?? null,
    index,
    shared,
    notifies,
    type,
  });
  if (thing !== null) {
    const others = [...thing.real.regions.keys()].length;
    if (others === 1) thing.naive.type = type;
    else expect(thing.naive.type).toBe(type);
  }
  world.allowCopies(pair, start, count);
  return `map ${thing?.naive.kind ?? "zeroes"}`;
}

/** The end of regions. */
export function unmap(_world: World, { real, naive }: Pair, { start, count }: Range): string {
  expect(real.unmap(start * PAGE_SIZE, count * PAGE_SIZE)).toBe("ok");
  naive.unmap(start, count);
  return "unmap";
}

/** The same, and asked twice. */
export function makeUnusable(_world: World, { real, naive }: Pair, { start, count }: Range): string {
  for (let times = 0; times < 2; times++) expect(real.makeUnusable(start * PAGE_SIZE, count * PAGE_SIZE)).toBe("ok");
  naive.unmap(start, count);
  return "make unusable";
}

/** Every page of a range is made usable: what was mapped stays as it is. */
export function makeUsable(world: World, pair: Pair, { start, count }: Range): string {
  const { real, naive } = pair;
  const { failures } = world.coin;
  const rights = world.next(2) === 0 ? READ + WRITE : READ;
  const outcome = real.makeUsable(start * PAGE_SIZE, count * PAGE_SIZE, rights);
  world.allowCopies(pair, start, count);
  for (let vpn = start; vpn < start + count; vpn++) {
    const isMapped = real.regions.find(vpn) !== null;
    expect(isMapped).toBe(outcome === "ok" || naive.pages.has(vpn)); // All or nothing.
    if (isMapped && !naive.pages.has(vpn)) naive.map(vpn, 1, { rights });
  }
  if (outcome !== "ok") {
    const need = (rights & WRITE) !== 0 ? WRITE : READ;
    const isPossible = Array.from({ length: count }, (_, at) => naive.access(start + at, need)).every(isFine);
    const excuses: readonly Outcome[] = ["no-memory", "pending"];
    if (isPossible && world.coin.failures === failures && !hasLateOrPaged(naive.mapped(start, count)))
      expect(excuses).toContain(outcome);
  }
  return `make usable: ${outcome}`;
}

function isFine(outcome: string): boolean {
  return outcome === "ok" || outcome === "unmapped";
}

function hasLateOrPaged(pages: readonly NaivePage[]): boolean {
  return pages.some(({ object }) => object?.kind === "late" || object?.kind === "paged");
}

/** Other rights. */
export function protect(world: World, pair: Pair, { start, count }: Range): string {
  const rights = world.pick(RIGHTS);
  const outcome = pair.real.protect(start * PAGE_SIZE, count * PAGE_SIZE, rights);
  const pages = pair.naive.mapped(start, count);
  const isMapped = pages.length === count;
  const mayBe = pages.every(({ ceiling }) => (rights & ~ceiling) === 0);
  expect(outcome).toBe(!isMapped ? "unmapped" : mayBe ? "ok" : "rights");
  if (outcome === "ok") for (const page of pages) page.rights = rights;
  world.allowCopies(pair, start, count); // Of locked pages that may be stored to from now on.
  return `protect: ${outcome}`;
}

/** A range moves, grows or shrinks, in place or elsewhere; or leaves an empty one behind. */
export function remap(world: World, pair: Pair, range: Range): string {
  const { real, naive } = pair;
  const { start, end } = range;
  const isInPlace = world.next(2) === 0;
  // What is to grow in place ends where its region does.
  const room = Math.max(1, Math.min((real.regions.find(start)?.end ?? end) - start, end - start));
  const count = isInPlace && world.next(2) === 0 ? room : range.count;
  const longer = Math.min(count + world.next(4), end - start);
  const newCount = world.next(3) === 0 ? count : world.next(2) === 0 ? longer : 1 + world.next(count);
  const { arena, arenaPages } = world.shape;
  const places = Math.max(1, arenaPages - newCount);
  const fitsHall = HALL_USED + newCount <= world.hallWindow;
  const to = world.next(4) === 0 && fitsHall ? HALL + world.next(HALL_USED) : arena + world.next(places);
  const keepSource = !isInPlace && newCount === count && world.next(3) === 0;
  const before = naive.mapped(start, count);
  const outcome = real.remap({
    address: start * PAGE_SIZE,
    bytes: count * PAGE_SIZE,
    newBytes: newCount * PAGE_SIZE,
    ...(isInPlace ? {} : { mayMove: true, target: to * PAGE_SIZE, keepSource }),
  });
  if (typeof outcome !== "number") {
    if (before.length < count) expect(outcome).toBe("unmapped");
    return `remap: ${outcome}`;
  }
  expect([before.length, outcome]).toEqual([count, (isInPlace ? start : to) * PAGE_SIZE]);
  const moved = Math.min(count, newCount);
  if (newCount < count) naive.unmap(start + newCount, count - newCount);
  const kept = keepSource ? naive.mapped(start, count).map((page) => ({ ...page })) : [];
  if (!isInPlace) {
    const last = Math.max(newCount, count);
    naive.unmap(to + moved, Math.min(last, newCount) - moved);
    naive.move(start, moved, to);
  }
  for (const [at, page] of kept.entries())
    naive.pages.set(start + at, { ...page, own: null, locked: false, guard: false });
  grow(naive.pages, outcome / PAGE_SIZE + moved, newCount - moved);
  world.allowCopies(pair, outcome / PAGE_SIZE, newCount);
  return isInPlace ? `remap in place: ${Math.sign(newCount - count)}` : keepSource ? "remap, source kept" : "remap";
}

/** So many pages more of the region that ends at a page. */
function grow(pages: Map<number, NaivePage>, start: number, count: number): void {
  const last = pages.get(start - 1);
  if (last === undefined) throw new Error("nothing grows");
  for (let at = 0; at < count; at++)
    pages.set(start + at, { ...last, own: null, guard: false, index: last.index + 1 + at });
}

/** Locks and their ends. */
export function lock(world: World, pair: Pair, { start, count }: Range): string {
  const { real, naive } = pair;
  const dice = world.next(4);
  if (dice === 0 || real.lockedPages > 8) {
    real.unlockAll();
    for (const page of naive.pages.values()) page.locked = false;
    return "unlock all";
  }
  const address = start * PAGE_SIZE;
  if (dice === 1) {
    const outcome = real.unlock(address, count * PAGE_SIZE);
    expect(outcome).toBe(naive.isMapped(start, count) ? "ok" : "unmapped");
    if (outcome === "ok") for (const page of naive.mapped(start, count)) page.locked = false;
    return `unlock: ${outcome}`;
  }
  const pages = Math.min(count, 4);
  const outcome = real.lock(address, pages * PAGE_SIZE);
  world.allowCopies(pair, start, pages);
  if (outcome !== "ok") return `lock: ${outcome}`;
  for (const page of naive.mapped(start, pages)) page.locked = true;
  const resident = new Uint8Array(pages);
  expect(real.residency(address, pages * PAGE_SIZE, resident)).toBe("ok");
  expect(resident.every(Boolean)).toBe(true);
  for (let vpn = start; vpn < start + pages; vpn++) {
    const page = naive.pages.get(vpn);
    const isOwn = page?.shared === true || ((page?.rights ?? 0) & WRITE) === 0;
    if (!isOwn) expect(real.tables.query(vpn) & WRITE).toBe(WRITE); // No store faults any more.
  }
  return "lock";
}

/** Another memory type, for all aliases of what is in the range. */
export function setType(world: World, pair: Pair, { start, count }: Range): string {
  const type: MemoryType = world.pick([0, 0, WRITE_COMBINING, UNCACHED]);
  const outcome = pair.real.setMemoryType(start * PAGE_SIZE, count * PAGE_SIZE, type);
  world.allowCopies(pair, start, count);
  if (outcome !== "ok") return `set type: ${outcome}`;
  const pages = pair.naive.mapped(start, count);
  expect(pages.length).toBe(count);
  const objects = new Set(pages.map(({ object }) => object));
  for (const page of pages) page.type = type;
  for (const object of objects) if (object !== null) object.type = type;
  for (const { naive } of world.spaces)
    for (const page of naive.pages.values()) if (page.object !== null && objects.has(page.object)) page.type = type;
  return "set type";
}

/** Maps the hall through, if it is not. */
function fillHall(world: World, { real, naive }: Pair, isShared: boolean): void {
  if (naive.isMapped(HALL, HALL_PAGES)) return;
  const things = world.things.filter(({ naive: { kind } }) => kind === "shared" || kind === "file");
  const thing = isShared || world.next(2) === 0 ? world.pick(things) : null;
  const type = thing?.naive.type ?? 0;
  const address = HALL * PAGE_SIZE;
  const bytes = HALL_PAGES * PAGE_SIZE;
  const object = thing === null ? {} : { object: thing.real, shared: true };
  if (real.map({ address, bytes, placement: "fixed", type, ...object }) !== address) return;
  const traits = { rights: READ + WRITE, object: thing?.naive ?? null, shared: thing !== null, type };
  naive.map(HALL, HALL_PAGES, traits);
}

/** Another space gets the table of the hall too. */
export function share(world: World, pair: Pair): string {
  const other = world.pick(world.spaces);
  const address = HALL * PAGE_SIZE;
  const bytes = HALL_PAGES * PAGE_SIZE;
  fillHall(world, pair, true);
  if (other === pair || other.real.unmap(address, bytes) !== "ok") return "share with itself";
  other.naive.unmap(HALL, HALL_PAGES);
  const outcome = pair.real.share(address, bytes, other.real, address);
  if (outcome !== address) return `share: ${outcome}`;
  for (let at = 0; at < HALL_PAGES; at++) {
    const page = pair.naive.pages.get(HALL + at);
    if (page === undefined || !page.shared || page.guard) throw new Error("a table was shared that may not be");
    other.naive.pages.set(HALL + at, { ...page, own: null });
  }
  return "share";
}

/** The table of the hall goes over to another space, private pages and all. */
export function transfer(world: World, pair: Pair): string {
  const other = world.pick(world.spaces);
  const address = HALL * PAGE_SIZE;
  const bytes = HALL_PAGES * PAGE_SIZE;
  fillHall(world, pair, false);
  if (other === pair || other.real.unmap(address, bytes) !== "ok") return "transfer to itself";
  other.naive.unmap(HALL, HALL_PAGES);
  const outcome = pair.real.transfer(address, bytes, other.real, address);
  if (outcome !== address) return `transfer: ${outcome}`;
  expect(pair.naive.isMapped(HALL, HALL_PAGES)).toBe(true);
  pair.naive.move(HALL, HALL_PAGES, HALL, other.naive);
  for (const page of pair.naive.pages.values()) if (page.own?.owners === 0) setOwn(page, null);
  return "transfer";
}
