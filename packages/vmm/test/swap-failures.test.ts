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
  type SwapPriority,
  type SwapStore,
} from "@pagewright/vmm";
import { CompressedPool } from "@pagewright/vmm/swap";

import { SwapSpace } from "../src/swap/swap-space.ts";
import { spaceOf } from "./kit/rig.ts";

const FRAMES = 8;
const PAGES = 32;

interface World {
  readonly vmm: Vmm;
  readonly space: AddressSpace;
  readonly bytes: SpaceMemory;
  readonly at: number;
}

function world(...swap: SwapPriority[]): World {
  const memory = new PlainMemory(64);
  const vmm = new Vmm({ frames: memory, window: memory, residentLimit: FRAMES, swap, readAhead: 0 });
  const space = spaceOf(vmm);
  return { vmm, space, bytes: new SpaceMemory(space), at: Number(space.map({ bytes: PAGES * PAGE_SIZE })) };
}

/** Stores to pages until one cannot be stored to; returns how many. */
function fill({ bytes, at }: World): number {
  for (let page = 0; page < PAGES; page++) if (!bytes.store32(at + page * PAGE_SIZE, page + 1)) return page;
  return PAGES;
}

/** What a load of each of the first `pages` pages comes to: `right`, `wrong`, or the fault. */
function outcomes({ bytes, at }: World, pages: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (let page = 0; page < pages; page++) {
    const value = bytes.load32(at + page * PAGE_SIZE);
    const outcome = value === page + 1 ? "right" : value >= 0 ? "wrong" : bytes.fault;
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  }
  return counts;
}

/** A store in memory whose transfers go through a hook. */
function hooked(
  slots: number,
  hooks: { write?: (slot: number) => "full" | "failed" | null; read?: (slot: number, into: Uint8Array) => boolean },
): SwapStore {
  const store = new MemorySwap(slots);
  return {
    slots,
    write: (slot, from) => hooks.write?.(slot) ?? store.write(slot, from),
    read: (slot, into) => {
      const outcome = store.read(slot, into);
      return hooks.read?.(slot, into) === false ? "failed" : outcome;
    },
    discard: (slot) => {
      store.discard(slot);
    },
  };
}

test("swap full: who needs one more frame has no memory, and nothing is lost; with room again all goes on", () => {
  const it = world(new MemorySwap(10));
  const stored = fill(it);
  expect(stored).toBe(FRAMES + 10);
  expect(it.bytes.fault).toBe("no-memory");
  it.vmm.check();
  expect(it.space.unmap(it.at, 4 * PAGE_SIZE)).toBe("ok");
  for (let page = 4; page < stored; page++) expect(it.bytes.load32(it.at + page * PAGE_SIZE)).toBe(page + 1);
  expect(it.bytes.store32(it.at + stored * PAGE_SIZE, stored + 1)).toBe(true);
  it.vmm.check();
});

test("disk full: the next store takes what the first has no room for", () => {
  let room = 5;
  const it = world(hooked(64, { write: () => (room-- > 0 ? null : "full") }), new MemorySwap(64));
  expect(fill(it)).toBe(PAGES);
  expect(outcomes(it, PAGES)).toEqual(new Map([["right", PAGES]]));
  expect(it.vmm.swapTiers()).toMatchObject([{ fenced: false, bad: 0 }, { fenced: false }]);
  it.vmm.check();
});

test("a slot that cannot be written is never used again, and its page goes elsewhere", () => {
  const bad = new Set([0, 3, 4]);
  const tried: number[] = [];
  const it = world(
    hooked(64, {
      write: (slot) => {
        tried.push(slot);
        return bad.has(slot) ? "failed" : null;
      },
    }),
  );
  expect(fill(it)).toBe(PAGES);
  for (let round = 0; round < 4; round++) expect(outcomes(it, PAGES)).toEqual(new Map([["right", PAGES]]));
  for (const slot of bad) expect(tried.filter((each) => each === slot).length).toBe(1);
  expect(it.vmm.swapTiers()).toMatchObject([{ bad: 3, failedWrites: 3, fenced: false }]);
  it.vmm.check();
});

