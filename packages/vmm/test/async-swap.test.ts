import { expect, test } from "vitest";

import {
  FENCE_AFTER,
  MemorySwap,
  PAGE_SIZE,
  PlainMemory,
  READ_TRIES,
  SeededRandom,
  SpaceMemory,
  Vmm,
  type AddressSpace,
  type VmmOptions,
} from "@pagewright/vmm";

import { LateSwap } from "./kit/late-swap.ts";
import { rigOf, spaceOf } from "./kit/rig.ts";

const FRAMES = 16;

interface World {
  readonly vmm: Vmm;
  readonly space: AddressSpace;
  readonly at: number;
  readonly swap: LateSwap;
}

function world(pages: number, options: Partial<VmmOptions> = {}, swap: LateSwap = new LateSwap(256)): World {
  const memory = new PlainMemory(128);
  const vmm = new Vmm({ frames: memory, window: memory, residentLimit: FRAMES, swap: [swap], ...options });
  const space = spaceOf(vmm);
  return { vmm, space, at: Number(space.map({ bytes: pages * PAGE_SIZE })), swap };
}

/** Stores a word in a page, or loads it (`value` −1), waiting as long as that helps; the word, or what the fault came to. */
async function access(space: AddressSpace, address: number, value = -1): Promise<number | string> {
  const memory = new SpaceMemory(space);
  for (let tries = 0; tries < 100; tries++) {
    if (value < 0) {
      const loaded = memory.load32(address);
      if (loaded >= 0) return loaded;
    } else if (memory.store32(address, value)) return value;
    if (memory.fault !== "pending" || space.pending === null) return memory.fault;
    await space.pending;
  }
  return "no progress";
}

async function fill({ space, at }: World, pages: number): Promise<void> {
  for (let page = 0; page < pages; page++) expect(await access(space, at + page * PAGE_SIZE, page + 1)).toBe(page + 1);
}

test("four times as many pages as frames lie in a store that answers later", async () => {
  const it = world(64);
  await fill(it, 64);
  for (let page = 0; page < 64; page++) expect(await access(it.space, it.at + page * PAGE_SIZE)).toBe(page + 1);
  expect(it.vmm.stats.swapIns).toBeGreaterThan(40);
  expect(it.vmm.residentPages).toBeLessThanOrEqual(FRAMES);
  await it.vmm.settled();
  it.vmm.check();
  it.space.destroy();
  await Promise.resolve();
  it.vmm.check();
  expect(it.vmm.swapTiers()[0]).toMatchObject({ used: 0, bad: 0, fenced: false, mismatches: 0 });
});

test("on page tables of x86 and through `run`", async () => {
  const swap = new LateSwap(256);
  const { vmm } = rigOf({ swap: [swap], residentLimit: FRAMES });
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 48 * PAGE_SIZE }));
  for (let page = 0; page < 48; page++)
    expect(await space.run((memory) => memory.store32(at + page * PAGE_SIZE, page))).toMatchObject({ value: true });
  const sum = await space.run((memory) => memory.load32(at) + memory.load32(at + 40 * PAGE_SIZE));
  expect(sum).toMatchObject({ done: true, value: 40 });
  await vmm.settled();
  vmm.check();
});

test("a frame is kept until its page is acknowledged; until then an access that lacks a frame is pending", async () => {
  const it = world(64);
  it.swap.held = true;
  const memory = new SpaceMemory(it.space);
  let stored = 0;
  while (memory.store32(it.at + stored * PAGE_SIZE, stored + 1)) stored++;
  expect(stored).toBe(FRAMES);
  expect(memory.fault).toBe("pending");
  expect(it.vmm.residentPages).toBe(FRAMES);
  // Every page can be used as before, those that are leaving too.
  for (let page = 0; page < stored; page++) expect(memory.load32(it.at + page * PAGE_SIZE)).toBe(page + 1);
  it.vmm.check();
  it.swap.open();
  await it.vmm.settled();
  expect(await access(it.space, it.at + stored * PAGE_SIZE, 1)).toBe(1);
  it.vmm.check();
});

