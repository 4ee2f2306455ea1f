/** Errors that could not be corrected, before it is settled what they cost: bad bytes stay where they are, and nobody takes them for good ones. */
import { beforeEach, describe, expect, test } from "vitest";

import {
  MemoryBacking,
  MemorySwap,
  PAGE_2M,
  PAGE_SIZE,
  PlainMemory,
  READ,
  SpaceMemory,
  USER,
  Vmm,
  type AddressSpace,
  type AsyncBackingStore,
  type SpecialFrames,
} from "@pagewright/vmm";

import { spaceOf } from "./kit/rig.ts";

const P = PAGE_SIZE;
const FRAMES = 2048;

/** Memory one frame of which has an error that is noticed when its bytes are read or copied, or before. */
class Failing extends PlainMemory {
  bad = -1;
  noticed: (pfn: number) => void = () => undefined;

  override read(pfn: number, offset: number, into: Uint8Array): void {
    super.read(pfn, offset, into);
    if (pfn === this.bad) this.noticed(pfn);
  }

  override copy(from: number, to: number): void {
    super.copy(from, to);
    if (from === this.bad) this.noticed(from);
  }
}

describe.each(["before anything is done", "while its bytes are read"])("an error that is noticed %s", (when) => {
  let memory: Failing;
  let swap: MemorySwap;
  let vmm: Vmm;
  let space: AddressSpace;
  let bytes: SpaceMemory;
  let at: number;

  beforeEach(() => {
    memory = new Failing(FRAMES);
    swap = new MemorySwap(64);
    const special: SpecialFrames = {
      request: () => ({ ok: true, start: memory.take(), frames: 1 }),
      release: (pfn) => {
        memory.give(pfn);
      },
    };
    vmm = new Vmm({ frames: memory, window: memory, special, swap: [swap], readAhead: 0 });
    memory.noticed = (pfn) => {
      vmm.migrator.suspect(pfn);
    };
    space = spaceOf(vmm);
    at = Number(space.map({ bytes: 4 * P }));
    bytes = new SpaceMemory(space);
    for (let page = 0; page < 4; page++) bytes.store32(at + page * P, page + 1);
  });

  /** The frame of the page at an address fails. */
  function fail(address: number, owner: AddressSpace = space): number {
    expect(owner.tables.query(address / P)).not.toBe(0);
    memory.bad = owner.tables.frame;
    if (when === "before anything is done") vmm.migrator.suspect(memory.bad);
    return memory.bad;
  }

  /** The error is settled at the cost of the page's content, in all spaces. */
  function settle(pfn: number, ...places: readonly [AddressSpace, number][]): void {
    expect(vmm.core.frameMap.pageAt(pfn)).toBeGreaterThanOrEqual(0);
    expect(vmm.migrator.discard(pfn)).toBe("lost");
    expect(vmm.core.suspects.count).toBe(0);
    memory.bad = -1;
    for (const [owner, address] of places) expect(owner.fault(address, READ + USER)).toBe("bus");
    vmm.check();
  }

  test("does not leave for swap", () => {
    const pfn = fail(at + P);
    expect(space.advise(at, 4 * P, "page-out")).toBe("ok");
    expect(vmm.reclaim(4)).toBe(0);
    expect([vmm.residentPages, vmm.core.swap?.used]).toEqual([1, 3]);
    settle(pfn, [space, at + P]);
    for (const page of [0, 2, 3]) expect(bytes.load32(at + page * P)).toBe(page + 1);
  });

  test("keeps a page's copy in swap, which it is read from again", () => {
    space.advise(at, 4 * P, "page-out");
    expect(bytes.load32(at + P)).toBe(2);
    const pfn = fail(at + P);
    vmm.migrator.suspect(pfn);
    expect(vmm.reclaim(4)).toBe(0);
    const page = vmm.core.frameMap.pageAt(pfn);
    for (let more = 0; more < 70; more++) {
      const there = Number(space.map({ bytes: P }));
      bytes.store32(there, 1);
      space.advise(there, P, "page-out");
    }
    expect(vmm.core.pages.swap[page]).toBeGreaterThanOrEqual(0);
    expect(vmm.migrator.discard(pfn)).toBe("recovered");
    memory.bad = -1;
    expect(bytes.load32(at + P)).toBe(2);
    vmm.check();
  });

  test("is not written to a file, and its neighbours are; sync tells", () => {
    const backing = new MemoryBacking(4 * P);
    const object = vmm.openFile(backing);
    const there = Number(space.map({ bytes: 4 * P, object, shared: true }));
    for (let page = 0; page < 4; page++) bytes.store32(there + page * P, page + 1);
    const pfn = fail(there + 2 * P);
    expect(space.sync(there, 4 * P)).toBe("failed");
    expect([0, 1, 2, 3].map((page) => backing.bytes[page * P])).toEqual([1, 2, 0, 4]);
    expect(vmm.reclaim(20)).toBe(7);
    expect(object.dirtyPages).toBe(1);
    const into = new Uint8Array(4 * P);
    expect(object.read(0, into)).toBe(2 * P);
    settle(pfn, [space, there + 2 * P]);
    expect(space.sync(there, 4 * P)).toBe("failed");
    expect(space.sync(there, 4 * P)).toBe("ok");
    expect(backing.bytes[2 * P]).toBe(0);
  });

  test("is not written to a file that answers later", async () => {
    const written: number[] = [];
    const backing: AsyncBackingStore = {
      size: () => 2 * P,
      readLater: (_offset, into) => {
        into.fill(0);
        return Promise.resolve();
      },
      writeLater: (offset) => {
        written.push(offset);
        return Promise.resolve();
      },
    };
    const object = vmm.openAsyncFile(backing);
    const there = Number(space.map({ bytes: 2 * P, object, shared: true }));
    await space.run((memory) => memory.store32(there, 1) && memory.store32(there + P, 2));
    const pfn = fail(there);
    expect(await object.sync()).toBe("failed");
    expect(written).toEqual([P]);
    settle(pfn, [space, there]);
  });

  test("is not copied for a writer after a clone, nor for one of a private file", () => {
    const clone = space.clone();
    if (clone === null) throw new Error("no clone");
    const memoryOfClone = new SpaceMemory(clone);
    bytes.load32(at + P);
    const pfn = fail(at + P);
    for (const side of [bytes, memoryOfClone]) expect([side.store32(at + P, 9), side.fault]).toEqual([false, "bus"]);
    expect(memoryOfClone.store32(at + 2 * P, 9)).toBe(true);
    settle(pfn, [space, at + P], [clone, at + P]);
    const object = vmm.openFile(new MemoryBacking(new Uint8Array(P).fill(5)));
    const there = Number(space.map({ bytes: P, object }));
    expect(bytes.load8(there)).toBe(5);
    const cached = fail(there);
    expect([bytes.store32(there, 9), bytes.fault]).toEqual([false, "bus"]);
    expect(vmm.migrator.discard(cached)).toBe("recovered");
    memory.bad = -1;
    expect(bytes.store32(there, 9)).toBe(true);
    vmm.check();
  });

  test("is not copied for a clone in the middle of a transfer", () => {
    const transfer = vmm.beginTransfer(space, at, P, "to-device");
    if (typeof transfer === "string") throw new Error(transfer);
    const pfn = fail(at);
    expect(space.clone()).toBeNull();
    expect(vmm.migrator.discard(pfn)).toBe("pinned");
    transfer.complete();
    settle(pfn, [space, at]);
  });

  test("does not move to another frame", () => {
    const pfn = fail(at);
    const free = memory.freeFrames;
    expect(vmm.migrator.vacate(pfn)).toBe("suspect");
    expect(memory.freeFrames).toBe(free);
    expect(space.tables.query(at / P)).not.toBe(0);
    settle(pfn, [space, at]);
  });

  test("does not become part of a 2M page", () => {
    const there = Number(space.map({ bytes: PAGE_2M, alignment: PAGE_2M }));
    for (let page = 0; page < 512; page++) bytes.store32(there + page * P, page + 1);
    expect(space.advise(there, PAGE_2M, "large")).toBe("ok");
    const pfn = fail(there + 77 * P);
    const free = memory.freeFrames;
    expect(vmm.collapser.collapse(space, there / P)).toBe(false);
    expect(memory.freeFrames).toBe(free);
    expect(bytes.load32(there + 78 * P)).toBe(79);
    settle(pfn, [space, there + 77 * P]);
    expect(bytes.load32(there + 76 * P)).toBe(77);
  });

  test("reaches no device, also not through a stand-in", () => {
    const pfn = fail(at);
    const free = memory.freeFrames;
    if (when === "before anything is done") expect(vmm.beginTransfer(space, at, P, "to-device")).toBe("bus");
    expect(vmm.beginTransfer(space, at, P, "to-device", { below: P })).toBe("bus");
    expect(memory.freeFrames).toBe(free);
    settle(pfn, [space, at]);
  });
});

test("a suspect frame without a page is settled as well", () => {
  const memory = new PlainMemory(8);
  const vmm = new Vmm({ frames: memory, window: memory });
  vmm.migrator.suspect(3);
  expect(vmm.migrator.discard(3)).toBe("not-a-page");
  expect(vmm.core.suspects.count).toBe(0);
});
