import { describe, expect, test } from "vitest";

import {
  MemorySwap,
  PAGE_SIZE,
  PlainMemory,
  SeededRandom,
  SpaceMemory,
  Vmm,
  type AddressSpace,
  type AsyncSwapStore,
  type SwapStore,
} from "@pagewright/vmm";
import { CompressedPool } from "@pagewright/vmm/swap";

import { LateSwap } from "./kit/late-swap.ts";
import { spaceOf } from "./kit/rig.ts";

const PAGES = 64;
const FRAMES = 12;
const POOL_FRAMES = 6;
const FAILURES = ["lost", "full", "failed"] as const;

interface World {
  readonly vmm: Vmm;
  readonly pool: CompressedPool;
  readonly space: AddressSpace;
  readonly at: number;
}

/** A manager with compressed memory of a few frames in front of the stores. */
function world(...stores: (SwapStore | AsyncSwapStore)[]): World {
  const memory = new PlainMemory(256);
  const pool = new CompressedPool({ frames: memory, window: memory, limitFrames: POOL_FRAMES, slots: 256 });
  const vmm = new Vmm({
    frames: memory,
    window: memory,
    residentLimit: FRAMES,
    swap: [pool, ...stores],
    readAhead: 0,
  });
  const space = spaceOf(vmm);
  return { vmm, pool, space, at: Number(space.map({ bytes: PAGES * PAGE_SIZE })) };
}

/** A page that compresses to a third, or (each seventh) not at all, or (each eleventh) to a word. */
function pageOf(seed: number): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE);
  if (seed % 11 === 0) return page.fill(seed & 255);
  const random = new SeededRandom(seed);
  for (let at = 0; at < (seed % 7 === 0 ? PAGE_SIZE : PAGE_SIZE / 3); at++) page[at] = random.uint32() & 255;
  return page;
}

/** Replaces a whole page, or reads it; what the fault came to where that fails for good. Waits as long as that helps. */
async function transfer(space: AddressSpace, address: number, bytes: Uint8Array, store: boolean): Promise<string> {
  const memory = new SpaceMemory(space);
  for (let tries = 0; tries < 200; tries++) {
    const done = store ? memory.copyIn(address, bytes) : memory.copyOut(address, bytes);
    if (done === PAGE_SIZE) return "ok";
    if (memory.fault !== "pending" || space.pending === null) return memory.fault;
    await space.pending;
  }
  return "no progress";
}

async function put({ at, space }: World, page: number, seed: number): Promise<void> {
  expect(await transfer(space, at + page * PAGE_SIZE, pageOf(seed), true)).toBe("ok");
}

async function demand({ at, space }: World, page: number, seed: number): Promise<void> {
  const read = new Uint8Array(PAGE_SIZE);
  expect(await transfer(space, at + page * PAGE_SIZE, read, false)).toBe("ok");
  expect(Buffer.compare(read, pageOf(seed))).toBe(0);
}

const turns = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));

describe.each([
  ["answers at once", (): SwapStore => new MemorySwap(256)],
  ["answers later", (): AsyncSwapStore => new LateSwap(256)],
])("the store behind compressed memory %s", (_name, make) => {
  test("the coldest pages move to it, the newest stay compressed, and all come back", async () => {
    const it = world(make());
    for (let page = 0; page < PAGES; page++) await put(it, page, 13 * page + 1);
    await it.vmm.settled();
    const [compressed, behind] = it.vmm.swapTiers();
    expect(compressed?.movedDown).toBeGreaterThan(8);
    expect(behind?.writes).toBeGreaterThanOrEqual(compressed?.movedDown ?? 0);
    expect(it.pool.stats().packedPages).toBeGreaterThan(POOL_FRAMES);
    expect(it.pool.stats().frames).toBeLessThanOrEqual(POOL_FRAMES);
    it.vmm.check();
    for (let page = 0; page < PAGES; page++) await demand(it, page, 13 * page + 1);
    it.vmm.check();
    it.space.destroy();
    await turns();
    expect(it.vmm.swapTiers()).toMatchObject([{ used: 0 }, { used: 0 }]);
    expect(it.pool.stats()).toMatchObject({ frames: 0, packedPages: 0, samePages: 0 });
    it.vmm.check();
  });
});

test("a page that is given up on its way to the next store leaves no slot behind", async () => {
  const late = new LateSwap(256, 8);
  const it = world(late);
  const moving = (): number => it.vmm.core.swap?.moving ?? 0;
  let page = 0;
  for (; moving() === 0 && page < PAGES; page++) {
    late.open();
    await it.vmm.settled();
    late.held = true;
    void transfer(it.space, it.at + page * PAGE_SIZE, pageOf(13 * page + 1), true);
  }
  expect(moving()).toBeGreaterThan(0);
  it.vmm.check();
  it.space.unmap(it.at, PAGES * PAGE_SIZE);
  it.vmm.check();
  expect(moving()).toBeGreaterThan(0);
  late.open();
  await it.vmm.settled();
  await turns();
  it.vmm.check();
  expect(moving()).toBe(0);
  expect(it.vmm.swapTiers()).toMatchObject([
    { used: 0, movedDown: 0 },
    { used: 0, underWay: 0 },
  ]);
});