test("what is stored to a page that is leaving is not lost", async () => {
  const it = world(64);
  it.swap.held = true;
  const memory = new SpaceMemory(it.space);
  for (let page = 0; memory.store32(it.at + page * PAGE_SIZE, page + 1); page++);
  expect(it.vmm.core.swapper.leaving).toBeGreaterThan(0);
  for (let page = 0; page < FRAMES; page++) memory.store32(it.at + page * PAGE_SIZE, 1000 + page);
  it.swap.open();
  await it.vmm.settled();
  for (let page = FRAMES; page < 64; page++) await access(it.space, it.at + page * PAGE_SIZE, page + 1);
  for (let page = 0; page < FRAMES; page++) expect(await access(it.space, it.at + page * PAGE_SIZE)).toBe(1000 + page);
  it.vmm.check();
});

test("a read that is rejected is a bus error on that page alone", async () => {
  const it = world(48);
  await fill(it, 48);
  let lost = -1;
  it.swap.verdict = (kind, slot) => {
    if (kind !== "read") return "ok";
    if (lost < 0) lost = slot;
    return slot === lost ? "lost" : "ok";
  };
  const outcomes = [];
  for (let page = 0; page < 48; page++) outcomes.push(await access(it.space, it.at + page * PAGE_SIZE));
  expect(outcomes.filter((outcome) => outcome === "bus").length).toBe(1);
  expect(outcomes.filter((outcome, page) => outcome === page + 1).length).toBe(47);
  expect(it.vmm.swapTiers()).toMatchObject([{ failedReads: 1, fenced: false }]);
  expect(it.vmm.stats.ioErrors).toBe(1);
  it.vmm.check();
});

test("a remote that is away costs the accesses of that time: when it is back, every page is, and it takes pages again", async () => {
  const it = world(48);
  await fill(it, 48);
  await it.vmm.settled();
  const inRemote: Set<number> = new Set();
  it.swap.verdict = () => "lost";
  for (let round = 0; round < READ_TRIES + 2; round++)
    for (let page = 0; page < 48; page++) {
      const outcome = await access(it.space, it.at + page * PAGE_SIZE);
      if (outcome === "bus") inRemote.add(page);
      else expect(outcome).toBe(page + 1);
    }
  expect(inRemote.size).toBe(48 - FRAMES);
  expect(it.vmm.swapTiers()).toMatchObject([{ fenced: true }]);
  it.swap.verdict = () => "ok";
  for (let page = 0; page < 48; page++) expect(await access(it.space, it.at + page * PAGE_SIZE)).toBe(page + 1);
  for (let page = 0; page < 48; page++) await access(it.space, it.at + page * PAGE_SIZE, 100 + page);
  for (let page = 0; page < 48; page++) expect(await access(it.space, it.at + page * PAGE_SIZE)).toBe(100 + page);
  expect(it.vmm.swapTiers()).toMatchObject([{ fenced: false, mismatches: 0 }]);
  it.vmm.check();
});

test("a remote that is back without its pages: each is a bus error for good, and the remote stays fenced", async () => {
  const it = world(48);
  await fill(it, 48);
  it.swap.verdict = () => "failed";
  for (let round = 0; round < READ_TRIES; round++)
    for (let page = 0; page < 48; page++) await access(it.space, it.at + page * PAGE_SIZE);
  it.swap.verdict = () => "ok";
  const { transfers } = it.swap;
  let lost = 0;
  for (let page = 0; page < 48; page++) if ((await access(it.space, it.at + page * PAGE_SIZE)) === "bus") lost++;
  expect([lost, it.swap.transfers]).toEqual([48 - FRAMES, transfers]);
  expect(it.vmm.swapTiers()).toMatchObject([{ fenced: true }]);
  it.vmm.check();
});