test("read error: a bus error on that page alone, and for good once the store has failed it often enough", () => {
  let lost = -1;
  const it = world(
    hooked(64, {
      read: (slot) => {
        if (lost < 0) lost = slot;
        return slot !== lost;
      },
    }),
  );
  fill(it);
  expect(outcomes(it, PAGES)).toEqual(
    new Map([
      ["bus", 1],
      ["right", PAGES - 1],
    ]),
  );
  for (let round = 0; round < 2 * READ_TRIES; round++) expect(outcomes(it, PAGES).get("bus")).toBe(1);
  expect(it.vmm.swapTiers()).toMatchObject([{ failedReads: READ_TRIES, fenced: false }]);
  expect(it.vmm.stats.ioErrors).toBe(READ_TRIES);
  lost = 64; // The device would have it again, and is not asked any more.
  expect(outcomes(it, PAGES).get("bus")).toBe(1);
  expect(it.space.unmap(it.at, PAGES * PAGE_SIZE)).toBe("ok");
  expect(it.vmm.swapTiers()).toMatchObject([{ used: 0 }]);
  it.vmm.check();
});

test("a read error that passes costs one access: the next one asks again and finds the page", () => {
  let failures = 0;
  const it = world(hooked(64, { read: (slot) => slot !== 2 || ++failures >= READ_TRIES }));
  fill(it);
  for (let round = 1; round < READ_TRIES; round++) expect(outcomes(it, PAGES).get("bus")).toBe(1);
  for (let round = 0; round < 3; round++) expect(outcomes(it, PAGES)).toEqual(new Map([["right", PAGES]]));
  it.vmm.check();
});

test("checksum mismatch: a bus error on that page alone; no byte of another page is ever seen", () => {
  const other = new MemorySwap(64);
  let exchanged = false;
  const it = world(
    hooked(64, {
      read: (slot, into) => {
        if (!exchanged && slot === 5) other.read(0, into); // what the device has under a wrong number
        exchanged ||= slot === 5;
        return true;
      },
    }),
  );
  other.write(0, new Uint8Array(PAGE_SIZE).fill(0x5a));
  fill(it);
  expect(outcomes(it, PAGES)).toEqual(
    new Map([
      ["right", PAGES - 1],
      ["bus", 1],
    ]),
  );
  expect(it.vmm.swapTiers()).toMatchObject([{ mismatches: 1, failedReads: 0 }]);
  it.vmm.check();
});

test("a device that is gone is fenced: its pages are bus errors, all others stay right, and the next store serves", () => {
  let gone = false;
  const it = world(hooked(64, { write: () => (gone ? "failed" : null), read: () => !gone }), hooked(64, {}));
  fill(it);
  const onDevice = it.vmm.swapTiers()[0]?.used ?? 0;
  gone = true;
  const counts = outcomes(it, PAGES);
  expect(counts.get("wrong")).toBeUndefined();
  expect(counts.get("bus")).toBe(onDevice);
  expect(counts.get("right")).toBe(PAGES - onDevice);
  expect(it.vmm.core.swap?.fenced).toEqual([0]);
  expect(it.vmm.swapTiers()).toMatchObject([{ fenced: true }, { fenced: false }]);
  const more = Number(it.space.map({ bytes: PAGES * PAGE_SIZE }));
  for (let page = 0; page < PAGES; page++) expect(it.bytes.store32(more + page * PAGE_SIZE, page + 500)).toBe(true);
  for (let page = 0; page < PAGES; page++) expect(it.bytes.load32(more + page * PAGE_SIZE)).toBe(page + 500);
  expect(it.vmm.swapTiers()[0]?.failedWrites).toBeLessThanOrEqual(FENCE_AFTER);
  it.vmm.check();
});

