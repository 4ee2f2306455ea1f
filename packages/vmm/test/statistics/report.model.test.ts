/** The report against a recount that knows nothing but who has which page and which entry leads where. */
import { describe, expect, test } from "vitest";

import { Pmm } from "@pagewright/pmm";
import {
  DIRTY,
  MemoryBacking,
  MemorySwap,
  PAGE_SIZE,
  PlainTranslationSystem,
  READ,
  SeededRandom,
  SpaceMemory,
  Vmm,
  WRITE,
  type AddressSpace,
  type MemoryObject,
} from "@pagewright/vmm";

const NODE_FRAMES = 512;
const nodeOf = (pfn: number): number => Math.floor((pfn - 8192) / NODE_FRAMES);

function managerOf(seed: number): Vmm {
  const ranges = [0, 1].map((node) => ({
    start: 8192 + node * NODE_FRAMES,
    end: 8192 + (node + 1) * NODE_FRAMES,
    node,
    rank: 0,
    hotPluggable: false,
    faulty: [],
  }));
  const bytes = new Map<number, Uint8Array>();
  const of = (pfn: number): Uint8Array => {
    const known = bytes.get(pfn) ?? new Uint8Array(PAGE_SIZE);
    bytes.set(pfn, known);
    return known;
  };
  const window = {
    read: (pfn: number, offset: number, into: Uint8Array): void =>
      into.set(of(pfn).subarray(offset, offset + into.length)),
    write: (pfn: number, offset: number, from: Uint8Array): void => of(pfn).set(from, offset),
    copy: (from: number, to: number): void => of(to).set(of(from)),
    zero: (pfn: number): void => void of(pfn).fill(0),
  };
  const random = new SeededRandom(seed);
  return new Vmm({
    frames: new Pmm({ ranges }),
    window,
    tables: new PlainTranslationSystem(),
    swap: [new MemorySwap(4096)],
    residentLimit: 200,
    currentNode: () => random.uint32() & 1,
    nodeOf,
    random,
  });
}

/** What one page is, found by looking at everything. */
interface Found {
  owners: number;
  translations: number;
  dirty: boolean;
}

/** Every page in a frame, by frame: who has it, and which entries lead there. */
function recount(vmm: Vmm): Map<number, Found> {
  const found = new Map<number, Found>();
  const { core } = vmm;
  for (let pfn = 8192; pfn < 8192 + 2 * NODE_FRAMES; pfn++)
    if (core.frameMap.pageAt(pfn) >= 0)
      found.set(pfn, { owners: 0, translations: 0, dirty: core.pages.has(core.frameMap.pageAt(pfn), 1) });
  for (const space of core.spaces.values()) {
    space.sheets.forEach(space.low, space.high, (sheet, base) => {
      for (let entry = 0; entry < 512; entry++) {
        const anon = sheet.anons[entry]!;
        const own = anon >= 0 ? found.get(core.pages.pfn[anon]!) : undefined;
        if (own !== undefined) own.owners++;
        const state = space.tables.query(base + entry);
        const led = state === 0 ? undefined : found.get(space.tables.frame);
        if (led === undefined) continue;
        led.translations++;
        led.dirty ||= (state & DIRTY) !== 0;
      }
    });
  }
  return found;
}

/** Pages that lie in swap only, the objects' and the spaces' own; each once. */
function swappedPages(vmm: Vmm, objects: readonly MemoryObject[]): number {
  const { pages, spaces } = vmm.core;
  const found = new Set<number>();
  for (const space of spaces.values())
    space.sheets.forEach(space.low, space.high, (sheet) => {
      for (const page of sheet.anons) if (page >= 0) found.add(page);
    });
  for (const object of objects)
    for (let index = 0; index < object.pageCount; index++) found.add(object.pages.get(index));
  return [...found].filter((page) => page >= 0 && !pages.isResident(page) && pages.swap[page]! >= 0).length;
}

