import { describe, expect, test } from "vitest";

import {
  MemoryBacking,
  PAGE_SIZE,
  PlainMemory,
  PlainTranslationSystem,
  READ,
  SpaceMemory,
  UNCACHED,
  Vmm,
  WRITE_BACK,
  WRITE_COMBINING,
  typeOf,
  type AddressSpace,
  type MemoryTypes,
  type TlbControl,
} from "@pagewright/vmm";

import { spaceOf } from "./kit/rig.ts";

function small(): { vmm: Vmm; one: AddressSpace; two: AddressSpace } {
  const memory = new PlainMemory(64);
  const vmm = new Vmm({ frames: memory, window: memory });
  return { vmm, one: spaceOf(vmm), two: spaceOf(vmm) };
}

test("a shared object is mapped with one type in all spaces, until its last region goes", () => {
  const { vmm, one, two } = small();
  const object = vmm.createAnonymous(PAGE_SIZE);
  const wish = { bytes: PAGE_SIZE, object, shared: true };
  const at = Number(one.map({ ...wish, type: UNCACHED }));
  new SpaceMemory(one).store32(at, 7);
  for (const type of [WRITE_COMBINING, WRITE_BACK]) expect(two.map({ ...wish, type })).toBe("type-conflict");
  expect(two.map({ ...wish, pageSize: PAGE_SIZE })).toBe("type-conflict");
  const there = Number(two.map({ ...wish, type: UNCACHED }));
  expect(new SpaceMemory(two).load32(there)).toBe(7);
  vmm.check();
  one.unmap(at, PAGE_SIZE);
  two.unmap(there, PAGE_SIZE);
  expect(new SpaceMemory(two).load32(Number(two.map(wish)))).toBe(7);
  vmm.check();
});

test("private and shared regions of a file have the same type", () => {
  const { vmm, one, two } = small();
  const object = vmm.openFile(new MemoryBacking(PAGE_SIZE));
  const kept = Number(one.map({ bytes: PAGE_SIZE, object, rights: READ, type: UNCACHED }));
  expect(two.map({ bytes: PAGE_SIZE, object, shared: true })).toBe("type-conflict");
  expect(typeof two.map({ bytes: PAGE_SIZE, object, shared: true, type: UNCACHED })).toBe("number");
  expect(one.regions.find(kept / PAGE_SIZE)?.type).toBe(UNCACHED);
  vmm.check();
});

test("what setMemoryType changed is mapped anew with the new type only", () => {
  const { vmm, one, two } = small();
  const object = vmm.openFile(new MemoryBacking(2 * PAGE_SIZE));
  const wish = { bytes: 2 * PAGE_SIZE, object, shared: true };
  const at = Number(one.map(wish));
  expect(one.setMemoryType(at, PAGE_SIZE, UNCACHED)).toBe("ok");
  expect(two.map(wish)).toBe("type-conflict");
  expect(typeof two.map({ ...wish, type: UNCACHED })).toBe("number");
  expect(one.setMemoryType(at, PAGE_SIZE, WRITE_BACK)).toBe("ok");
  expect(typeof two.map(wish)).toBe("number");
  vmm.check();
});

test("check finds regions of an object with two types", () => {
  const { vmm, one, two } = small();
  const object = vmm.createAnonymous(PAGE_SIZE);
  const wish = { bytes: PAGE_SIZE, object, shared: true };
  one.map(wish);
  const region = two.regions.find(Number(two.map(wish)) / PAGE_SIZE);
  if (region === null) throw new Error("no region");
  region.type = UNCACHED;
  expect(() => vmm.check()).toThrow("different memory types");
});

test("memory does not change its type under a device region that maps its frames", () => {
  const { vmm, one } = small();
  const object = vmm.createAnonymous(PAGE_SIZE);
  for (const request of [{ bytes: PAGE_SIZE }, { bytes: PAGE_SIZE, object, shared: true }]) {
    const at = Number(one.map(request));
    new SpaceMemory(one).store32(at, 7);
    one.tables.query(at / PAGE_SIZE);
    const window = Number(one.map({ bytes: PAGE_SIZE, object: vmm.openDevice(one.tables.frame, 1) }));
    expect(one.setMemoryType(at, PAGE_SIZE, UNCACHED)).toBe("type-conflict");
    one.unmap(window, PAGE_SIZE);
    expect(one.setMemoryType(at, PAGE_SIZE, UNCACHED)).toBe("ok");
  }
  vmm.check();
});