/** A store in memory that throws while it is away, as no synchronous store should. */
function throwing(slots: number): SwapStore & { away: (kind: "write" | "read" | "discard", slot: number) => boolean } {
  const store = new MemorySwap(slots);
  const through = <T>(kind: "write" | "read" | "discard", slot: number, work: () => T): T => {
    if (made.away(kind, slot)) throw new RangeError("the device is gone");
    return work();
  };
  const made = {
    slots,
    away: (_kind: "write" | "read" | "discard", _slot: number): boolean => false,
    write: (slot: number, from: Uint8Array) => through("write", slot, () => store.write(slot, from)),
    read: (slot: number, into: Uint8Array) => through("read", slot, () => store.read(slot, into)),
    discard: (slot: number): void => {
      through("discard", slot, () => {
        store.discard(slot);
      });
    },
  };
  return made;
}

test("a store that throws at reading costs the accesses of that time, a bus error each; when it is back, every page is", () => {
  const store = throwing(64);
  const it = world(store);
  fill(it);
  store.away = (kind) => kind === "read";
  for (let round = 0; round < READ_TRIES + 1; round++) {
    const counts = outcomes(it, PAGES);
    expect(counts.get("bus")).toBeGreaterThanOrEqual(PAGES - FRAMES);
    expect((counts.get("bus") ?? 0) + (counts.get("right") ?? 0)).toBe(PAGES);
  }
  expect(it.vmm.swapTiers()).toMatchObject([{ fenced: true, bad: 0, lastError: "RangeError: the device is gone" }]);
  it.vmm.check();
  store.away = () => false;
  expect(outcomes(it, PAGES)).toEqual(new Map([["right", PAGES]]));
  expect(it.vmm.swapTiers()).toMatchObject([{ fenced: false, bad: 0, doubtful: 0 }]);
  it.vmm.check();
});

test("a store that throws at writing is passed over, nothing is lost, and all its slots are used when it is back", () => {
  const store = throwing(24);
  const it = world(store, hooked(64, {}));
  store.away = () => true;
  expect(fill(it)).toBe(PAGES);
  expect(it.vmm.swapTiers()).toMatchObject([
    { fenced: true, used: 0, bad: 0, doubtful: FENCE_AFTER, lastError: "RangeError: the device is gone" },
    { used: PAGES - FRAMES },
  ]);
  it.vmm.check();
  store.away = () => false;
  const more = Number(it.space.map({ bytes: 32 * PAGE_SIZE }));
  for (let page = 0; page < 32; page++) expect(it.bytes.store32(more + page * PAGE_SIZE, page + 500)).toBe(true);
  expect(it.vmm.swapTiers()).toMatchObject([{ fenced: false, used: 24, doubtful: 0 }, {}]);
  expect(outcomes(it, PAGES)).toEqual(new Map([["right", PAGES]]));
  for (let page = 0; page < 32; page++) expect(it.bytes.load32(more + page * PAGE_SIZE)).toBe(page + 500);
  it.vmm.check();
});

test.each([1, 2, 3])("long random run %i: a store that throws now and then loses nothing", (seed) => {
  const random = new SeededRandom(seed);
  const store = throwing(64);
  const it = world(store, hooked(64, {}));
  store.away = () => random.uint32() % 5 === 0;
  const words = new Uint32Array(PAGES);
  for (let step = 0; step < 4000; step++) {
    const page = random.uint32() % PAGES;
    const address = it.at + page * PAGE_SIZE;
    if (random.uint32() % 2 === 0) {
      const word = random.uint32() >>> 1;
      if (it.bytes.store32(address, word)) words[page] = word;
      else expect(it.bytes.fault).toBe("bus");
    } else {
      const loaded = it.bytes.load32(address);
      expect({ step, loaded }).toEqual({ step, loaded: loaded < 0 ? -1 : words[page] });
      if (loaded < 0) expect(it.bytes.fault).toBe("bus");
    }
    if (step % 500 === 0) it.vmm.check();
  }
  store.away = () => false;
  for (const [page, word] of words.entries()) expect(it.bytes.load32(it.at + page * PAGE_SIZE)).toBe(word);
  it.vmm.check();
});

