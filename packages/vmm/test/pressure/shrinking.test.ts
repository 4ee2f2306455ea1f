/** Shrinkers that give memory of the manager's own back, in the middle of the fault that asked for it. */
import { expect, test } from "vitest";

import {
  MemoryBacking,
  MemorySwap,
  PAGE_SIZE,
  PlainMemory,
  SpaceMemory,
  Vmm,
  type AddressSpace,
} from "@pagewright/vmm";

import { spaceOf } from "../kit/rig.ts";

const LIMIT = 16;

interface World {
  readonly vmm: Vmm;
  readonly space: AddressSpace;
  readonly bytes: SpaceMemory;
}

function world(): World {
  const memory = new PlainMemory(64);
  const vmm = new Vmm({
    frames: memory,
    window: memory,
    residentLimit: LIMIT,
    swap: [new MemorySwap(64)],
    readAhead: 0,
  });
  const space = spaceOf(vmm);
  return { vmm, space, bytes: new SpaceMemory(space) };
}

/** Maps `pages` pages of a cache at an address, filled; the first request to shrink gives all of them back. */
function addCache({ vmm, space, bytes }: World, address: number, pages: number, giveBack: () => void): void {
  expect(space.map({ address, placement: "fixed", bytes: pages * PAGE_SIZE })).toBe(address);
  for (let page = 0; page < pages; page++) expect(bytes.store32(address + page * PAGE_SIZE, 1)).toBe(true);
  let held = pages;
  vmm.pressure.addShrinker({
    name: "cache",
    priority: 0,
    shrink: () => {
      if (held > 0) giveBack();
      const gave = held;
      held = 0;
      return gave;
    },
  });
}

const BASE = 2 ** 30;
const CACHE = BASE + 64 * PAGE_SIZE;

test.each(["unmaps its region", "unmaps its region, and the one of the fault is mapped anew", "drops its pages"])(
  "a cache that %s while another page of the table is faulted in",
  (how) => {
    const it = world();
    const { vmm, space, bytes } = it;
    const map = (): unknown => space.map({ address: BASE, placement: "fixed", bytes: 32 * PAGE_SIZE });
    map();
    addCache(it, CACHE, LIMIT, () => {
      if (how === "drops its pages") space.advise(CACHE, LIMIT * PAGE_SIZE, "dont-need");
      else space.unmap(CACHE, LIMIT * PAGE_SIZE);
      if (how.includes("anew")) map();
    });
    for (let page = 0; page < 32; page++) expect(bytes.store32(BASE + page * PAGE_SIZE, page + 1)).toBe(true);
    vmm.check();
    for (let page = 0; page < 32; page++) expect(bytes.load32(BASE + page * PAGE_SIZE)).toBe(page + 1);
    space.destroy();
    expect(vmm.residentPages).toBe(0);
    vmm.check();
  },
);

test("a cache that unmaps the very region that needs the memory: the access finds no region, and no page is left", () => {
  const it = world();
  const { vmm, space, bytes } = it;
  addCache(it, BASE, LIMIT, () => {
    space.unmap(BASE, LIMIT * 2 * PAGE_SIZE);
  });
  space.map({ address: BASE + LIMIT * PAGE_SIZE, placement: "fixed", bytes: LIMIT * PAGE_SIZE });
  expect(bytes.store32(BASE + LIMIT * PAGE_SIZE, 1)).toBe(false);
  expect(bytes.fault).toBe("unmapped");
  expect(vmm.residentPages).toBe(0);
  vmm.check();
});

test("a cache that unmaps what is read from swap or from a file while a frame is looked for", () => {
  for (const source of ["swap", "file"] as const) {
    const it = world();
    const { vmm, space, bytes } = it;
    const file = vmm.openFile(new MemoryBacking(8 * PAGE_SIZE));
    const object = source === "file" ? { object: file } : {};
    space.map({ address: BASE, placement: "fixed", bytes: 8 * PAGE_SIZE, ...object });
    if (source === "swap") {
      for (let page = 0; page < 8; page++) bytes.store32(BASE + page * PAGE_SIZE, page + 1);
      space.advise(BASE, 8 * PAGE_SIZE, "page-out");
      expect(vmm.residentPages).toBe(0);
    }
    addCache(it, CACHE, LIMIT, () => {
      space.unmap(BASE, 8 * PAGE_SIZE);
      space.unmap(CACHE, LIMIT * PAGE_SIZE);
      if (!file.isDestroyed) file.close();
    });
    expect(bytes.load32(BASE)).toBe(-1);
    expect(bytes.fault).toBe("unmapped");
    expect(vmm.residentPages).toBe(0);
    expect(vmm.swapTiers()[0]?.used).toBe(0);
    vmm.check();
  }
});
