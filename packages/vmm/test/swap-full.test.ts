/** Swap that is full: what was stored can be loaded, page for page in exchange where every frame and every slot is taken. */
import { describe, expect, test } from "vitest";

import {
  FENCE_AFTER,
  MemorySwap,
  PAGE_SIZE,
  PlainMemory,
  SeededRandom,
  SpaceMemory,
  Vmm,
  type AddressSpace,
  type IoOutcome,
} from "@pagewright/vmm";

import { LateSwap } from "./kit/late-swap.ts";
import { spaceOf } from "./kit/rig.ts";

const P = PAGE_SIZE;

/** A program that stores to one new page after the other until one is refused. */
function filled(vmm: Vmm): { space: AddressSpace; bytes: SpaceMemory; at: number; stored: number[] } {
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 256 * P }));
  const bytes = new SpaceMemory(space);
  const stored: number[] = [];
  for (let page = 0; bytes.store32(at + page * P, page + 1); page++) stored.push(page);
  return { space, bytes, at, stored };
}

describe.each([
  ["by the limit", 64, 8],
  ["because the source has no more", 8, Infinity],
])("frames end %s", (_name, frames, residentLimit) => {
  test.each([1, 2, 5])("all pages can be loaded and stored to in any order with %d slots", (slots) => {
    const memory = new PlainMemory(frames);
    const swap = [new MemorySwap(slots)];
    const vmm = new Vmm({ frames: memory, window: memory, swap, residentLimit, zeroFrame: false, readAhead: 0 });
    const { bytes, at, stored } = filled(vmm);
    expect(stored.length).toBe(8 + slots);
    const random = new SeededRandom(slots);
    const known = stored.map((page) => page + 1);
    for (let step = 0; step < 500; step++) {
      const page = random.uint32() % stored.length;
      expect(bytes.load32(at + page * P)).toBe(known[page]);
      if (step % 3 !== 0) continue;
      known[page] = step;
      expect(bytes.store32(at + page * P, step)).toBe(true);
      vmm.check();
    }
    expect(vmm.residentPages).toBe(8);
    expect(bytes.store32(at + 200 * P, 1)).toBe(false);
  });
});

test("two stores, and a page that leaves for the slot of another one in the second", () => {
  const memory = new PlainMemory(64);
  const swap = [new MemorySwap(2), [new MemorySwap(1), new MemorySwap(2)]];
  const vmm = new Vmm({ frames: memory, window: memory, swap, residentLimit: 6, readAhead: 0 });
  const { bytes, at, stored } = filled(vmm);
  expect(stored.length).toBe(11);
  for (let round = 0; round < 3; round++) for (const page of stored) expect(bytes.load32(at + page * P)).toBe(page + 1);
  expect(vmm.swapTiers().map(({ used }) => used)).toEqual([2, 1, 2]);
  vmm.check();
});

test("a store that fails in the middle of an exchange costs no page", () => {
  class Failing extends MemorySwap {
    isFailing = false;
    override write(slot: number, from: Uint8Array): IoOutcome {
      return this.isFailing ? "failed" : super.write(slot, from);
    }
  }
  const memory = new PlainMemory(64);
  const store = new Failing(FENCE_AFTER + 4);
  const vmm = new Vmm({ frames: memory, window: memory, swap: [store], residentLimit: 4, readAhead: 0 });
  const { bytes, at, stored, space } = filled(vmm);
  expect(stored.length).toBe(FENCE_AFTER + 8);
  store.isFailing = true;
  const absent = stored.filter((page) => space.tables.query(at / P + page) === 0);
  for (const page of absent.slice(0, 3)) expect([bytes.load32(at + page * P), bytes.fault]).toEqual([-1, "no-memory"]);
  vmm.check();
  store.isFailing = false;
  expect(space.unmap(at + 100 * P, P)).toBe("ok");
  vmm.core.residentLimit += 4; // Frames are there again.
  for (const page of stored.slice(0, 8)) expect(bytes.load32(at + page * P)).toBe(page + 1);
  vmm.core.residentLimit += 16;
  for (const page of stored) expect(bytes.load32(at + page * P)).toBe(page + 1);
  vmm.check();
});

test("a store that answers later is full too, and all pages can be loaded", async () => {
  const memory = new PlainMemory(64);
  const late = new LateSwap(3);
  const vmm = new Vmm({ frames: memory, window: memory, swap: [late], residentLimit: 6, readAhead: 0 });
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 64 * P }));
  for (let page = 0; page < 9; page++)
    expect(await space.run((bytes) => bytes.store32(at + page * P, page + 1))).toMatchObject({ done: true });
  for (let round = 0; round < 3; round++)
    for (let page = 0; page < 9; page++)
      expect(await space.run((bytes) => bytes.load32(at + page * P))).toMatchObject({ done: true, value: page + 1 });
  await vmm.settled();
  vmm.check();
});