test("one of two striped devices fails: only slots of its own are lost", () => {
  let gone = false;
  const device = hooked(32, { read: () => !gone, write: () => (gone ? "failed" : null) });
  const it = world([new MemorySwap(32), device], new MemorySwap(64));
  fill(it);
  gone = true;
  const counts = outcomes(it, PAGES);
  expect(counts.get("wrong")).toBeUndefined();
  expect(counts.get("bus")).toBeLessThanOrEqual(PAGES / 2);
  expect(counts.get("right")).toBeGreaterThanOrEqual(PAGES / 2);
  it.vmm.check();
});

test("a striped device that is gone is fenced for itself, however often the other one succeeds, which goes on alone", () => {
  let gone = false;
  let tried = 0;
  const device = hooked(256, {
    read: () => !gone,
    write: () => {
      if (gone) tried++;
      return gone ? "failed" : null;
    },
  });
  const it = world([new MemorySwap(256), device]);
  fill(it);
  gone = true;
  const more = Number(it.space.map({ bytes: 4 * PAGES * PAGE_SIZE }));
  for (let page = 0; page < 4 * PAGES; page++) {
    expect(it.bytes.store32(more + page * PAGE_SIZE, page + 500)).toBe(true);
    if (page % 8 === 0) it.vmm.check();
  }
  for (let page = 0; page < 4 * PAGES; page++) expect(it.bytes.load32(more + page * PAGE_SIZE)).toBe(page + 500);
  expect(tried).toBe(FENCE_AFTER);
  expect(it.vmm.swapTiers()).toMatchObject([
    { priority: 0, fenced: false, failedWrites: 0 },
    { priority: 0, fenced: true, failedWrites: FENCE_AFTER },
  ]);
  const counts = outcomes(it, PAGES);
  expect(counts.get("wrong")).toBeUndefined();
  expect(counts.get("bus")).toBeGreaterThanOrEqual((PAGES - FRAMES) / 2 - 1);
  expect((counts.get("right") ?? 0) + (counts.get("bus") ?? 0)).toBe(PAGES);
  expect(it.space.unmap(it.at, PAGES * PAGE_SIZE)).toBe("ok");
  expect(it.space.unmap(more, 4 * PAGES * PAGE_SIZE)).toBe("ok");
  expect(it.vmm.swapTiers()).toMatchObject([
    { used: 0, bad: 0 },
    { used: 0, bad: FENCE_AFTER },
  ]);
  it.vmm.check();
});

test("of a stripe with a fenced device, only copies on the other devices are relied on", () => {
  const gone = hooked(8, { read: () => false });
  const swap = new SwapSpace([[new MemorySwap(8), gone]]);
  const references = [0, 1, 2, 3].map((owner) => swap.write(new Uint8Array(PAGE_SIZE), owner));
  const [right = 0, wrong = 0] = references;
  const into = new Uint8Array(PAGE_SIZE);
  for (let failures = 1; failures <= FENCE_AFTER; failures++) {
    expect(references.map((reference) => swap.trusts(reference))).toEqual([true, true, true, true]);
    expect([swap.read(wrong, into), swap.read(right, into)]).toEqual([failures < READ_TRIES ? "failed" : "lost", "ok"]);
  }
  expect(references.map((reference) => swap.trusts(reference))).toEqual([true, false, true, false]);
  expect([swap.freeSlots, swap.fenced]).toEqual([6, [1]]);
  swap.check();
});

test("pages are striped over stores of one priority, and those behind are not touched", () => {
  const it = world([new MemorySwap(64), new MemorySwap(64), new MemorySwap(64)], new MemorySwap(64));
  fill(it);
  const used = it.vmm.swapTiers().map((tier) => [tier.priority, tier.used]);
  expect(used).toEqual([
    [0, (PAGES - FRAMES) / 3],
    [0, (PAGES - FRAMES) / 3],
    [0, (PAGES - FRAMES) / 3],
    [1, 0],
  ]);
  expect(outcomes(it, PAGES)).toEqual(new Map([["right", PAGES]]));
  it.vmm.check();
});