test.each(FAILURES)("what the next store refuses (%s) stays compressed", async (how) => {
  const late = new LateSwap(256);
  const it = world(late);
  late.verdict = (kind) => (kind === "write" ? how : "ok");
  let stored = 0;
  const fill = async (): Promise<boolean> =>
    (await transfer(it.space, it.at + stored * PAGE_SIZE, pageOf(13 * stored + 1), true)) === "ok";
  while (stored < PAGES && (await fill())) stored++;
  expect(stored).toBeGreaterThan(FRAMES + POOL_FRAMES);
  expect(stored).toBeLessThan(PAGES);
  await it.vmm.settled();
  expect(it.vmm.swapTiers()[0]?.movedDown).toBe(0);
  it.vmm.check();
  for (let page = 0; page < stored; page++) {
    const read = new Uint8Array(PAGE_SIZE);
    const fault = await transfer(it.space, it.at + page * PAGE_SIZE, read, false);
    if (fault === "ok") expect(Buffer.compare(read, pageOf(13 * page + 1))).toBe(0);
    else expect(fault).toBe("no-memory"); // The page lies where it was: nothing can leave for it.
    it.space.unmap(it.at + page * PAGE_SIZE, PAGE_SIZE);
  }
  it.vmm.check();
});

test("a page that the pool gives back damaged is not moved: it is lost alone, when it is used", async () => {
  const memory = new PlainMemory(64);
  const broken = new Set<number>();
  const pool = new CompressedPool({ frames: memory, window: memory, limitFrames: 4, slots: 64 });
  const damaging: SwapStore = {
    slots: pool.slots,
    write: (slot, from) => pool.write(slot, from),
    read: (slot, into) => {
      const outcome = pool.read(slot, into);
      if (broken.has(slot)) into[99] = (into[99] ?? 0) ^ 1;
      return outcome;
    },
    discard: (slot) => {
      pool.discard(slot);
    },
    waits: () => false,
    giveWay: () => pool.giveWay(),
  };
  const vmm = new Vmm({ frames: memory, window: memory, residentLimit: 4, swap: [damaging, new MemorySwap(64)] });
  const space = spaceOf(vmm);
  const it: World = { vmm, pool, space, at: Number(space.map({ bytes: PAGES * PAGE_SIZE })) };
  broken.add(0);
  for (let page = 0; page < 40; page++) await put(it, page, 13 * page + 1);
  expect(vmm.swapTiers()[0]?.mismatches).toBeGreaterThan(0);
  const bytes = new SpaceMemory(space);
  const lost: number[] = [];
  for (let page = 0; page < 40; page++) {
    if (bytes.load8(it.at + page * PAGE_SIZE) < 0) lost.push(page);
    else await demand(it, page, 13 * page + 1);
  }
  expect(lost).toEqual([0]);
  expect(bytes.load8(it.at)).toBe(-1);
  expect(bytes.fault).toBe("bus");
  vmm.check();
});

describe.each([1, 2, 3, 4, 5, 6])("long random run %i", (seed) => {
  test.each([1, 4])("nothing that was acknowledged is lost between the stores (depth %i)", async (depth) => {
    const random = new SeededRandom(seed);
    const next = (bound: number): number => random.uint32() % bound;
    const late = new LateSwap(4096, depth);
    late.verdict = (kind) => (kind === "write" && next(12) === 0 ? (FAILURES[next(3)] ?? "ok") : "ok");
    const it = world(...(next(2) === 0 ? [new MemorySwap(8)] : []), late, new MemorySwap(512));
    const seeds = new Uint32Array(PAGES);
    const written = new Set<number>();
    for (let step = 0; step < 600; step++) {
      late.held = next(3) > 0;
      const page = next(PAGES);
      const waiting =
        next(2) === 0 || !written.has(page)
          ? put(it, page, (seeds[page] = next(1e6)))
          : demand(it, page, seeds[page] ?? 0);
      written.add(page);
      for (let turn = next(6); turn > 0; turn--) await Promise.resolve();
      if (next(50) === 0) it.pool.resize(next(POOL_FRAMES + 1));
      late.open();
      await waiting;
      if (next(60) === 0) {
        const gone = next(PAGES);
        it.space.discard(it.at + gone * PAGE_SIZE, PAGE_SIZE);
        written.delete(gone);
      }
      if (step % 50 === 0) it.vmm.check();
    }
    await it.vmm.settled();
    it.vmm.check();
    it.pool.check();
    for (const page of written) await demand(it, page, seeds[page] ?? 0);
    it.space.destroy();
    await turns();
    it.vmm.check();
    expect(it.vmm.swapTiers().every(({ used }) => used === 0)).toBe(true);
    expect(it.pool.stats().frames).toBe(0);
  });
});