/** An object's pages in frames, by its own index. */
function recountObject(vmm: Vmm, object: MemoryObject, found: ReadonlyMap<number, Found>): object {
  const { pages } = vmm.core;
  const count = { residentPages: 0, dirtyPages: 0, lockedPages: 0, swappedPages: 0, uniquePages: 0, sharedPages: 0 };
  for (let index = 0; index < object.pageCount; index++) {
    const page = object.pages.get(index);
    if (page < 0) continue;
    const frame = found.get(pages.pfn[page]!);
    if (frame === undefined && pages.swap[page]! >= 0) count.swappedPages++;
    if (frame === undefined) continue;
    count.residentPages++;
    if (frame.translations === 1) count.uniquePages++;
    if (frame.translations > 1) count.sharedPages++;
    if (frame.dirty) count.dirtyPages++;
    if (pages.holds[page]! > 0) count.lockedPages++;
  }
  return count;
}

describe("every sum of the report is what a recount finds", () => {
  for (const seed of [1, 2, 3, 4, 5, 6])
    test(`seed ${seed}`, () => {
      const vmm = managerOf(seed);
      const random = new SeededRandom(seed * 31);
      const pick = (bound: number): number => random.uint32() % bound;
      const objects: MemoryObject[] = [
        vmm.createAnonymous(64 * PAGE_SIZE),
        vmm.openFile(new MemoryBacking(64 * PAGE_SIZE)),
      ];
      const spaces: AddressSpace[] = [];
      const add = (): void => {
        const space = vmm.createSpace();
        if (space === null) return;
        spaces.push(space);
        space.map({ bytes: 128 * PAGE_SIZE, address: 2 ** 30, placement: "fixed" });
        for (const [at, object] of objects.entries())
          space.map({
            bytes: 64 * PAGE_SIZE,
            address: 2 ** 31 + at * 2 ** 22,
            placement: "fixed",
            object,
            shared: at === 0,
          });
      };
      add();
      for (let step = 0; step < 1500; step++) {
        const space = spaces[pick(spaces.length)];
        if (space === undefined) break;
        const areas = [2 ** 30, 2 ** 31, 2 ** 31 + 2 ** 22];
        const area = areas[pick(3)] ?? 0;
        const address = area + pick(area === 2 ** 30 ? 128 : 64) * PAGE_SIZE;
        const dice = pick(100);
        const bytes = new SpaceMemory(space);
        if (dice < 45) bytes.store32(address, step + 1);
        else if (dice < 85) bytes.load32(address);
        else if (dice < 88) space.advise(address, PAGE_SIZE, "dont-need");
        else if (dice < 90) space.lock(address, PAGE_SIZE);
        else if (dice < 94) space.unlockAll();
        else if (dice < 95 && spaces.length < 4) {
          const clone = space.clone();
          if (clone !== null) spaces.push(clone);
        } else if (dice < 96 && spaces.length < 4) add();
        else if (dice < 97 && spaces.length > 1) spaces.splice(spaces.indexOf(space), 1)[0]?.destroy();
        else if (dice < 98) vmm.sampleAccesses();
        else vmm.balance(16);
        if (step % 100 === 0) compare(vmm, spaces, objects);
      }
      compare(vmm, spaces, objects);
      vmm.check();
    });
});

