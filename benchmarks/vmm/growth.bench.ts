/**
 * How costs grow: a fault with the number of spaces (not at all) and of regions (by its logarithm), a clone and a change of rights with their pages (in proportion), an eviction and a migration with the sharers of the
 * page (in proportion) and not with the pages that there are, sharing with the page tables (in proportion). `makeUsable` is in usable.bench.ts.
 */
import { EXECUTE, READ, TRANSFER_UNIT, USER, WRITE, type AddressSpace, type Vmm } from "@pagewright/vmm";

import { PAGE, bareRig, eachAlone, figure, mapped, plainRig, quickest, spaceOf } from "./rig.ts";

const FAULTS = 2000;
/** Pages that are cut into regions, and a step that leads to all of them in an order without a pattern. */
const CUT = 10000;
const STEP = 7919;

function faultAmong(spaces: number): number {
  const vmm = plainRig(FAULTS + spaces + 4096);
  const others = Array.from({ length: spaces - 1 }, () => spaceOf(vmm));
  for (const other of others) other.fault(mapped(other, { bytes: PAGE }), WRITE + USER);
  const space = spaceOf(vmm);
  const ns = quickest(
    30,
    () => mapped(space, { bytes: FAULTS * PAGE }),
    (at) => {
      for (let page = 0; page < FAULTS; page++) space.fault(at + page * PAGE, WRITE + USER);
    },
    (at) => space.unmap(at, FAULTS * PAGE),
  );
  return ns / FAULTS;
}

/** Faults all over the same pages, cut into so many regions: nearly every one is in another region than the one before. */
function faultAmongRegions(regions: number): number {
  const space = spaceOf(plainRig(CUT + 4096));
  const pages = CUT / regions;
  const low = mapped(space, { bytes: CUT * PAGE });
  const ns = quickest(
    60,
    () => {
      for (let region = 0; region < regions; region++) {
        const rights = region % 2 === 0 ? READ + WRITE : READ + WRITE + EXECUTE;
        mapped(space, { bytes: pages * PAGE, rights, address: low + region * pages * PAGE, placement: "fixed" });
      }
      return low;
    },
    (at) => {
      for (let fault = 0; fault < FAULTS; fault++) space.fault(at + ((fault * STEP) % CUT) * PAGE, WRITE);
    },
    (at) => space.unmap(at, CUT * PAGE),
  );
  return ns / FAULTS;
}

function cloneOf(pages: number): number {
  const space = spaceOf(plainRig(pages + 4096));
  const at = mapped(space, { bytes: pages * PAGE });
  for (let page = 0; page < pages; page++) space.fault(at + page * PAGE, WRITE + USER);
  const clones: (AddressSpace | null)[] = [];
  return quickest(
    15,
    () => null,
    () => {
      clones.push(space.clone());
    },
    () => clones.pop()?.destroy(),
  );
}

/** A page of shared memory that so many spaces have mapped leaves its frame. */
function evictionWith(sharers: number): number {
  const vmm: Vmm = plainRig(4096);
  const object = vmm.createAnonymous(256 * PAGE);
  const spaces = Array.from({ length: sharers }, () => spaceOf(vmm));
  const places = spaces.map((space) => mapped(space, { bytes: 256 * PAGE, object, shared: true, rights: READ }));
  const ns = quickest(
    20,
    () => {
      for (const [at, space] of spaces.entries())
        for (let page = 0; page < 256; page++) space.fault((places[at] ?? 0) + page * PAGE, READ + USER);
    },
    () => {
      if (vmm.reclaim(256) < 200) throw new Error("the pages do not leave");
    },
  );
  return ns / 256;
}

