/** Steps that are about what pages hold: accesses, advice, clones, purgeable ranges. */
import { expect } from "vitest";

import { PAGE_SIZE, READ, WRITE, type Advice } from "@pagewright/vmm";

import { anonOf } from "./comparison.ts";
import { contentOf, setOwn, type Content, type NaiveObject } from "./naive.ts";
import type { Pair, Range, Volatile, World } from "./world.ts";

/** A few loads and stores. */
export async function touch(world: World, pair: Pair): Promise<string> {
  const [first, pages] = world.pick(world.windows());
  for (let at = 0; at < 8; at++) {
    const vpn = first + world.next(pages);
    if (world.next(2) === 0) await store(world, pair, vpn, world.next(1000000000));
    else await load(world, pair, vpn);
  }
  return "touch";
}

async function load(world: World, pair: Pair, vpn: number): Promise<void> {
  const { failures } = world.coin;
  const address = vpn * PAGE_SIZE + 8;
  let got = pair.memory.load32(address);
  for (let tries = 0; got === -1 && pair.memory.fault === "pending" && tries < 8; tries++) {
    await pair.real.pending;
    got = pair.memory.load32(address);
  }
  world.noticePurges();
  const expected = pair.naive.access(vpn, READ);
  if (got === -1) {
    expectFailure(world, pair, vpn, expected, failures);
    return;
  }
  const own = pair.naive.pages.get(vpn)?.own;
  if (got === 0 && own?.mayVanish === true) own.value = 0;
  expect([expected, got]).toEqual(["ok", pair.naive.load(vpn)]);
}

async function store(world: World, pair: Pair, vpn: number, value: number): Promise<void> {
  const { failures } = world.coin;
  const page = pair.naive.pages.get(vpn);
  const denies = page?.notifies === true && page.object?.guarded.has(page.index) === true;
  const address = vpn * PAGE_SIZE + 8;
  let done = pair.memory.store32(address, value);
  for (let tries = 0; !done && pair.memory.fault === "pending" && tries < 8; tries++) {
    await pair.real.pending;
    done = pair.memory.store32(address, value);
  }
  world.noticePurges();
  const expected = pair.naive.access(vpn, WRITE);
  if (done) {
    expect(expected).toBe("ok");
    pair.naive.store(vpn, value);
    const own = pair.naive.pages.get(vpn)?.own;
    if (own !== null && own !== undefined) own.page = anonOf(pair, vpn);
  } else if (denies && pair.memory.fault === "bus") {
    expect(["ok", "bus"]).toContain(expected); // The pager did not allow it.
  } else {
    world.allowCopies(pair, vpn, 1); // The page may have been copied before a table could not be had.
    expectFailure(world, pair, vpn, expected, failures);
  }
}

/** An access failed: for the oracle's reason, or because a port did. */
function expectFailure(world: World, { memory, naive }: Pair, vpn: number, expected: string, failures: number): void {
  const got = memory.fault;
  const { kind = null } = naive.pages.get(vpn)?.object ?? {};
  const isLate = kind === "late" || kind === "paged";
  if (got === "no-memory" || got === "pending") return; // Nothing happened.
  if (got === "bus" && world.coin.failures > (isLate ? 0 : failures)) return; // A store could not be read, now or earlier.
  const outcome = got === "unmapped" || got === "bus" ? got : "rights";
  expect(outcome).toBe(expected);
}

const ADVICE: readonly Advice[] = [
  "dont-need",
  "dont-need-locked",
  "free",
  "page-out",
  "cold",
  "will-need",
  "sequential",
  "random",
  "normal",
  "remove",
  "wipe-on-clone",
  "keep-on-clone",
  "no-clone",
  "clone",
  "guard",
  "no-guard",
  "populate-read",
  "populate-write",
];

/** Advice, and what it changes for programs. */
export function advise(world: World, pair: Pair, { start, count }: Range): string {
  const advice = world.pick(ADVICE);
  const outcome = pair.real.advise(start * PAGE_SIZE, count * PAGE_SIZE, advice);
  if (advice.startsWith("populate")) world.allowCopies(pair, start, count);
  if (outcome === "ok" || outcome === "failed") applyAdvice(world, pair, start, count, advice, outcome === "ok");
  if (!pair.naive.isMapped(start, count)) expect(outcome).toBe("unmapped");
  return `${advice}: ${outcome}`;
}

