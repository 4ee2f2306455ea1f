import { describe, expect, test } from "vitest";

import {
  ManualClock,
  PAGE_SIZE,
  PlainMemory,
  READ,
  SpaceMemory,
  Vmm,
  WRITE,
  type AsyncBackingStore,
} from "@pagewright/vmm";

import { spaceOf } from "./kit/rig.ts";

class LateFile implements AsyncBackingStore {
  readonly bytes: Uint8Array;
  failing = false;
  reads = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  size(): number {
    return this.bytes.length;
  }

  async readLater(offset: number, into: Uint8Array): Promise<void> {
    this.reads++;
    await Promise.resolve();
    if (this.failing) throw new Error("lost");
    into.set(this.bytes.subarray(offset, offset + into.length));
  }

  async writeLater(offset: number, from: Uint8Array): Promise<void> {
    await Promise.resolve();
    if (this.failing) throw new Error("lost");
    this.bytes.set(from, offset);
  }
}

function rig(pages: number): { file: LateFile; vmm: Vmm; memory: PlainMemory } {
  const memory = new PlainMemory(64);
  const bytes = new Uint8Array(pages * PAGE_SIZE).map((_, at) => Math.floor(at / PAGE_SIZE) + 1);
  const vmm = new Vmm({ frames: memory, window: memory, residentLimit: 16, readAhead: 0 });
  return { file: new LateFile(bytes), vmm, memory };
}

test("an access to a page that is not here yet is pending, and succeeds after the promise", async () => {
  const { file, vmm } = rig(4);
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 4 * PAGE_SIZE, object: vmm.openAsyncFile(file), shared: true }));
  const memory = new SpaceMemory(space);
  expect(memory.load8(at)).toBe(-1);
  expect(memory.fault).toBe("pending");
  await space.pending;
  expect(memory.load8(at)).toBe(1);
  expect(await space.populate(at, 4 * PAGE_SIZE, READ)).toBe("ok");
  expect(memory.load8(at + 3 * PAGE_SIZE)).toBe(4);
  expect(file.reads).toBe(4);
  vmm.check();
});

test("a run sums up a file that comes page by page", async () => {
  const { file, vmm } = rig(8);
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 8 * PAGE_SIZE, object: vmm.openAsyncFile(file) }));
  const outcome = await space.run((memory) => {
    let sum = 0;
    for (let page = 0; page < 8; page++) sum += memory.load8(at + page * PAGE_SIZE);
    return sum;
  });
  expect(outcome).toEqual({ done: true, value: 36, rounds: 9 });
  vmm.check();
});

test("a failed read is one bus error; a failed write keeps the page dirty", async () => {
  const { file, vmm } = rig(2);
  const space = spaceOf(vmm);
  const object = vmm.openAsyncFile(file);
  const at = Number(space.map({ bytes: 2 * PAGE_SIZE, object, shared: true, rights: READ + WRITE }));
  const memory = new SpaceMemory(space);
  file.failing = true;
  memory.load8(at);
  await space.pending;
  expect(memory.load8(at)).toBe(-1);
  expect(memory.fault).toBe("bus");
  expect(object.lastError).toEqual(new Error("lost"));
  object.lastError = null;
  file.failing = false;
  memory.load8(at);
  await space.pending;
  expect(memory.store8(at, 99)).toBe(true);
  file.failing = true;
  expect(await object.sync()).toBe("failed");
  expect(object.lastError).toEqual(new Error("lost"));
  file.failing = false;
  expect(await object.sync()).toBe("ok");
  expect(file.bytes[0]).toBe(99);
  vmm.check();
});

test("a file that is read in order is asked for pages ahead, and few accesses have to wait", async () => {
  const memory = new PlainMemory(128);
  const file = new LateFile(new Uint8Array(64 * PAGE_SIZE).map((_, at) => Math.floor(at / PAGE_SIZE) + 1));
  const vmm = new Vmm({ frames: memory, window: memory, faultAround: 1 });
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 64 * PAGE_SIZE, object: vmm.openAsyncFile(file), shared: true }));
  const bytes = new SpaceMemory(space);
  let waits = 0;
  for (let page = 0; page < 64; page++) {
    let value = bytes.load8(at + page * PAGE_SIZE);
    for (; value < 0 && bytes.fault === "pending"; value = bytes.load8(at + page * PAGE_SIZE)) {
      waits++;
      await space.pending;
    }
    expect(value).toBe(page + 1);
  }
  expect(waits).toBeLessThan(16);
  expect(file.reads).toBe(64);
  expect(vmm.stats.prefetchHits).toBeGreaterThan(40);
  vmm.check();
});