test("stores that answer later take pages in turn; one that is busy is passed over", async () => {
  const [slow, quick] = [new LateSwap(64, 1), new LateSwap(64, 8)];
  const it = world(48, { swap: [[slow, quick]] }, quick);
  slow.held = true;
  await fill(it, 24);
  expect(it.vmm.swapTiers()).toMatchObject([{ underWay: 1 }, { fenced: false }]);
  slow.open();
  await fill(it, 48);
  for (let page = 0; page < 48; page++) expect(await access(it.space, it.at + page * PAGE_SIZE)).toBe(page + 1);
  const [one, other] = it.vmm.swapTiers();
  expect([one?.used, other?.used].every((used) => (used ?? 0) > 5)).toBe(true);
  it.vmm.check();
});

test("bytes that come back changed are a bus error on that page alone, and counted", async () => {
  const it = world(48);
  await fill(it, 48);
  let damaged = false;
  const read = it.swap.readLater.bind(it.swap);
  it.swap.readLater = async (slot, into) => {
    const outcome = await read(slot, into);
    if (!damaged) into[77] = (into[77] ?? 0) ^ 1;
    damaged = true;
    return outcome;
  };
  const outcomes = [];
  for (let page = 0; page < 48; page++) outcomes.push(await access(it.space, it.at + page * PAGE_SIZE));
  expect(outcomes.filter((outcome) => outcome === "bus").length).toBe(1);
  expect(it.vmm.swapTiers()).toMatchObject([{ mismatches: 1 }]);
  it.vmm.check();
});

test("a lost remote is fenced, the next store takes its place, and what was in frames is not lost", async () => {
  const remote = new LateSwap(256);
  const it = world(64, { swap: [remote, new MemorySwap(256)] }, remote);
  remote.verdict = () => "lost";
  await fill(it, 64);
  for (let page = 0; page < 64; page++) expect(await access(it.space, it.at + page * PAGE_SIZE)).toBe(page + 1);
  expect(it.vmm.swapTiers()).toMatchObject([
    { fenced: true, used: 0, failedWrites: FENCE_AFTER, bad: 0, lastError: "Error: the connection is gone" },
    { fenced: false, failedReads: 0 },
  ]);
  expect(it.vmm.core.swap?.fenced).toEqual([0]);
  it.vmm.check();
});

test("a remote that can be read and takes no page is fenced, and each time it answers it is tried with one page", async () => {
  const remote = new LateSwap(256);
  const it = world(64, { swap: [remote, new MemorySwap(256)] }, remote);
  remote.verdict = (kind) => (kind === "write" ? "lost" : "ok");
  for (let round = 0; round < 4; round++) await fill(it, 64);
  for (let page = 0; page < 64; page++) expect(await access(it.space, it.at + page * PAGE_SIZE)).toBe(page + 1);
  const [first, second] = it.vmm.swapTiers();
  expect(first).toMatchObject({ used: 0, bad: 0, writes: 0 });
  expect(second?.writes).toBeGreaterThan(64);
  // One page for each answer, and there are no more answers than pages that leave.
  expect(first?.failedWrites).toBeLessThan(FENCE_AFTER + (second?.writes ?? 0));
  remote.verdict = () => "ok";
  await fill(it, 64);
  await it.vmm.settled();
  expect(it.vmm.swapTiers()[0]).toMatchObject({ fenced: false, bad: 0 });
  expect(it.vmm.swapTiers()[0]?.writes).toBeGreaterThan(20);
  it.vmm.check();
});

