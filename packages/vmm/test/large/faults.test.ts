/** 2M pages out of page faults, and what becomes of them when a part is treated differently. */
import { describe, expect, test } from "vitest";

import { MemoryBacking, PAGE_2M, PAGE_SIZE, READ, SpaceMemory, WRITE, type AddressSpace } from "@pagewright/vmm";

import { BENCHES, UNIT, demandFilled, fill, leafAt, mapLarge, plainBench } from "./kit.ts";

function cloneOf(space: AddressSpace): AddressSpace {
  const clone = space.clone();
  if (clone === null) throw new Error("no clone");
  return clone;
}

for (const [name, bench] of BENCHES)
  describe(name, () => {
    test("one store fills and maps 2 MiB of zeroes by one leaf", () => {
      const { vmm, space, bytes } = bench();
      const vpn = mapLarge(space, 2);
      expect(bytes.store32((vpn + 700) * PAGE_SIZE, 7)).toBe(true);
      expect([vmm.residentPages, vmm.stats.zeroFaults, vmm.large.stats().faults]).toEqual([UNIT, 1, 1]);
      expect([leafAt(space, vpn), leafAt(space, vpn + UNIT), leafAt(space, vpn + 1023)]).toEqual([1, UNIT, UNIT]);
      let sum = 0;
      for (let page = UNIT; page < 2 * UNIT; page++) sum += bytes.load32((vpn + page) * PAGE_SIZE);
      expect([sum, bytes.load32((vpn + 700) * PAGE_SIZE)]).toEqual([7, 7]);
      expect(vmm.stats.minorFaults).toBe(1);
      vmm.check();
    });

    test("loads first: the frame of zeroes is shared, and gives way to the leaf at the first store", () => {
      const { vmm, space, bytes } = bench();
      const vpn = mapLarge(space, 1);
      for (const page of [0, 5, 511]) expect(bytes.load32((vpn + page) * PAGE_SIZE)).toBe(0);
      expect(vmm.residentPages).toBe(0);
      bytes.store32(vpn * PAGE_SIZE, 3);
      expect(leafAt(space, vpn + 5)).toBe(UNIT);
      expect([bytes.load32(vpn * PAGE_SIZE), bytes.load32((vpn + 5) * PAGE_SIZE)]).toEqual([3, 0]);
      vmm.check();
    });

    test("only units that lie in the region whole, have no pages yet and fit the limit are filled whole", () => {
      const { vmm, space, bytes } = bench({ residentLimit: 600 });
      const at = Number(space.map({ bytes: 3 * PAGE_2M, alignment: PAGE_2M }));
      const vpn = at / PAGE_SIZE;
      space.advise(at + PAGE_SIZE, 3 * PAGE_2M - PAGE_SIZE, "large");
      for (const page of [0, 1, UNIT, 2 * UNIT]) bytes.store32((vpn + page) * PAGE_SIZE, 1);
      expect([0, 1, UNIT, 2 * UNIT].map((page) => leafAt(space, vpn + page))).toEqual([1, 1, UNIT, 1]);
      expect([vmm.residentPages, vmm.large.stats().fallbacks]).toEqual([UNIT + 3, 1]);
      vmm.check();
    });

    test("unmapping, protecting and advising away a part split the leaf, and the rest stays as it was", () => {
      const { vmm, space, bytes, free } = bench();
      const all = free();
      const vpn = mapLarge(space, 4);
      fill(bytes, vpn, 4 * UNIT);
      expect(vmm.residentPages).toBe(4 * UNIT);
      space.unmap((vpn + 100) * PAGE_SIZE, 50 * PAGE_SIZE);
      space.protect((vpn + UNIT + 8) * PAGE_SIZE, PAGE_SIZE, READ);
      space.advise((vpn + 2 * UNIT) * PAGE_SIZE, 10 * PAGE_SIZE, "dont-need");
      expect([0, 1, 2, 3].map((unit) => leafAt(space, vpn + unit * UNIT))).toEqual([1, 1, 1, UNIT]);
      expect(vmm.residentPages).toBe(4 * UNIT - 60);
      demandFilled(bytes, vpn, 100);
      demandFilled(bytes, vpn + 150, 2 * UNIT - 150, 0, 150);
      expect(bytes.store32((vpn + UNIT + 8) * PAGE_SIZE, 1)).toBe(false);
      expect(bytes.load32((vpn + 2 * UNIT + 9) * PAGE_SIZE + 12)).toBe(0);
      demandFilled(bytes, vpn + 2 * UNIT + 10, 2 * UNIT - 10, 0, 2 * UNIT + 10);
      expect(vmm.large.stats().splits).toBe(3);
      vmm.check();
      space.destroy();
      vmm.close();
      vmm.check();
      expect(free()).toBeGreaterThanOrEqual(all - 16); // The root of x86 tables, which the space had from the start, came back too.
    });

    test("protecting all of a leaf keeps it", () => {
      const { vmm, space, bytes } = bench();
      const vpn = mapLarge(space, 1);
      fill(bytes, vpn, UNIT);
      space.protect(vpn * PAGE_SIZE, PAGE_2M, READ);
      expect([leafAt(space, vpn), bytes.store32(vpn * PAGE_SIZE, 1)]).toEqual([UNIT, false]);
      space.protect(vpn * PAGE_SIZE, PAGE_2M, READ + WRITE);
      fill(bytes, vpn, UNIT, 1000);
      demandFilled(bytes, vpn, UNIT, 1000);
      expect([leafAt(space, vpn), vmm.large.stats().splits]).toEqual([UNIT, 0]);
      vmm.check();
    });

    test("a clone reads through a leaf of its own; a store copies one page and splits the writer's leaf alone", () => {
      const { vmm, space, bytes } = bench();
      const vpn = mapLarge(space, 1);
      fill(bytes, vpn, UNIT);
      const clone = cloneOf(space);
      const theirs = new SpaceMemory(clone);
      demandFilled(theirs, vpn, UNIT);
      expect([leafAt(space, vpn), leafAt(clone, vpn), vmm.residentPages]).toEqual([UNIT, UNIT, UNIT]);
      theirs.store32((vpn + 3) * PAGE_SIZE + 12, 99);
      expect([leafAt(space, vpn), leafAt(clone, vpn), vmm.residentPages]).toEqual([UNIT, 1, UNIT + 1]);
      demandFilled(bytes, vpn, UNIT);
      expect(theirs.load32((vpn + 3) * PAGE_SIZE + 12)).toBe(99);
      vmm.check();
    });

    test("when the clone is gone the leaf becomes writable again, whole", () => {
      const { vmm, space, bytes } = bench();
      const vpn = mapLarge(space, 1);
      fill(bytes, vpn, UNIT);
      cloneOf(space).destroy();
      bytes.store32(vpn * PAGE_SIZE + 12, 5);
      expect([leafAt(space, vpn), vmm.residentPages, vmm.large.stats().splits]).toEqual([UNIT, UNIT, 0]);
      demandFilled(bytes, vpn + 1, UNIT - 1, 0, 1);
      vmm.check();
    });

    test("a page of a 2M page can be locked, migrated, evicted and moved by itself", () => {
      const { vmm, space, bytes } = bench();
      const vpn = mapLarge(space, 4);
      fill(bytes, vpn, 4 * UNIT);
      space.lock((vpn + 4) * PAGE_SIZE, 3 * PAGE_SIZE);
      expect(leafAt(space, vpn)).toBe(UNIT); // Locks are the pages', whoever translates them.
      space.tables.query(vpn + UNIT + 9);
      expect(typeof vmm.migrator.vacate(space.tables.frame)).toBe("number");
      space.advise((vpn + 2 * UNIT + 20) * PAGE_SIZE, 5 * PAGE_SIZE, "page-out");
      const at = space.remap({
        address: (vpn + 3 * UNIT) * PAGE_SIZE,
        bytes: 7 * PAGE_SIZE,
        newBytes: 7 * PAGE_SIZE,
        mayMove: true,
        target: (vpn - 8 * UNIT) * PAGE_SIZE,
      });
      expect(at).toBe((vpn - 8 * UNIT) * PAGE_SIZE);
      expect([0, 1, 2, 3].map((unit) => leafAt(space, vpn + unit * UNIT))).toEqual([UNIT, 1, 1, 1]);
      demandFilled(bytes, vpn, 3 * UNIT);
      demandFilled(bytes, vpn - 8 * UNIT, 7, 0, 3 * UNIT);
      demandFilled(bytes, vpn + 3 * UNIT + 7, UNIT - 7, 0, 3 * UNIT + 7);
      vmm.check();
    });

    test("reclaim takes 2M pages apart and loses nothing", () => {
      const { vmm, space, bytes } = bench({ residentLimit: 3 * UNIT });
      const vpn = mapLarge(space, 8);
      fill(bytes, vpn, 8 * UNIT);
      expect(vmm.residentPages).toBeLessThanOrEqual(3 * UNIT);
      expect(vmm.large.stats().faults).toBe(3);
      demandFilled(bytes, vpn, 8 * UNIT);
      vmm.check();
    });

    test("a locked region is filled by 2M pages, and they stay", () => {
      const { vmm, space, bytes } = bench({ residentLimit: 3 * UNIT });
      const at = Number(space.map({ bytes: PAGE_2M, alignment: PAGE_2M }));
      space.advise(at, PAGE_2M, "large");
      expect(space.lock(at, PAGE_2M)).toBe("ok");
      const vpn = at / PAGE_SIZE;
      expect([leafAt(space, vpn), vmm.residentPages]).toEqual([UNIT, UNIT]);
      const other = mapLarge(space, 8);
      fill(bytes, other, 8 * UNIT);
      expect(leafAt(space, vpn)).toBe(UNIT);
      space.unlock(at, PAGE_2M);
      vmm.check();
    });

    test("spaces share the 2M pages of an object, each by a leaf of its own", () => {
      const { vmm, space, bytes } = bench();
      const object = vmm.createAnonymous(2 * PAGE_2M);
      const vpn = mapLarge(space, 2, { object, shared: true });
      const other = vmm.createSpace();
      if (other === null) throw new Error("no space");
      const there = mapLarge(other, 1, { object, shared: true, offset: PAGE_2M });
      fill(bytes, vpn, 2 * UNIT);
      const theirs = new SpaceMemory(other);
      demandFilled(theirs, there, UNIT, 0, UNIT);
      expect([leafAt(space, vpn), leafAt(other, there), vmm.residentPages]).toEqual([UNIT, UNIT, 2 * UNIT]);
      expect(vmm.large.stats().mappedWhole).toBe(1);
      theirs.store32(there * PAGE_SIZE + 12, 77);
      expect(bytes.load32((vpn + UNIT) * PAGE_SIZE + 12)).toBe(77);
      object.resize(PAGE_2M + 5 * PAGE_SIZE);
      vmm.check();
      expect([leafAt(space, vpn), leafAt(space, vpn + UNIT), vmm.residentPages]).toEqual([UNIT, 1, UNIT + 5]);
      expect(theirs.load32((there + 4) * PAGE_SIZE + 12)).toBe(UNIT + 5);
      expect(theirs.load32((there + 5) * PAGE_SIZE + 12)).toBe(-1);
    });

    test("handing 2 MiB over hands the leaf over", () => {
      const { vmm, space, bytes } = bench();
      const vpn = mapLarge(space, 2);
      fill(bytes, vpn, 2 * UNIT);
      const other = vmm.createSpace();
      if (other === null) throw new Error("no space");
      const at = space.transfer((vpn + UNIT) * PAGE_SIZE, PAGE_2M, other);
      if (typeof at !== "number") throw new Error(at);
      expect([leafAt(space, vpn), leafAt(space, vpn + UNIT), leafAt(other, at / PAGE_SIZE)]).toEqual([UNIT, 1, UNIT]);
      const theirs = new SpaceMemory(other);
      demandFilled(theirs, at / PAGE_SIZE, UNIT, 0, UNIT);
      vmm.check();
      other.destroy();
      demandFilled(bytes, vpn, UNIT);
      vmm.check();
    });
  });