test("sync of a space is pending until the store has all pages, and tells of a failed write once", async () => {
  const { file, vmm } = rig(2);
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 2 * PAGE_SIZE, object: vmm.openAsyncFile(file), shared: true }));
  const memory = new SpaceMemory(space);
  await space.populate(at, 2 * PAGE_SIZE, READ);
  expect(space.sync(at, 2 * PAGE_SIZE)).toBe("ok");
  memory.store8(at + PAGE_SIZE, 99);
  expect(space.sync(at, PAGE_SIZE)).toBe("ok");
  file.failing = true;
  expect(space.sync(at, 2 * PAGE_SIZE)).toBe("pending");
  await space.pending;
  expect(space.sync(at, 2 * PAGE_SIZE)).toBe("failed");
  file.failing = false;
  expect(space.sync(at, 2 * PAGE_SIZE)).toBe("pending");
  await space.pending;
  expect(space.sync(at, 2 * PAGE_SIZE)).toBe("ok");
  expect(file.bytes[PAGE_SIZE]).toBe(99);
  vmm.check();
});

test("pages of a late file are written by age, and not before", async () => {
  const memory = new PlainMemory(64);
  const clock = new ManualClock();
  const vmm = new Vmm({ frames: memory, window: memory, clock });
  const file = new LateFile(new Uint8Array(2 * PAGE_SIZE).fill(1));
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 2 * PAGE_SIZE, object: vmm.openAsyncFile(file), shared: true }));
  await space.populate(at, 2 * PAGE_SIZE, READ);
  const bytes = new SpaceMemory(space);
  clock.advance(10_000);
  bytes.store8(at, 77);
  clock.advance(2000);
  bytes.store8(at + PAGE_SIZE, 78);
  const written = async (): Promise<(number | undefined)[]> => {
    expect(vmm.writeBackOlderThan(1000)).toBe(0);
    await new Promise((resolve) => setTimeout(resolve, 5));
    return [file.bytes[0], file.bytes[PAGE_SIZE]];
  };
  expect(await written()).toEqual([77, 1]);
  clock.advance(2000);
  expect(await written()).toEqual([77, 78]);
  vmm.check();
});

test("a write by age that fails is told at each caller's next sync, once, though that sync succeeds in writing", async () => {
  const { file, vmm } = rig(1);
  const space = spaceOf(vmm);
  const object = vmm.openAsyncFile(file);
  const at = Number(space.map({ bytes: PAGE_SIZE, object, shared: true }));
  await space.populate(at, PAGE_SIZE, READ);
  const cursor = object.cursor();
  new SpaceMemory(space).store8(at, 77);
  file.failing = true;
  vmm.writeBackOlderThan(-1);
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect([file.bytes[0], object.dirtyPages]).toEqual([1, 1]);
  file.failing = false;
  const outcomes = [await object.sync(cursor), await object.sync(cursor), await object.sync(), await object.sync()];
  expect(outcomes).toEqual(["failed", "ok", "failed", "ok"]);
  expect([space.sync(at, PAGE_SIZE), space.sync(at, PAGE_SIZE), file.bytes[0]]).toEqual(["failed", "ok", 77]);
  vmm.check();
});

test("a dirty page that has to leave stays until the store has it, and may leave then", async () => {
  const memory = new PlainMemory(16);
  const vmm = new Vmm({ frames: memory, window: memory, readAhead: 0 });
  const file = new LateFile(new Uint8Array(4 * PAGE_SIZE));
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 4 * PAGE_SIZE, object: vmm.openAsyncFile(file), shared: true }));
  await space.populate(at, 4 * PAGE_SIZE, READ);
  for (let page = 0; page < 4; page++) new SpaceMemory(space).store8(at + page * PAGE_SIZE, 50 + page);
  expect(vmm.reclaim(8)).toBe(0);
  vmm.check();
  expect(vmm.residentPages).toBe(4);
  await new Promise((resolve) => setTimeout(resolve, 5));
  vmm.check();
  expect(vmm.reclaim(8)).toBe(4);
  vmm.check();
  expect([0, 1, 2, 3].map((page) => file.bytes[page * PAGE_SIZE])).toEqual([50, 51, 52, 53]);
});