test("pages in frames whose only copy is in a fenced store are saved elsewhere before they go", async () => {
  const remote = new LateSwap(256);
  const it = world(64, { swap: [remote, new MemorySwap(256)] }, remote);
  await fill(it, 64);
  // Loaded again, these are clean: the remote has the same bytes.
  const loaded = [];
  for (let page = 0; page < 8; page++) {
    await access(it.space, it.at + page * PAGE_SIZE);
    loaded.push(page);
  }
  remote.verdict = () => "lost";
  for (let page = 20; page < 64; page++) await access(it.space, it.at + page * PAGE_SIZE);
  expect(it.vmm.core.swap?.fenced).toEqual([0]);
  const outcomes = [];
  for (const page of loaded) outcomes.push(await access(it.space, it.at + page * PAGE_SIZE));
  expect(outcomes).toEqual(loaded.map((page) => page + 1));
  it.vmm.check();
});

test("a lost remote without another store: no memory, and everything in frames stays right", async () => {
  const it = world(64);
  await fill(it, 12);
  it.swap.verdict = () => "lost";
  let page = 12;
  while ((await access(it.space, it.at + page * PAGE_SIZE, page + 1)) === page + 1) page++;
  expect(await access(it.space, it.at + page * PAGE_SIZE, 1)).toBe("no-memory");
  for (let known = 0; known < page; known++) expect(await access(it.space, it.at + known * PAGE_SIZE)).toBe(known + 1);
  expect(it.vmm.swapTiers()).toMatchObject([{ fenced: true }]);
  it.vmm.check();
});

test.each([4, 8, 64])(
  "a remote of %i slots that rejected every write has all of them when it is back",
  async (slots) => {
    const it = world(FRAMES + 64, {}, new LateSwap(slots));
    await fill(it, FRAMES);
    it.swap.verdict = () => "lost";
    const next = it.at + FRAMES * PAGE_SIZE;
    for (let tries = 0; tries < 100; tries++) expect(await access(it.space, next, FRAMES + 1)).toBe("no-memory");
    const [away] = it.vmm.swapTiers();
    expect(away).toMatchObject({ used: 0, bad: 0, fenced: slots >= FENCE_AFTER });
    expect(away?.doubtful).toBe(Math.min(slots, FENCE_AFTER));
    expect(it.swap.transfers).toBeLessThan(200); // One question for each access that lacked a frame.
    it.vmm.check();
    it.swap.verdict = () => "ok";
    let page = FRAMES;
    for (let refused = 0; page < FRAMES + slots && refused < 3;)
      if ((await access(it.space, it.at + page * PAGE_SIZE, page + 1)) === page + 1) page++;
      else {
        refused++;
        await new Promise((resolve) => setTimeout(resolve, 1)); // The program that has no memory now tries again later.
      }
    expect(page).toBe(FRAMES + slots);
    expect(it.vmm.swapTiers()).toMatchObject([{ used: slots, bad: 0, doubtful: 0, fenced: false }]);
    for (let known = 0; known < page; known++)
      expect(await access(it.space, it.at + known * PAGE_SIZE)).toBe(known + 1);
    it.vmm.check();
  },
);

test("a slot whose write was rejected is written again only after its discard has been answered", async () => {
  const it = world(FRAMES + 8, {}, new LateSwap(8));
  await fill(it, FRAMES);
  let rejected = -1;
  it.swap.verdict = (kind, slot) => {
    if (kind === "read" || (rejected >= 0 && slot !== rejected)) return "ok";
    if (rejected === slot) throw new Error("the slot is written while the store may yet carry out the first write");
    rejected = slot;
    return "lost";
  };
  const discarded: number[] = [];
  const discard = it.swap.discardLater.bind(it.swap);
  it.swap.discardLater = async (slot) => {
    await discard(slot);
    discarded.push(slot);
    if (slot === rejected) it.swap.verdict = () => "ok";
  };
  for (let page = FRAMES; page < FRAMES + 8; page++) {
    const stored = await access(it.space, it.at + page * PAGE_SIZE, page + 1);
    if (stored !== page + 1) expect(await access(it.space, it.at + page * PAGE_SIZE, page + 1)).toBe(page + 1);
  }
  expect(discarded).toContain(rejected);
  for (let page = 0; page < FRAMES + 8; page++) expect(await access(it.space, it.at + page * PAGE_SIZE)).toBe(page + 1);
  expect(it.vmm.swapTiers()).toMatchObject([
    { doubtful: 0, bad: 0, failedWrites: 1, lastError: "Error: the connection is gone" },
  ]);
  it.vmm.check();
});