describe("before a frame is mapped with another type its caches are flushed, after all that led to it is gone", () => {
  /** A manager whose tables, invalidations and flushes leave a trace. */
  function traced(): { vmm: Vmm; trace: string[] } {
    const trace: string[] = [];
    const memory = new PlainMemory(64);
    const tables = new PlainTranslationSystem();
    const system = {
      kernel: null,
      structure: tables.structure,
      create: () => {
        const made = tables.create();
        const map = made.map.bind(made);
        const fill = made.fill.bind(made);
        const unmap = made.unmap.bind(made);
        made.map = (vpn, pfn, attributes, plan) => {
          trace.push(`map ${pfn} ${typeOf(attributes)}`);
          return map(vpn, pfn, attributes, plan);
        };
        made.fill = (vpn, pfn, attributes) => {
          trace.push(`map ${pfn} ${typeOf(attributes)}`);
          return fill(vpn, pfn, attributes);
        };
        made.unmap = (start, end, plan, sink) => {
          trace.push("unmap");
          unmap(start, end, plan, sink);
        };
        return made;
      },
    };
    const tlb: TlbControl = {
      invalidate: () => undefined,
      shootdown: () => trace.push("shootdown"),
      later: () => false,
      settle: () => undefined,
      ticket: () => 0,
      quiesced: () => 0,
    };
    const memoryTypes: MemoryTypes = {
      effective: (_start, _frames, wanted) => wanted,
      flushCaches: (start, frames) => {
        for (let pfn = start; pfn < start + frames; pfn++) trace.push(`flush ${pfn}`);
      },
    };
    const options = { frames: memory, window: memory, tables: system, tlb, memoryTypes, faultAround: 1 };
    return { vmm: new Vmm(options), trace };
  }

  test.each(["private", "shared"])("%s memory", (kind) => {
    const { vmm, trace } = traced();
    const [one, two] = [spaceOf(vmm), spaceOf(vmm)];
    const object = kind === "shared" ? { object: vmm.createAnonymous(PAGE_SIZE), shared: true } : {};
    const at = Number(one.map({ bytes: PAGE_SIZE, ...object }));
    new SpaceMemory(one).store32(at, 7);
    const spaces = kind === "shared" ? [one, two] : [one];
    if (kind === "shared") expect(two.map({ address: at, bytes: PAGE_SIZE, ...object, placement: "fixed" })).toBe(at);
    for (const space of spaces) expect(new SpaceMemory(space).load32(at)).toBe(7);
    one.tables.query(at / PAGE_SIZE);
    const { frame } = one.tables;
    trace.length = 0;
    expect(one.setMemoryType(at, PAGE_SIZE, UNCACHED)).toBe("ok");
    const changed = trace.splice(0);
    expect(changed.filter((event) => event.startsWith("map"))).toEqual([]);
    expect(changed.filter((event) => event === "shootdown").length).toBe(spaces.length);
    for (const space of spaces) expect(space.tables.query(at / PAGE_SIZE)).toBe(0); // No alias is left behind.
    for (const space of spaces) expect(new SpaceMemory(space).load32(at)).toBe(7);
    const flush = trace.indexOf(`flush ${frame}`);
    const first = trace.findIndex((event) => event.startsWith(`map ${frame} `));
    expect(flush).toBeGreaterThanOrEqual(0);
    expect(flush).toBeLessThan(first);
    expect(trace.filter((event) => event.startsWith(`map ${frame} `))).toEqual(
      spaces.map(() => `map ${frame} ${UNCACHED}`),
    );
    vmm.check();
  });
});

test("a sealed region keeps its type, whoever asks through which alias", () => {
  const { vmm, one, two } = small();
  const object = vmm.createAnonymous(PAGE_SIZE);
  const wish = { bytes: PAGE_SIZE, object, shared: true };
  const [at, there] = [Number(one.map(wish)), Number(two.map(wish))];
  expect(one.seal(at, PAGE_SIZE)).toBe("ok");
  for (const [space, address] of [
    [one, at],
    [two, there],
  ] as const)
    expect(space.setMemoryType(address, PAGE_SIZE, UNCACHED)).toBe("sealed");
  vmm.check();
});
