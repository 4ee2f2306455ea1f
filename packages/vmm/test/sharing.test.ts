/** Page tables that several spaces have in common. */
import { describe, expect, test } from "vitest";

import {
  MemoryBacking,
  PAGE_SIZE,
  PlainMemory,
  READ,
  SpaceMemory,
  TRANSFER_UNIT,
  UNCACHED,
  USER,
  Vmm,
  WRITE,
  type AddressSpace,
  type AnonymousObject,
} from "@pagewright/vmm";

import { rigOf, spaceOf, type Rig } from "./kit/rig.ts";

const UNITS = 3;
const BYTES = UNITS * TRANSFER_UNIT;

interface Shared {
  readonly rig: Rig;
  readonly object: AnonymousObject;
  readonly one: AddressSpace;
  readonly two: AddressSpace;
  /** Where the object is in each of them. */
  readonly at: number;
  readonly there: number;
}

/** Two spaces with one object through the same tables; processor 0 runs in the first, processor 1 in the second. */
function shared(): Shared {
  const rig = rigOf({}, 64, 2);
  const { vmm } = rig;
  const [one, two] = [spaceOf(vmm), spaceOf(vmm)];
  const object = vmm.createAnonymous(BYTES);
  const at = Number(one.map({ bytes: BYTES, alignment: TRANSFER_UNIT, object, shared: true }));
  const there = Number(one.share(at, BYTES, two, 16 * TRANSFER_UNIT));
  expect(there).toBe(16 * TRANSFER_UNIT);
  one.activate(0);
  two.activate(1);
  for (const cpu of rig.cpus) cpu.setCpl(3);
  return { rig, object, one, two, at, there };
}

function on(rig: Rig, cpu: number): Rig["cpu"] {
  rig.current = cpu;
  const processor = rig.cpus[cpu];
  if (processor === undefined) throw new Error("no processor");
  return processor;
}

function finish({ rig, object, one, two }: Shared): void {
  rig.vmm.check();
  rig.machine.check();
  one.destroy();
  rig.vmm.check();
  two.destroy();
  object.close();
  rig.vmm.close();
  rig.vmm.check();
  expect(rig.system.shares.size).toBe(0);
  expect(rig.vmm.core.sharing.count).toBe(0);
}

describe("two spaces that have their tables in common", () => {
  test("need one fault for both, whoever comes first", () => {
    const world = shared();
    const { rig, at, there } = world;
    expect(on(rig, 0).store32(at + 5 * PAGE_SIZE, 50)).toBe(true);
    const faults = rig.vmm.stats.minorFaults;
    expect(on(rig, 1).load32(there + 5 * PAGE_SIZE)).toBe(50);
    expect(on(rig, 1).store32(there + 5 * PAGE_SIZE + 4, 51)).toBe(true);
    expect(rig.vmm.stats.minorFaults).toBe(faults);
    expect(on(rig, 1).store32(there + TRANSFER_UNIT, 7)).toBe(true);
    expect(rig.vmm.stats.minorFaults).toBe(faults + 1);
    expect(on(rig, 0).load32(at + TRANSFER_UNIT)).toBe(7);
    expect(on(rig, 0).load32(at + 5 * PAGE_SIZE + 4)).toBe(51);
    expect(rig.vmm.stats.minorFaults).toBe(faults + 1);
    finish(world);
  });

  test("pay for their tables once, and share in O(tables)", () => {
    const { rig, one, at } = shared();
    const before = rig.system.tableFrames;
    const three = spaceOf(rig.vmm);
    expect(one.share(at, BYTES, three, at)).toBe(at);
    expect(rig.system.tableFrames).toBe(before + 3); // a root and two levels above the tables that are there
    rig.vmm.check();
  });

  test("both lose a page that is evicted, on every processor", () => {
    const world = shared();
    const { rig, at, there } = world;
    on(rig, 0).store32(at, 3);
    expect(on(rig, 1).load32(there)).toBe(3);
    expect(rig.vmm.reclaim(1)).toBe(1);
    expect(rig.vmm.residentPages).toBe(0);
    for (const cpu of rig.cpus)
      cpu.mmu.tlb.forEach((_vpn, _pages, pfn) => expect(rig.vmm.core.frameMap.pageAt(pfn)).toBe(-1));
    expect(on(rig, 1).load32(there)).toBe(3);
    expect(on(rig, 0).load32(at)).toBe(3);
    finish(world);
  });

  test("both follow a page that migrates", () => {
    const world = shared();
    const { rig, one, at, there } = world;
    on(rig, 0).store32(at, 3);
    expect(on(rig, 1).load32(there)).toBe(3);
    one.tables.query(at / PAGE_SIZE);
    const moved = rig.vmm.migrator.vacate(one.tables.frame);
    expect(on(rig, 1).store32(there, 4)).toBe(true);
    expect(on(rig, 0).load32(at)).toBe(4);
    one.tables.query(at / PAGE_SIZE);
    expect(one.tables.frame).toBe(moved);
    finish(world);
  });

  test("both lose what is truncated, and see another memory type", () => {
    const world = shared();
    const { rig, object, one, two, at, there } = world;
    on(rig, 0).store32(at + PAGE_SIZE, 3);
    on(rig, 1).load32(there + PAGE_SIZE);
    expect(object.resize(PAGE_SIZE)).toBe("ok");
    expect(on(rig, 0).load32(at + PAGE_SIZE)).toBe(-1);
    expect(on(rig, 1).load32(there + PAGE_SIZE)).toBe(-1);
    expect(object.resize(BYTES)).toBe("ok");
    on(rig, 0).store32(at + PAGE_SIZE, 4);
    expect(one.setMemoryType(at, BYTES, UNCACHED)).toBe("ok");
    expect(on(rig, 1).load32(there + PAGE_SIZE)).toBe(4);
    expect((two.tables.query(there / PAGE_SIZE + 1) >> 4) & 7).toBe(UNCACHED);
    finish(world);
  });

  test("a store through one is dirty for both, and written back once", () => {
    const memory = new PlainMemory(64);
    const vmm = new Vmm({ frames: memory, window: memory });
    const backing = new MemoryBacking(BYTES);
    const file = vmm.openFile(backing);
    const [one, two] = [spaceOf(vmm), spaceOf(vmm)];
    const at = Number(one.map({ bytes: BYTES, alignment: TRANSFER_UNIT, object: file, shared: true }));
    const there = Number(one.share(at, BYTES, two));
    new SpaceMemory(two).store32(there + 9, 77);
    expect(one.sync(at, BYTES)).toBe("ok");
    expect(new DataView(backing.bytes.buffer).getUint32(9, true)).toBe(77);
    expect(vmm.stats.fileWrites).toBe(1);
    vmm.check();
  });
});