test("a remote that is full is not asked again until a page of it is given up", async () => {
  const it = world(64);
  let room = 8;
  it.swap.verdict = (kind) => (kind === "read" || room-- > 0 ? "ok" : "full");
  let page = 0;
  while ((await access(it.space, it.at + page * PAGE_SIZE, page + 1)) === page + 1) page++;
  expect(page).toBe(FRAMES + 8);
  const { transfers } = it.swap;
  expect(await access(it.space, it.at + page * PAGE_SIZE, 1)).toBe("no-memory");
  expect(it.swap.transfers).toBe(transfers);
  room = 100;
  it.space.unmap(it.at, 8 * PAGE_SIZE);
  expect(await access(it.space, it.at + page * PAGE_SIZE, 1)).toBe(1);
  it.vmm.check();
});

test("pages that go while they are leaving or on their way in give up their slots when the store is through", async () => {
  const it = world(64);
  await fill(it, 40);
  it.swap.held = true;
  const memory = new SpaceMemory(it.space);
  for (let page = 0; page < 4; page++) memory.load32(it.at + page * PAGE_SIZE);
  for (let page = 40; page < 44; page++) memory.store32(it.at + page * PAGE_SIZE, 1);
  expect(it.vmm.swapTiers()[0]?.underWay).toBeGreaterThan(4);
  it.space.unmap(it.at, 64 * PAGE_SIZE);
  it.vmm.check();
  it.swap.open();
  await it.vmm.settled();
  await new Promise((resolve) => setTimeout(resolve, 1));
  it.vmm.check();
  expect(it.vmm.swapTiers()[0]).toMatchObject({ used: 0, underWay: 0, bad: 0 });
  expect(it.vmm.core.swap?.freeSlots).toBe(256);
  expect(it.vmm.residentPages).toBe(0);
});

test("pages that are leaving can be cloned, and each copy has its own stores", async () => {
  const it = world(64);
  it.swap.held = true;
  const memory = new SpaceMemory(it.space);
  for (let page = 0; memory.store32(it.at + page * PAGE_SIZE, page + 1); page++);
  const clone = it.space.clone();
  if (clone === null) throw new Error("no clone");
  it.swap.open();
  await it.vmm.settled();
  for (let page = 0; page < FRAMES; page++)
    expect(await access(clone, it.at + page * PAGE_SIZE, 500 + page)).toBe(500 + page);
  for (let page = 0; page < FRAMES; page++) {
    expect(await access(it.space, it.at + page * PAGE_SIZE)).toBe(page + 1);
    expect(await access(clone, it.at + page * PAGE_SIZE)).toBe(500 + page);
  }
  it.vmm.check();
});