test("one striped store that is full leaves the pages to the others, down to their last slot", () => {
  const full = hooked(64, { write: () => "full" });
  const it = world([full, new MemorySwap(4), new MemorySwap(PAGES - FRAMES - 4)]);
  expect(fill(it)).toBe(PAGES);
  expect(it.vmm.swapTiers().map(({ used, failedWrites }) => [used, failedWrites])).toEqual([
    [0, 0],
    [4, 0],
    [PAGES - FRAMES - 4, 0],
  ]);
  expect(outcomes(it, PAGES).get("wrong")).toBeUndefined();
  it.vmm.check();
});

test("compressed memory may be one of several stores of a priority: its pages need no waiting, and give way to those behind", () => {
  const memory = new PlainMemory(64);
  const pool = new CompressedPool({ frames: memory, window: memory, limitFrames: 4, slots: 64 });
  const vmm = new Vmm({
    frames: memory,
    window: memory,
    residentLimit: FRAMES,
    swap: [
      [pool, new MemorySwap(64)],
      [new MemorySwap(64), new MemorySwap(64)],
    ],
  });
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: PAGES * PAGE_SIZE }));
  const bytes = new SpaceMemory(space);
  const noise = (page: number): Uint8Array => {
    const random = new SeededRandom(page + 1);
    return Uint8Array.from({ length: 2048 }, () => random.uint32() & 255);
  };
  for (let page = 0; page < PAGES; page++) expect(bytes.copyIn(at + page * PAGE_SIZE, noise(page))).toBe(2048);
  const [compressed, beside, behind, last] = vmm.swapTiers();
  expect(compressed?.movedDown).toBeGreaterThan(3);
  expect(beside?.used).toBeGreaterThan(3);
  expect([behind?.used, last?.used].every((used) => (used ?? 0) > 0)).toBe(true);
  for (let page = 0; page < PAGES; page++) {
    const into = new Uint8Array(2048);
    bytes.copyOut(at + page * PAGE_SIZE, into);
    expect(into).toEqual(noise(page));
  }
  vmm.check();
  pool.check();
});

test("compressed memory that is full, over a disk that is full: what was stored is all there", () => {
  const memory = new PlainMemory(64);
  const pool = new CompressedPool({
    frames: memory,
    window: memory,
    limitFrames: 2,
    slots: 6,
  });
  const vmm = new Vmm({ frames: memory, window: memory, residentLimit: FRAMES, swap: [pool, new MemorySwap(6)] });
  const space = spaceOf(vmm);
  const it = { vmm, space, bytes: new SpaceMemory(space), at: Number(space.map({ bytes: PAGES * PAGE_SIZE })) };
  const stored = fill(it);
  expect(stored).toBe(FRAMES + 6 + 6);
  expect(it.bytes.fault).toBe("no-memory");
  for (let page = 0; page < FRAMES; page++) it.bytes.load32(it.at + (stored - 1 - page) * PAGE_SIZE);
  vmm.check();
  pool.check();
  space.unmap(it.at, PAGE_SIZE);
  for (let page = 1; page < stored; page++) expect(it.bytes.load32(it.at + page * PAGE_SIZE)).toBe(page + 1);
  vmm.check();
});

test("advice to bring pages in goes on behind one that cannot be read, and does not ask for one that is lost", () => {
  let reads = 0;
  const it = world(
    hooked(64, {
      read: (slot) => {
        reads++;
        return slot !== 1;
      },
    }),
  );
  fill(it);
  const { vmm, space, bytes, at } = it;
  expect(space.unmap(at + 8 * PAGE_SIZE, (PAGES - 8) * PAGE_SIZE)).toBe("ok");
  expect(vmm.residentPages).toBe(0);
  const willNeed = (): number => {
    expect(space.advise(at, 4 * PAGE_SIZE, "will-need")).toBe("ok");
    return vmm.residentPages;
  };
  expect(willNeed()).toBe(3);
  for (let tries = 0; tries < READ_TRIES; tries++)
    expect([bytes.load32(at + PAGE_SIZE), bytes.fault]).toEqual([-1, "bus"]);
  const before = reads;
  expect(willNeed()).toBe(3);
  expect(reads).toBe(before);
  vmm.check();
});
