/**
 * No byte of one owner is ever seen by the next: a first owner fills everything that can be recycled with one byte, and whoever comes after looks at every byte of every
 * kind of memory that there is.
 */
import { describe, expect, test } from "vitest";

import {
  MemoryBacking,
  MemorySwap,
  PAGE_2M,
  PAGE_SIZE,
  PlainMemory,
  SpaceMemory,
  Vmm,
  type AddressSpace,
  type SwapStore,
  type VmmOptions,
} from "@pagewright/vmm";
import { CompressedPool } from "@pagewright/vmm/swap";

import { spaceOf } from "./kit/rig.ts";

const P = PAGE_SIZE;
/** What the first owner writes. Nobody else does. */
const SECRET = 0xa5;
const FRAMES = 256;

interface House {
  readonly vmm: Vmm;
  readonly memory: PlainMemory;
}

function house(options: Partial<VmmOptions> = {}, frames = FRAMES): House {
  const memory = new PlainMemory(frames);
  const vmm = new Vmm({ frames: memory, window: memory, special: memory, swap: [new MemorySwap(4096)], ...options });
  return { vmm, memory };
}

/** Fills a range with the secret. */
function fill(space: AddressSpace, at: number, pages: number): void {
  const secret = new Uint8Array(P).fill(SECRET);
  const bytes = new SpaceMemory(space);
  for (let page = 0; page < pages; page++) expect(bytes.copyIn(at + page * P, secret)).toBe(P);
}

/** Bytes of the secret in a range, every page of which can be read. */
function leaked(space: AddressSpace, at: number, pages: number): number {
  const bytes = new SpaceMemory(space);
  const page = new Uint8Array(P);
  let found = 0;
  for (let index = 0; index < pages; index++) {
    expect(bytes.copyOut(at + index * P, page)).toBe(P);
    for (const byte of page) if (byte === SECRET) found++;
  }
  return found;
}

/** A first owner has had every frame there is, and is gone. */
function afterOwner(options: Partial<VmmOptions> = {}, frames = FRAMES): House {
  const made = house(options, frames);
  const owner = spaceOf(made.vmm);
  const pages = frames - made.vmm.core.keeper.stockFrames().length;
  fill(owner, Number(owner.map({ bytes: pages * P })), pages);
  expect(made.memory.freeFrames).toBe(0);
  owner.destroy();
  const page = new Uint8Array(P);
  made.memory.read(frames - 1, 0, page);
  expect(page.every((byte) => byte === SECRET)).toBe(true); // The frames themselves still have it.
  return made;
}