function compare(vmm: Vmm, spaces: readonly AddressSpace[], objects: readonly MemoryObject[]): void {
  const report = vmm.report();
  const found = [...recount(vmm)];
  const count = (is: (page: Found, pfn: number) => boolean): number =>
    found.filter(([pfn, page]) => is(page, pfn)).length;
  const { system } = report;
  expect(system.residentPages).toBe(found.length);
  expect(system.residentPages).toBe(vmm.residentPages);
  expect(system.mappedPages).toBe(count(({ translations }) => translations > 0));
  expect(system.dirtyPages).toBe(count(({ dirty }) => dirty));
  expect(system.sharedPages).toBe(count(({ owners, translations }) => Math.max(owners, translations) > 1));
  expect(system.lockedPages).toBe(
    found.filter(([pfn]) => vmm.core.pages.holds[vmm.core.frameMap.pageAt(pfn)]! > 0).length,
  );
  const places = ({ owners, translations }: Found): number => Math.max(owners, translations);
  const kinds = (is: (page: Found, pfn: number) => boolean): object => ({
    residentPages: count(is),
    uniquePages: count((page, pfn) => is(page, pfn) && places(page) === 1),
    sharedPages: count((page, pfn) => is(page, pfn) && places(page) > 1),
    proportionalPages: count((page, pfn) => is(page, pfn) && places(page) > 0),
  });
  const placesOf = (is: (page: Found, pfn: number) => boolean): number =>
    found.reduce((sum, [pfn, page]) => sum + (is(page, pfn) ? places(page) : 0), 0);
  expect(system).toMatchObject(kinds(() => true));
  for (const { node, ...pages } of report.nodes) {
    const isThere = (_: Found, pfn: number): boolean => nodeOf(pfn) === node;
    expect(pages).toMatchObject({ ...kinds(isThere), virtualPages: placesOf(isThere) });
  }
  expect(report.nodes.reduce((sum, { residentPages }) => sum + residentPages, 0)).toBe(found.length);
  const isFree = (_: Found, pfn: number): boolean => vmm.core.pages.holds[vmm.core.frameMap.pageAt(pfn)]! === 0;
  expect(report.policy).toMatchObject({ ...kinds(isFree), virtualPages: placesOf(isFree) });
  expect(system.swappedPages).toBe(swappedPages(vmm, objects));
  for (const object of objects)
    expect(report.objects.find(({ number }) => number === object.number)).toMatchObject(
      recountObject(vmm, object, new Map(found)),
    );
  const anonymous = count(({ owners }) => owners > 0);
  expect(report.objects.reduce((sum, { residentPages }) => sum + residentPages, 0)).toBe(found.length - anonymous);
  expect(report.policy.residentPages).toBe(found.length - system.lockedPages);
  // Shares sum up to the pages that somebody has: private ones, and those of objects that somebody maps.
  const somebodys = count(({ owners, translations }) => owners > 0 || translations > 0);
  expect(report.allSpaces.proportionalPages).toBeCloseTo(somebodys, 6);
  expect(report.allSpaces.virtualPages).toBe(spaces.reduce((sum, { mappedPages }) => sum + mappedPages, 0));
  expect(system.proportionalPages).toBe(somebodys);
  for (const { regions, asid, name, ...usage } of report.spaces) {
    const space = vmm.core.spaces.get(asid);
    expect(regions).toEqual(space?.usageByRegion());
    expect(name).toBe(space?.name);
    for (const field of ["virtualPages", "residentPages", "uniquePages", "swappedPages", "dirtyPages"] as const)
      expect(regions.reduce((sum, region) => sum + region[field], 0)).toBe(usage[field]);
  }
  for (const space of spaces) {
    const usage = space.usage();
    expect(usage.uniquePages).toBeLessThanOrEqual(usage.proportionalPages + 1e-6);
    expect(usage.proportionalPages).toBeLessThanOrEqual(usage.residentPages + 1e-6);
    expect(report.spaces.find(({ asid }) => asid === space.asid)).toMatchObject(usage);
  }
}

test("reading rights do not matter to what is counted", () => {
  const vmm = managerOf(9);
  const space = vmm.createSpace();
  const at = Number(space?.map({ bytes: 4 * PAGE_SIZE, rights: READ + WRITE }));
  if (space === null) throw new Error("no space");
  new SpaceMemory(space).store32(at, 1);
  expect(space.usage()).toMatchObject({ residentPages: 1, dirtyPages: 1 });
  space.protect(at, 4 * PAGE_SIZE, READ);
  expect(space.usage()).toMatchObject({ residentPages: 1, dirtyPages: 1 });
});
