/** Shared memory that changes its size while its last page is not in a frame: what was cut off never comes back. */
import { expect, test } from "vitest";

import {
  MemorySwap,
  PAGE_SIZE,
  PlainMemory,
  SharedNames,
  Vmm,
  type AnonymousObject,
  type IoOutcome,
} from "@pagewright/vmm";

import { LateSwap } from "./kit/late-swap.ts";

/** Swap that cannot be read while it `fails`. */
class Unreadable extends MemorySwap {
  fails = false;
  override read(slot: number, into: Uint8Array): IoOutcome {
    return this.fails ? "failed" : super.read(slot, into);
  }
}

const SECOND = PAGE_SIZE + 100;

/** Two pages of nines, both in swap. */
async function swappedOut(vmm: Vmm): Promise<AnonymousObject> {
  const object = vmm.createAnonymous(2 * PAGE_SIZE, true);
  expect(object.write(0, new Uint8Array(2 * PAGE_SIZE).fill(9))).toBe(2 * PAGE_SIZE);
  vmm.reclaim(2);
  await vmm.settled();
  expect(vmm.residentPages).toBe(0);
  return object;
}

async function contentOf(object: AnonymousObject): Promise<number[]> {
  const into = new Uint8Array(2 * PAGE_SIZE);
  for (let got = object.read(0, into); got < into.length; got = object.read(0, into)) await object.pending;
  return [into[SECOND - 1] ?? -1, into[SECOND] ?? -1, into[2 * PAGE_SIZE - 1] ?? -1];
}

test("a page on its way from a store that answers later makes resizing wait, in both directions", async () => {
  const memory = new PlainMemory(64);
  const vmm = new Vmm({ frames: memory, window: memory, swap: [new LateSwap(64)] });
  const object = await swappedOut(vmm);
  expect([object.resize(SECOND), object.size]).toEqual(["pending", 2 * PAGE_SIZE]);
  await object.pending;
  expect([object.resize(SECOND), object.size]).toEqual(["ok", SECOND]);
  vmm.reclaim(2);
  await vmm.settled();
  expect([object.resize(2 * PAGE_SIZE), object.size]).toEqual(["pending", SECOND]);
  await object.pending;
  expect(object.resize(2 * PAGE_SIZE)).toBe("ok");
  expect(await contentOf(object)).toEqual([9, 0, 0]);
  vmm.check();
});

test("a page that cannot be read now refuses, and one without a frame too; nothing has changed", async () => {
  const memory = new PlainMemory(64);
  const swap = new Unreadable(64);
  const vmm = new Vmm({ frames: memory, window: memory, swap: [swap] });
  const object = await swappedOut(vmm);
  swap.fails = true;
  expect([object.resize(SECOND), object.size]).toEqual(["failed", 2 * PAGE_SIZE]);
  expect(object.resize(PAGE_SIZE * 2)).toBe("ok");
  swap.fails = false;
  const taken = new Float64Array(64);
  const count = memory.takeMany(taken, 64);
  expect([object.resize(SECOND), object.size]).toEqual(["no-memory", 2 * PAGE_SIZE]);
  memory.giveMany(taken, count);
  expect([object.resize(SECOND), object.resize(2 * PAGE_SIZE)]).toEqual(["ok", "ok"]);
  expect(await contentOf(object)).toEqual([9, 0, 0]);
  vmm.check();
});

test("by whole pages nothing has to be there, and the slots of what is cut off are free", async () => {
  const memory = new PlainMemory(64);
  const swap = new Unreadable(64);
  const vmm = new Vmm({ frames: memory, window: memory, swap: [swap] });
  const object = await swappedOut(vmm);
  swap.fails = true;
  expect(vmm.swapTiers()[0]?.used).toBe(2);
  expect(object.resize(PAGE_SIZE)).toBe("ok");
  expect(vmm.swapTiers()[0]?.used).toBe(1);
  expect([object.resize(2 * PAGE_SIZE), object.resize(0)]).toEqual(["ok", "ok"]);
  expect(vmm.swapTiers()[0]?.used).toBe(0);
  vmm.check();
});

test("named memory answers in the same way, and mappings go on", async () => {
  const memory = new PlainMemory(64);
  const vmm = new Vmm({ frames: memory, window: memory, swap: [new LateSwap(64)] });
  const names = new SharedNames(vmm);
  const handle = names.open("/ring", { create: true });
  if (typeof handle === "string") throw new Error(handle);
  expect(handle.resize(2 * PAGE_SIZE)).toBe("ok");
  handle.object.write(0, new Uint8Array(2 * PAGE_SIZE).fill(9));
  vmm.reclaim(2);
  await vmm.settled();
  const reader = names.open("/ring", { writable: false });
  if (typeof reader === "string") throw new Error(reader);
  expect([reader.resize(SECOND), handle.resize(SECOND)]).toEqual(["rights", "pending"]);
  await handle.object.pending;
  expect([handle.resize(SECOND), handle.resize(2 * PAGE_SIZE)]).toEqual(["ok", "ok"]);
  expect(await contentOf(reader.object)).toEqual([9, 0, 0]);
  names.check();
  vmm.check();
});