test("by the manager's setting 2M pages are used nowhere, where advised, or everywhere but where advised against", () => {
  for (const [use, advice, leaf] of [
    ["never", "large", 1],
    ["advise", "normal", 1],
    ["advise", "large", UNIT],
    ["always", "normal", UNIT],
    ["always", "no-large", 1],
  ] as const) {
    const { space, bytes } = plainBench({ largePages: use });
    const at = Number(space.map({ bytes: PAGE_2M, alignment: PAGE_2M }));
    space.advise(at, PAGE_2M, advice);
    bytes.store32(at, 1);
    expect({ use, advice, leaf: leafAt(space, at / PAGE_SIZE) }).toEqual({ use, advice, leaf });
  }
});

for (const [name, bench] of BENCHES)
  test(`a file's pages come 512 at once and are mapped by a leaf for loads alone, on ${name}`, () => {
    const { vmm, space, bytes } = bench();
    const backing = new MemoryBacking(2 * PAGE_2M + 5000);
    for (let page = 1; page <= 2 * UNIT; page++)
      backing.write((page - 1) * PAGE_SIZE + 12, Uint8Array.of(page & 255, page >> 8, 0, 0));
    const file = vmm.openFile(backing);
    const vpn = mapLarge(space, 3, { object: file, shared: true });
    expect(bytes.load32((vpn + 700) * PAGE_SIZE + 12)).toBe(701);
    expect([leafAt(space, vpn), leafAt(space, vpn + UNIT), vmm.stats.majorFaults]).toEqual([1, UNIT, 1]);
    expect(vmm.stats.fileReads).toBe(UNIT);
    demandFilled(bytes, vpn, 2 * UNIT);
    expect(vmm.stats.majorFaults).toBe(2);
    // A store makes one page dirty, not 512.
    bytes.store32((vpn + 3) * PAGE_SIZE + 12, 99);
    expect([leafAt(space, vpn), leafAt(space, vpn + UNIT)]).toEqual([1, UNIT]);
    expect(space.sync(vpn * PAGE_SIZE, 2 * PAGE_2M)).toBe("ok");
    expect([vmm.stats.fileWrites, backing.bytes[3 * PAGE_SIZE + 12]]).toEqual([1, 99]);
    // The end of the file lies in the third unit: it stays in 4K pages.
    expect([bytes.load32((vpn + 2 * UNIT) * PAGE_SIZE), leafAt(space, vpn + 2 * UNIT)]).toEqual([0, 1]);
    const private2M = mapLarge(space, 1, { object: file, offset: PAGE_2M });
    demandFilled(bytes, private2M, UNIT, 0, UNIT);
    expect(leafAt(space, private2M)).toBe(UNIT);
    bytes.store32(private2M * PAGE_SIZE + 12, 5);
    expect([leafAt(space, private2M), bytes.load32((vpn + UNIT) * PAGE_SIZE + 12)]).toEqual([1, UNIT + 1]);
    file.resize(PAGE_2M + 7 * PAGE_SIZE);
    expect(bytes.load32((vpn + UNIT + 7) * PAGE_SIZE)).toBe(-1);
    vmm.check();
  });