test("what is dirty when the last handle and mapping go is written", async () => {
  const { file, vmm } = rig(4);
  const object = vmm.openAsyncFile(file);
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 4 * PAGE_SIZE, object, shared: true, rights: READ + WRITE }));
  expect(await space.run((memory) => memory.store32(at + 8, 77))).toMatchObject({ value: true });
  space.destroy();
  object.close();
  expect(object.isDestroyed).toBe(true);
  for (let turns = 0; turns < 4; turns++) await Promise.resolve();
  expect(new DataView(file.bytes.buffer).getUint32(8, true)).toBe(77);
  vmm.check();
});

test("a write that fails after the last handle and mapping went is counted, and its frames come back", async () => {
  const { file, vmm } = rig(4);
  const object = vmm.openAsyncFile(file);
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 4 * PAGE_SIZE, object, shared: true, rights: READ + WRITE }));
  expect(await space.run((memory) => memory.store32(at + 8, 77))).toMatchObject({ value: true });
  file.failing = true;
  object.close();
  space.destroy();
  for (let turns = 0; turns < 8; turns++) await Promise.resolve();
  expect(vmm.stats.ioErrors).toBe(1);
  expect(vmm.residentPages).toBe(0);
  expect(file.bytes[8]).toBe(1);
  vmm.check();
});

/** A file whose writes wait until they are let through. */
class GatedFile extends LateFile {
  readonly gates: (() => void)[] = [];

  override async writeLater(offset: number, from: Uint8Array): Promise<void> {
    await new Promise<void>((resolve) => this.gates.push(resolve));
    return super.writeLater(offset, from);
  }

  /** Lets through what waits, until nothing does. */
  async open(): Promise<void> {
    for (let idle = 0; idle < 20; idle++) {
      for (const gate of this.gates.splice(0)) {
        gate();
        idle = 0;
      }
      await Promise.resolve();
    }
  }
}

describe("a store while the page is being written", () => {
  async function begun(): Promise<{ file: GatedFile; vmm: Vmm; close: () => void; sync: () => Promise<string> }> {
    const { vmm } = rig(1);
    const file = new GatedFile(new Uint8Array(PAGE_SIZE));
    const object = vmm.openAsyncFile(file);
    const space = spaceOf(vmm);
    const at = Number(space.map({ bytes: PAGE_SIZE, object, shared: true, rights: READ + WRITE }));
    expect(await space.run((memory) => memory.store8(at, 1))).toMatchObject({ value: true });
    void object.sync();
    expect(new SpaceMemory(space).store8(at, 2)).toBe(true);
    return {
      file,
      vmm,
      close: () => {
        space.destroy();
        object.close();
      },
      sync: () => object.sync(),
    };
  }

  test("is written as well when the last handle and mapping go, after the older bytes", async () => {
    const { file, vmm, close } = await begun();
    close();
    expect(file.gates.length).toBe(1);
    await file.open();
    expect(file.bytes[0]).toBe(2);
    expect(vmm.residentPages).toBe(0);
    vmm.check();
  });

  test("is there for whoever opens the store again at once", async () => {
    const { file, vmm, close } = await begun();
    close();
    const space = spaceOf(vmm);
    const at = Number(space.map({ bytes: PAGE_SIZE, object: vmm.openAsyncFile(file), shared: true }));
    const run = space.run((memory) => memory.load8(at));
    await file.open();
    expect(await run).toMatchObject({ value: 2 });
    vmm.check();
  });

  test("is in the store when a sync after it is acknowledged", async () => {
    const { file, vmm, close, sync } = await begun();
    const acknowledged = sync().then((outcome) => [outcome, file.bytes[0]]);
    await file.open();
    expect(await acknowledged).toEqual(["ok", 2]);
    close();
    vmm.check();
  });
});

test("a dirty page whose frame failed is told once as a failed write, and never written", async () => {
  const { file, vmm } = rig(4);
  const object = vmm.openAsyncFile(file);
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 4 * PAGE_SIZE, object, shared: true, rights: READ + WRITE }));
  expect(await space.run((memory) => memory.store32(at + 8, 77))).toMatchObject({ value: true });
  const frame = vmm.core.pages.frameOf(object.pages.get(0));
  expect(vmm.migrator.discard(frame)).toBe("lost");
  expect(space.sync(at, 4 * PAGE_SIZE)).toBe("failed");
  expect(space.sync(at, 4 * PAGE_SIZE)).toBe("ok");
  expect(new SpaceMemory(space).load32(at + 8)).toBe(-1);
  object.close();
  space.destroy();
  expect(file.bytes[8]).toBe(1);
  vmm.check();
});