describe("frames of an owner who is gone show nothing", () => {
  test("as private memory: loaded first, stored to first, locked, made usable, populated", () => {
    const { vmm } = afterOwner();
    const space = spaceOf(vmm);
    const at = Number(space.map({ bytes: 200 * P }));
    const bytes = new SpaceMemory(space);
    for (let page = 40; page < 80; page++) bytes.store8(at + page * P + 5, 1);
    expect(space.lock(at + 80 * P, 20 * P)).toBe("ok");
    expect(space.makeUsable(at + 100 * P, 20 * P, 3)).toBe("ok");
    expect(space.advise(at + 120 * P, 20 * P, "populate-write")).toBe("ok");
    expect(leaked(space, at, 200)).toBe(0);
  });

  test("as shared memory, and what it grows by", () => {
    const { vmm } = afterOwner();
    const space = spaceOf(vmm);
    const object = vmm.createAnonymous(10 * P);
    object.resize(20 * P);
    expect(leaked(space, Number(space.map({ bytes: 20 * P, object, shared: true })), 20)).toBe(0);
    expect(leaked(space, Number(space.map({ bytes: 20 * P, object })), 20)).toBe(0);
  });

  test("as pages of a file, its tail and what it grows by included", () => {
    const { vmm } = afterOwner();
    const space = spaceOf(vmm);
    const first = vmm.openFile(new MemoryBacking(new Uint8Array(P).fill(SECRET)));
    expect(leaked(space, Number(space.map({ bytes: P, object: first, shared: true })), 1)).toBe(P); // It came the same way.
    const object = vmm.openFile(new MemoryBacking(100));
    expect(leaked(space, Number(space.map({ bytes: P, object, shared: true })), 1)).toBe(0);
    object.resize(2 * P + 100);
    expect(leaked(space, Number(space.map({ bytes: 3 * P, object, shared: true })), 3)).toBe(0);
    object.resize(6 * P + 10);
    const at = Number(space.map({ bytes: 7 * P, object, shared: true }));
    expect(leaked(space, at, 7)).toBe(0);
  });

  test("as a pager's page that it fills only in part", () => {
    const { vmm } = afterOwner();
    const space = spaceOf(vmm);
    const object = vmm.createPaged(8 * P, {
      request: (_index, into) => {
        into[0] = 1;
        return "filled";
      },
    });
    expect(leaked(space, Number(space.map({ bytes: 8 * P, object, shared: true })), 8)).toBe(0);
  });

  test("as copies of pages that are stored to in part", () => {
    const { vmm } = afterOwner();
    const space = spaceOf(vmm);
    const at = Number(space.map({ bytes: 20 * P }));
    for (let page = 0; page < 20; page++) new SpaceMemory(space).store8(at + page * P, 1);
    const clone = space.clone();
    if (clone === null) throw new Error("no clone");
    for (let page = 0; page < 20; page++) new SpaceMemory(clone).store8(at + page * P + 100, 2);
    expect(leaked(clone, at, 20) + leaked(space, at, 20)).toBe(0);
  });

  test("as a buffer for a device, and as a stand-in for what it cannot reach", () => {
    const { vmm, memory } = afterOwner();
    const outcome = vmm.allocateDmaBuffer({ bytes: 8 * P });
    if (!outcome.ok) throw new Error(outcome.reason);
    const space = spaceOf(vmm);
    expect(leaked(space, Number(space.map({ bytes: 8 * P, object: outcome.buffer })), 8)).toBe(0);
    const at = Number(space.map({ bytes: 8 * P }));
    for (const [direction, limit] of [
      ["to-device", FRAMES],
      ["from-device", FRAMES / 2],
    ] as const) {
      const transfer = vmm.beginTransfer(space, at, 8 * P, direction, { below: limit * P });
      if (typeof transfer === "string") throw new Error(transfer);
      const page = new Uint8Array(P);
      for (const { address, bytes } of transfer.segments)
        for (let done = 0; done < bytes; done += P) {
          memory.read(Math.floor((address + done) / P), 0, page);
          expect(page.includes(SECRET)).toBe(false);
        }
      transfer.complete(); // The device has written nothing.
    }
    expect(leaked(space, at, 8)).toBe(0);
  });

  test("as 2M pages, asked for at once, and made of small ones", () => {
    const { vmm } = afterOwner({ largePages: "always", collapseMissing: 500 }, 2560);
    const space = spaceOf(vmm);
    const at = Number(space.map({ bytes: PAGE_2M, alignment: PAGE_2M }));
    new SpaceMemory(space).store8(at, 1);
    expect(space.usage().in2MPages).toBe(512);
    expect(leaked(space, at, 512)).toBe(0);
    const next = Number(space.map({ bytes: PAGE_2M, alignment: PAGE_2M }));
    space.advise(next, PAGE_2M, "no-large");
    for (let page = 0; page < 40; page++) new SpaceMemory(space).store8(next + page * P, 1);
    space.advise(next, PAGE_2M, "large");
    expect(vmm.collapser.step(2000)).toBe(512);
    expect(leaked(space, next, 512)).toBe(0);
  });

  test("out of the stock of zeroed frames, which is filled anew in idle time", () => {
    const { vmm } = afterOwner();
    expect(vmm.idle(32)).toBeGreaterThan(0);
    const space = spaceOf(vmm);
    const at = Number(space.map({ bytes: 100 * P }));
    const bytes = new SpaceMemory(space);
    for (let page = 0; page < 100; page++) bytes.store8(at + page * P, 1);
    expect(leaked(space, at, 100)).toBe(0);
  });
});