function applyAdvice(
  world: World,
  { naive }: Pair,
  start: number,
  count: number,
  advice: Advice,
  isDone: boolean,
): void {
  const pages = naive.mapped(start, count);
  expect(pages.length).toBe(count);
  const hasLate = pages.some(({ object }) => object?.kind === "late");
  expect(isDone || world.coin.failures > 0 || hasLate).toBe(true);
  for (const page of pages) {
    if (advice === "dont-need" || advice === "dont-need-locked" || advice === "guard") setOwn(page, null);
    if (advice === "guard") page.guard = true;
    if (advice === "no-guard") page.guard = false;
    if (advice === "wipe-on-clone" || advice === "keep-on-clone") page.wiped = advice === "wipe-on-clone";
    if (advice === "no-clone" || advice === "clone") page.skipped = advice === "no-clone";
    if (advice === "free" && page.own?.owners === 1) page.own.mayVanish = true;
    if (advice !== "remove" || page.object === null || page.index >= page.object.pages) continue;
    punch(world, page.object, page.index, isDone);
  }
}

/** A page of an object is punched out: zeroes, or the pager is asked again; where a store failed it holds what it did, or zeroes. */
function punch({ allowance }: World, object: NaiveObject, index: number, isDone: boolean): void {
  const content = contentOf(object, index);
  if (!isDone) {
    allowance.zeroes.add(content);
    return;
  }
  object.content.delete(index);
  content.owners = 0;
  if (object.kind !== "paged") contentOf(object, index).value = 0;
}

/** A clone. */
export function clone(world: World, pair: Pair): string {
  if (world.spaces.length >= 4) return "no clone";
  const real = pair.real.clone();
  if (real === null) return "clone fails";
  world.enter(real, pair.naive.clone());
  return "clone";
}

/** The end of a space. */
export function destroy(world: World, pair: Pair): string {
  if (world.spaces.length < 2) return "no end";
  pair.real.destroy();
  for (const page of pair.naive.pages.values()) setOwn(page, null);
  world.spaces = world.spaces.filter((other) => other !== pair);
  return "destroy";
}

/** A range becomes purgeable, is let go, or taken into use again. */
export function purge(world: World, pair: Pair, { start, count }: Range): string {
  const range = world.volatile.length < 2 ? undefined : world.pick(world.volatile);
  if (range === undefined) {
    const pages = pair.naive.mapped(start, count);
    if (pages.length < count) return "nothing to make purgeable";
    const handle = world.vmm.makePurgeable(pair.real, start * PAGE_SIZE, count * PAGE_SIZE);
    world.volatile.push({ pages, handle, isHeld: true, wasPurged: false, contents: new Set() });
    return "make purgeable";
  }
  if (range.isHeld) {
    range.handle.release();
    range.isHeld = false;
    range.wasPurged = false;
    range.contents = new Set(ownOf(range));
    return "let go";
  }
  world.noticePurges();
  const outcome = range.handle.hold();
  range.isHeld = true;
  const mapped = new Set(world.spaces.flatMap(({ naive }) => [...naive.pages.values()]));
  if (range.wasPurged) expect(outcome).toBe("purged");
  else if (outcome === "purged" && range.pages.every((page) => mapped.has(page)))
    expect(ownOf(range).filter((own) => range.contents.has(own))).toEqual([]);
  return outcome;
}

/** The private contents of a range. */
function ownOf({ pages }: Volatile): Content[] {
  return pages.flatMap(({ own }) => (own === null ? [] : [own]));
}

/** A purgeable range becomes ordinary memory. */
export function drop(world: World): string {
  const range = world.volatile.shift();
  range?.handle.close();
  return range === undefined ? "nothing purgeable" : "not purgeable";
}

/** Whatever was begun ends. */
export async function wait(world: World): Promise<string> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  expect(world.coin.off).toBe(false);
  return "wait";
}