for (const [name, bench] of BENCHES)
  test(`a 2M page that moves to a place of its alignment stays one, on ${name}`, () => {
    const { vmm, space, bytes } = bench();
    const vpn = mapLarge(space, 2);
    fill(bytes, vpn, 2 * UNIT);
    const to = (vpn - 8 * UNIT) * PAGE_SIZE;
    const move = { address: vpn * PAGE_SIZE, bytes: 2 * PAGE_2M, newBytes: 2 * PAGE_2M, mayMove: true };
    expect(space.remap({ ...move, target: to })).toBe(to);
    expect([0, 1].map((unit) => leafAt(space, vpn + (unit - 8) * UNIT))).toEqual([UNIT, UNIT]);
    demandFilled(bytes, vpn - 8 * UNIT, 2 * UNIT);
    fill(bytes, vpn - 8 * UNIT, 2 * UNIT, 7);
    expect(vmm.large.stats().splits).toBe(0);
    const crooked = to - 9 * PAGE_2M + PAGE_SIZE;
    expect(space.remap({ ...move, address: to, target: crooked })).toBe(crooked);
    demandFilled(bytes, crooked / PAGE_SIZE, 2 * UNIT, 7);
    vmm.check();
  });

test("a space with a limit of its own makes room page by page, and asks in vain for more than the limit", () => {
  const { vmm, space, bytes } = plainBench();
  space.limits.residentPages = UNIT - 100;
  const vpn = mapLarge(space, 2);
  fill(bytes, vpn, 2 * UNIT);
  expect(vmm.large.stats()).toMatchObject({ faults: 0 });
  expect(vmm.residentPages).toBeLessThanOrEqual(UNIT - 100);
  expect(space.map({ bytes: PAGE_2M, pageSize: PAGE_2M })).toBe("no-memory");
  demandFilled(bytes, vpn, 2 * UNIT);
  vmm.check();
});