test.each([1, 2, 3, 4])("long random run %i: transfers that fail lose nothing that was acknowledged", async (seed) => {
  const random = new SeededRandom(seed);
  const next = (bound: number): number => random.uint32() % bound;
  const swap = new LateSwap(4096, 4);
  const it = world(64, { swap: [swap, new MemorySwap(512)] }, swap);
  // Few failures, so that the remote is not fenced at once; reads of it never fail, so that every loss would be ours.
  swap.verdict = (kind) => (kind === "write" && next(6) === 0 ? "lost" : "ok");
  const spaces = [{ space: it.space, words: new Uint32Array(64) }];
  for (let step = 0; step < 1500; step++) {
    const pick = spaces[next(spaces.length)];
    if (pick === undefined) break;
    const page = next(64);
    const address = it.at + page * PAGE_SIZE;
    swap.held = next(3) > 0;
    const waiting =
      next(2) === 0
        ? access(pick.space, address, (pick.words[page] = next(1e9)))
        : access(pick.space, address).then((got) => {
            expect({ step, got }).toEqual({ step, got: pick.words[page] });
          });
    for (let turns = 0; turns < 4; turns++) await Promise.resolve();
    if (next(40) === 0 && spaces.length < 3) {
      swap.open();
      await waiting;
      const clone = pick.space.clone();
      if (clone !== null) spaces.push({ space: clone, words: pick.words.slice() });
    }
    swap.open();
    await waiting;
    if (next(30) === 0) pick.space.advise(address, PAGE_SIZE, "page-out");
    if (next(100) === 0 && spaces.length > 1) spaces.pop()?.space.destroy();
    if (step % 100 === 0) it.vmm.check();
  }
  for (const { space, words } of spaces)
    for (let page = 0; page < 64; page++) expect(await access(space, it.at + page * PAGE_SIZE)).toBe(words[page]);
  await it.vmm.settled();
  it.vmm.check();
  for (const { space } of spaces) space.destroy();
  await new Promise((resolve) => setTimeout(resolve, 1));
  it.vmm.check();
  expect(it.vmm.swapTiers()).toMatchObject([{ used: 0 }, { used: 0 }]);
});

test.each([
  ["with free slots", 42],
  ["whose slots all have pages", 40],
])("copies in a remote %s that is back are relied on, and given up, as before", async (_what, slots) => {
  const it = world(64, {}, new LateSwap(slots));
  await fill(it, 40);
  await it.vmm.settled();
  for (let page = 0; page < 40; page++) await access(it.space, it.at + page * PAGE_SIZE); // Those in frames have copies now.
  it.swap.verdict = () => "lost";
  for (let page = 0; page < FENCE_AFTER; page++) expect(await access(it.space, it.at + page * PAGE_SIZE)).toBe("bus");
  expect(it.vmm.swapTiers()).toMatchObject([{ fenced: true }]);
  expect(await access(it.space, it.at + 40 * PAGE_SIZE, 41)).toBe("no-memory"); // No copy that could be given up.
  it.vmm.check();
  it.swap.verdict = () => "ok";
  for (let tries = 0; tries < 3; tries++) {
    await access(it.space, it.at + 40 * PAGE_SIZE, 41); // Asks the remote whether it is back.
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  it.vmm.check();
  for (let page = 40; page < 56; page++)
    expect(await access(it.space, it.at + page * PAGE_SIZE, page + 1)).toBe(page + 1);
  for (let page = 0; page < 56; page++) expect(await access(it.space, it.at + page * PAGE_SIZE)).toBe(page + 1);
  it.vmm.check();
});

test("a page that dies while it leaves leaves nothing behind", async () => {
  const it = world(40);
  await fill(it, FRAMES);
  it.swap.held = true;
  const store = access(it.space, it.at + FRAMES * PAGE_SIZE, 1);
  for (let turns = 0; turns < 4; turns++) await Promise.resolve();
  expect(it.vmm.core.swapper.leaving).toBeGreaterThan(0);
  it.vmm.check();
  it.space.unmap(it.at, FRAMES * PAGE_SIZE);
  it.swap.open();
  await store;
  await it.vmm.settled();
  expect(it.vmm.core.swapper.leaving).toBe(0);
  it.vmm.check();
});

test("a remote that rejects every discard goes on being used", async () => {
  const it = world(40, {}, new LateSwap(24));
  it.swap.discardLater = () => Promise.reject(new Error("not allowed"));
  for (let round = 1; round < 4; round++)
    for (let page = 0; page < 40; page++)
      expect(await access(it.space, it.at + page * PAGE_SIZE, round * 100 + page)).toBe(round * 100 + page);
  for (let page = 0; page < 40; page++) expect(await access(it.space, it.at + page * PAGE_SIZE)).toBe(300 + page);
  expect(it.vmm.swapTiers()).toMatchObject([{ bad: 0, doubtful: 0, fenced: false, lastError: "Error: not allowed" }]);
  it.vmm.check();
});