describe("what a space does to its own mappings takes it out of the sharing:", () => {
  const own: Record<string, (world: Shared) => unknown> = {
    "unmapping a page": ({ one, at }) => one.unmap(at + PAGE_SIZE, PAGE_SIZE),
    "unmapping everything": ({ one, at }) => one.unmap(at, BYTES),
    "other rights": ({ one, at }) => one.protect(at, PAGE_SIZE, READ),
    "a lock": ({ one, at }) => one.lock(at, PAGE_SIZE),
    "a lock of everything": ({ one }) => one.lockAll(true, "none"),
    "a move": ({ one, at }) =>
      one.remap({ address: at, bytes: PAGE_SIZE, newBytes: PAGE_SIZE, mayMove: true, target: at - TRANSFER_UNIT }),
    "advising it away": ({ one, at }) => one.advise(at, PAGE_SIZE, "dont-need"),
    "a guard page": ({ one, at }) => one.advise(at + PAGE_SIZE, PAGE_SIZE, "guard"),
    "mapping over it": ({ one, at }) => one.map({ address: at + PAGE_SIZE, bytes: PAGE_SIZE, placement: "fixed" }),
    "handing it over": ({ one, at, rig }) => one.transfer(at, TRANSFER_UNIT, spaceOf(rig.vmm)),
    "its end": ({ one }) => one.destroy(),
  };
  for (const [name, change] of Object.entries(own))
    test(name, () => {
      const world = shared();
      const { rig, one, two, at, there } = world;
      for (const page of [0, 1, 2]) on(rig, 0).store32(at + page * PAGE_SIZE, page + 5);
      for (const page of [0, 1, 2]) expect(on(rig, 1).load32(there + page * PAGE_SIZE)).toBe(page + 5);
      rig.current = 0;
      change(world);
      rig.vmm.check();
      const faults = rig.vmm.stats.minorFaults;
      for (const page of [0, 1, 2]) expect(on(rig, 1).load32(there + page * PAGE_SIZE)).toBe(page + 5);
      expect(on(rig, 1).store32(there, 90)).toBe(true);
      expect(rig.vmm.stats.minorFaults).toBe(faults);
      if (one.isDestroyed) return;
      const state = one.tables.query(at / PAGE_SIZE);
      expect(state === 0 || name.includes("lock")).toBe(true);
      if (name !== "its end") expect(one.sharedTables).toBeLessThan(UNITS);
      expect(two.sharedTables).toBe(one.sharedTables);
      if (one.regions.find(at / PAGE_SIZE) !== null) expect(on(rig, 0).load32(at)).toBe(90);
      finish(world);
    });

  test("a processor that still knows the table's pages forgets them", () => {
    const { rig, one, at } = shared();
    on(rig, 0).store32(at, 1);
    one.unmap(at, PAGE_SIZE);
    expect(on(rig, 0).load32(at)).toBe(-1);
  });
});