/** A range of so many page tables, one page of each in a frame, appears in another space through the same tables. */
function sharingOf(tables: number): number {
  const vmm = plainRig(4096);
  const object = vmm.createAnonymous(tables * TRANSFER_UNIT);
  const space = spaceOf(vmm);
  const at = mapped(space, { bytes: tables * TRANSFER_UNIT, alignment: TRANSFER_UNIT, object, shared: true });
  for (let page = 0; page < tables; page++) space.fault(at + page * TRANSFER_UNIT, WRITE + USER);
  return quickest(
    20,
    () => spaceOf(vmm),
    (other) => {
      if (space.share(at, tables * TRANSFER_UNIT, other, at) !== at) throw new Error("not shared");
    },
    (other) => {
      other.destroy();
    },
  );
}

/** Nanoseconds a page for which so many writable pages become read-only at once. */
function protectionOf(pages: number): number {
  const space = spaceOf(bareRig(pages + 4096));
  const at = mapped(space, { bytes: pages * PAGE });
  const ns = quickest(
    pages > 100_000 ? 4 : 15,
    () => {
      space.protect(at, pages * PAGE, READ + WRITE);
      for (let page = 0; page < pages; page++) space.fault(at + page * PAGE, WRITE + USER);
    },
    () => {
      if (space.protect(at, pages * PAGE, READ) !== "ok") throw new Error("not protected");
    },
  );
  return ns / pages;
}

/** Pages that are moved at a time. */
const MOVED = 500;

/** A page goes to another frame, the bytes aside, where so many pages are in frames and each is mapped by so many spaces. */
function migrationOf(pages: number, sharers: number): number {
  const vmm = bareRig(pages + 4096);
  const object = vmm.createAnonymous(pages * PAGE);
  const spaces = Array.from({ length: sharers }, () => spaceOf(vmm));
  const places = spaces.map((space) => mapped(space, { bytes: pages * PAGE, object, shared: true }));
  for (const [index, space] of spaces.entries())
    for (let page = 0; page < pages; page++) space.fault((places[index] ?? 0) + page * PAGE, WRITE + USER);
  const step = Math.floor(pages / MOVED);
  const { pfn } = vmm.core.pages;
  const ns = quickest(
    20,
    () => Array.from({ length: MOVED }, (_, at) => pfn[object.pages.get(at * step)]!),
    (frames) => {
      for (const frame of frames) if (typeof vmm.migrator.vacate(frame) !== "number") throw new Error("not moved");
    },
  );
  return ns / MOVED;
}

/** Measures each size, the smallest once before to warm up; every figure beside that of the smallest. */
function grow(
  sizes: readonly [number, ...number[]],
  what: (size: number) => string,
  measure: (size: number) => number,
): void {
  measure(sizes[0]);
  const base = measure(sizes[0]);
  for (const size of sizes)
    figure("vmm growth", what(size), size === sizes[0] ? base : measure(size), "ns", ["the smallest", base]);
}

eachAlone(import.meta.url, {
  spaces: () => {
    grow([1, 100, 1000], (size) => `fault, spaces: ${size}`, faultAmong);
  },
  regions: () => {
    grow([1, 100, 1000, 10_000], (size) => `fault, regions: ${size}`, faultAmongRegions);
  },
  pages: () => {
    grow([1000, 10_000, 100_000], (size) => `clone, pages: ${size}`, cloneOf);
  },
  tables: () => {
    grow([8, 64, 512], (size) => `sharing, tables: ${size}`, sharingOf);
  },
  protection: () => {
    grow([1000, 10_000, 100_000, 1_000_000], (size) => `protect, a page of ${size}`, protectionOf);
  },
  migration: () => {
    grow(
      [1000, 10_000, 100_000, 1_000_000],
      (size) => `migration, pages in frames: ${size}`,
      (size) => migrationOf(size, 1),
    );
  },
  "migration of shared pages": () => {
    grow(
      [1, 4, 16, 64],
      (size) => `migration, sharers: ${size}`,
      (size) => migrationOf(1000, size),
    );
  },
  sharers: () => {
    grow([1, 4, 16, 64], (size) => `eviction, sharers: ${size}`, evictionWith);
  },
});