describe("under pressure, where every frame has many owners", () => {
  const stores: Record<string, (memory: PlainMemory) => SwapStore> = {
    "a swap store": () => new MemorySwap(2000),
    "compressed memory": (memory) =>
      new CompressedPool({ frames: memory, window: memory, limitFrames: 64, slots: 2000 }),
  };
  for (const [name, make] of Object.entries(stores))
    test(`${name}: slots of an owner who is gone show nothing, and nobody sees another's pages`, () => {
      const memory = new PlainMemory(FRAMES);
      const vmm = new Vmm({ frames: memory, window: memory, swap: [make(memory)], residentLimit: 48 });
      const file = vmm.openFile(new MemoryBacking(64 * P));
      for (let round = 0; round < 3; round++) {
        const [owner, other] = [spaceOf(vmm), spaceOf(vmm)];
        const secret = Number(owner.map({ bytes: 100 * P }));
        const plain = Number(other.map({ bytes: 100 * P }));
        const shown = Number(other.map({ bytes: 64 * P, object: file, shared: true }));
        fill(owner, secret, 100);
        for (let page = 0; page < 100; page += 2) new SpaceMemory(other).store8(plain + page * P, 1);
        expect(leaked(other, plain, 100)).toBe(0);
        expect(leaked(other, shown, 64)).toBe(0);
        owner.destroy();
        const next = spaceOf(vmm);
        const at = Number(next.map({ bytes: 150 * P }));
        for (let page = 0; page < 150; page += 3) new SpaceMemory(next).store8(at + page * P, 1);
        expect(leaked(next, at, 150)).toBe(0);
        expect(leaked(other, plain, 100)).toBe(0);
        next.destroy();
        other.destroy();
        vmm.check();
      }
      expect(vmm.stats.swapOuts).toBeGreaterThan(200);
    });
});

describe("what a file's pages showed", () => {
  test("does not come back when it is cut and grows again, nor in the tail of its last page", () => {
    const { vmm } = house({ residentLimit: 16 });
    const space = spaceOf(vmm);
    const backing = new MemoryBacking(20 * P);
    const object = vmm.openFile(backing);
    const at = Number(space.map({ bytes: 20 * P, object, shared: true }));
    fill(space, at, 20);
    fill(space, at + 3 * P, 1); // In a frame when the file is cut.
    expect(object.resize(3 * P + 100)).toBe("ok");
    expect(leaked(space, at, 4)).toBe(3 * P + 100);
    expect(object.resize(20 * P)).toBe("ok");
    expect(leaked(space, at, 20)).toBe(3 * P + 100);
    expect(space.sync(at, 20 * P)).toBe("ok");
    expect(backing.bytes.filter((byte) => byte === SECRET).length).toBe(3 * P + 100);
  });

  test("does not show in private memory after the file is closed", () => {
    const { vmm, memory } = house({}, 64);
    const owner = spaceOf(vmm);
    const object = vmm.openFile(new MemoryBacking(new Uint8Array(60 * P).fill(SECRET)));
    const at = Number(owner.map({ bytes: 60 * P, object, shared: true }));
    expect(leaked(owner, at, 60)).toBe(60 * P);
    owner.destroy();
    object.close();
    expect(memory.freeFrames).toBeGreaterThan(60);
    const next = spaceOf(vmm);
    expect(leaked(next, Number(next.map({ bytes: 60 * P, locked: "all" })), 60)).toBe(0);
  });

  test("does not show where a page was dropped, punched out, or wiped in a clone", () => {
    const { vmm } = house();
    const space = spaceOf(vmm);
    const object = vmm.createAnonymous(8 * P);
    const shared = Number(space.map({ bytes: 8 * P, object, shared: true }));
    const own = Number(space.map({ bytes: 8 * P }));
    fill(space, shared, 8);
    fill(space, own, 8);
    space.advise(own, 8 * P, "wipe-on-clone");
    const clone = space.clone();
    if (clone === null) throw new Error("no clone");
    expect(leaked(clone, own, 8)).toBe(0);
    space.advise(own, 4 * P, "dont-need");
    space.advise(shared, 4 * P, "remove");
    expect([leaked(space, own, 8), leaked(space, shared, 8), leaked(clone, shared, 8)]).toEqual([4 * P, 4 * P, 4 * P]);
  });
});