test("a clone gets regions of its own, and fills tables of its own", () => {
  const world = shared();
  const { rig, one, at, there } = world;
  on(rig, 0).store32(at, 8);
  const clone = one.clone();
  if (clone === null) throw new Error("no clone");
  expect(clone.sharedTables).toBe(0);
  expect(clone.fault(at, READ + USER)).toBe("minor");
  expect(new SpaceMemory(clone).load32(at)).toBe(8);
  new SpaceMemory(clone).store32(at, 9);
  expect(on(rig, 1).load32(there)).toBe(9);
  clone.destroy();
  finish(world);
});

test("a page of a shared table is nobody's alone: advice of one user does not put it out", () => {
  const world = shared();
  const { rig, one, at } = world;
  on(rig, 0).store32(at, 8);
  expect(one.usage().uniquePages).toBe(0);
  expect(one.usage().proportionalPages).toBe(0.5);
  expect(one.advise(at, PAGE_SIZE, "page-out")).toBe("ok");
  expect(rig.vmm.residentPages).toBe(1);
  finish(world);
});

test("what cannot be shared stays as it was", () => {
  const rig = rigOf();
  const { vmm } = rig;
  const [one, two] = [spaceOf(vmm), spaceOf(vmm)];
  const object = vmm.createAnonymous(BYTES);
  const at = Number(one.map({ bytes: BYTES, alignment: TRANSFER_UNIT, object, shared: true }));
  const own = Number(one.map({ bytes: TRANSFER_UNIT, alignment: TRANSFER_UNIT }));
  const copy = Number(one.map({ bytes: TRANSFER_UNIT, alignment: TRANSFER_UNIT, object, rights: READ + WRITE }));
  const device = Number(
    one.map({ bytes: TRANSFER_UNIT, alignment: TRANSFER_UNIT, object: vmm.openDevice(2 ** 20, 512) }),
  );
  expect(one.share(own, TRANSFER_UNIT, two)).toBe("not-shared");
  expect(one.share(copy, TRANSFER_UNIT, two)).toBe("not-shared");
  expect(one.share(device, TRANSFER_UNIT, two)).toBe("not-shared");
  expect(one.share(at, TRANSFER_UNIT, one)).toBe("busy");
  expect(one.share(at + 2 * BYTES, TRANSFER_UNIT, two)).toBe("unmapped");
  expect(() => one.share(at + PAGE_SIZE, TRANSFER_UNIT, two)).toThrow("2 MiB");
  two.map({ address: at, bytes: PAGE_SIZE, placement: "fixed" });
  expect(one.share(at, BYTES, two, at)).toBe("exists");
  one.advise(at, PAGE_SIZE, "guard");
  expect(one.share(at, BYTES, two)).toBe("mixed");
  one.advise(at, PAGE_SIZE, "no-guard");
  one.lock(at, PAGE_SIZE);
  expect(one.share(at, BYTES, two)).toBe("locked");
  one.unlock(at, PAGE_SIZE);
  two.limits.pages = two.mappedPages;
  expect(one.share(at, BYTES, two)).toBe("size-limit");
  two.limits.pages = Infinity;
  two.limits.regions = two.regions.count;
  expect(one.share(at, BYTES, two)).toBe("region-limit");
  expect(two.regions.count).toBe(1);
  vmm.check();
});

test("memory that is sealed against new writable mappings is shared where it can never be stored to, and nowhere else", () => {
  const { vmm } = rigOf();
  const [one, two] = [spaceOf(vmm), spaceOf(vmm)];
  const object = vmm.createAnonymous(TRANSFER_UNIT, true);
  const request = { bytes: TRANSFER_UNIT, object, shared: true, alignment: TRANSFER_UNIT };
  const writable = Number(one.map(request));
  const readable = Number(one.map({ ...request, rights: READ, ceiling: READ }));
  expect(object.addSeals(["future-write"])).toBe("ok");
  expect(one.share(writable, TRANSFER_UNIT, two)).toBe("sealed");
  const there = Number(one.share(readable, TRANSFER_UNIT, two));
  new SpaceMemory(one).store32(writable, 7);
  expect(new SpaceMemory(two).load32(there)).toBe(7);
  expect(two.protect(there, TRANSFER_UNIT, READ + WRITE)).toBe("rights");
  vmm.check();
});
