/** Rates of everything at once: against what each fault was seen to do, by region, space, object, node and policy. */
import { describe, expect, test } from "vitest";

import {
  ManualClock,
  MemoryBacking,
  MemorySwap,
  PAGE_SIZE,
  PlainMemory,
  READ,
  SeededRandom,
  SpaceMemory,
  Vmm,
  WRITE,
  isResolved,
  type AddressSpace,
  type Events,
  type FaultOutcome,
} from "@pagewright/vmm";

import { spaceOf } from "../kit/rig.ts";

const FRAMES = 64;
const nodeOf = (pfn: number): number => (pfn < FRAMES / 2 ? 0 : 1);
const PAGES = 24;
const BASE = 2 ** 30;
const REGION_BYTES = 2 ** 22;

const KINDS: Readonly<Partial<Record<FaultOutcome, readonly (keyof Events)[]>>> = {
  zero: ["minorFaults", "zeroFaults"],
  minor: ["minorFaults"],
  major: ["majorFaults"],
  copy: ["minorFaults", "copyFaults"],
  spurious: ["spuriousFaults"],
};

/** Counts by what they are of, one by one. */
class Oracle {
  readonly #counts: Map<string, Map<string, number>> = new Map();

  add(of: string, name: string, count = 1): void {
    const counts = this.#counts.get(of) ?? new Map<string, number>();
    counts.set(name, (counts.get(name) ?? 0) + count);
    this.#counts.set(of, counts);
  }

  of(of: string, name: string): number {
    return this.#counts.get(of)?.get(name) ?? 0;
  }
}

describe("what happens is counted for everything that it happens to", () => {
  for (const seed of [1, 2, 3, 4])
    test(`seed ${seed}`, () => {
      const clock = new ManualClock();
      const memory = new PlainMemory(FRAMES);
      const random = new SeededRandom(seed);
      const pick = (bound: number): number => random.uint32() % bound;
      const vmm = new Vmm({
        frames: memory,
        window: memory,
        swap: [new MemorySwap(512)],
        residentLimit: 40,
        readAhead: 0,
        faultAround: 1,
        clock,
        nodeOf,
        currentNode: () => 0,
      });
      const objects = [vmm.openFile(new MemoryBacking(PAGES * PAGE_SIZE)), vmm.createAnonymous(PAGES * PAGE_SIZE)];
      const spaces = [spaceOf(vmm), spaceOf(vmm)];
      for (const space of spaces)
        for (let area = 0; area < 4; area++)
          space.map({
            address: BASE + area * REGION_BYTES,
            placement: "fixed",
            bytes: PAGES * PAGE_SIZE,
            locked: area === 3 ? "touched" : "none",
            ...(area === 1 ? { object: objects[0], shared: false } : {}),
            ...(area === 2 ? { object: objects[1], shared: true } : {}),
          });
      const meters = vmm.rateMeters();
      const oracle = new Oracle();
      for (let step = 0; step < 1200; step++) {
        const space = spaces[pick(2)];
        if (space === undefined) throw new Error("no space");
        const area = pick(step % 4 === 0 ? 5 : 3); // The locked one now and then, or where no region is.
        const address = BASE + area * REGION_BYTES + pick(area === 3 ? 4 : PAGES) * PAGE_SIZE;
        const { swapIns, fileReads } = vmm.stats;
        const access = pick(2) === 0 ? READ : WRITE;
        const outcome = space.fault(address, access);
        const fetched = vmm.stats.swapIns + vmm.stats.fileReads - swapIns - fileReads;
        const page = pageUnder(space, address);
        const of = ["system", `space ${space.asid}`];
        if (area < 4) of.push(`space ${space.asid} region ${area}`);
        if (area === 1 || area === 2) of.push(`object ${objects[area - 1]?.number ?? NaN}`);
        of.push(page < 0 ? "node -1" : `node ${nodeOf(vmm.core.pages.frameOf(page))}`);
        if (area < 3) of.push("policy");
        for (const each of of) for (const name of KINDS[outcome] ?? ["failedFaults"]) oracle.add(each, name);
        for (const each of [`space ${space.asid}`, `space ${space.asid} region ${area}`, "policy"])
          oracle.add(each, "pagesFetched", fetched);
        if (access === WRITE && isResolved(outcome)) expect(new SpaceMemory(space).store32(address, step)).toBe(true); // No fault of its own.
      }
      clock.advance(500_000_000);
      const { system, policy, spaces: bySpace, objects: byObject, nodes, seconds } = meters.sample();
      expect(seconds).toBe(0.5);
      const faults = [
        "minorFaults",
        "majorFaults",
        "zeroFaults",
        "copyFaults",
        "spuriousFaults",
        "failedFaults",
      ] as const;
      const same = (of: string, rates: Readonly<Events>, names: readonly (keyof Events)[]): void => {
        for (const name of names)
          expect({ of, name, count: rates[name] / 2 }).toEqual({ of, name, count: oracle.of(of, name) });
      };
      same("system", system, faults);
      same("policy", policy, [...faults, "pagesFetched"]);
      for (const { node, ...rates } of nodes) same(`node ${node}`, rates, faults);
      for (const { number, ...rates } of byObject) same(`object ${number}`, rates, faults);
      for (const { asid, regions, ...rates } of bySpace.filter((space) => space.regions.length > 0)) {
        same(`space ${asid}`, rates, [...faults, "pagesFetched"]);
        expect(regions.length).toBe(4);
        for (const [area, region] of regions.entries())
          same(`space ${asid} region ${area}`, region, [...faults, "pagesFetched"]);
      }
      const sum = (of: readonly Readonly<Events>[], name: keyof Events): number =>
        of.reduce((total, rates) => total + rates[name], 0);
      for (const name of ["pagesFetched", "pagesWritten", "evictions"] as const) {
        expect(system[name]).toBeGreaterThan(100);
        expect(sum(nodes, name)).toBe(system[name]);
        // A page of the file that was only ever copied was nowhere when it leaves.
        if (name === "evictions") expect(sum(bySpace, name)).toBeGreaterThan(0.9 * system[name]);
        else expect(sum(bySpace, name)).toBe(system[name]);
        for (const { regions, ...space } of bySpace) expect(sum(regions, name)).toBe(space[name]);
        expect(policy[name]).toBe(system[name]); // What is locked never leaves.
      }
      expect(meters.sample()).toMatchObject({ seconds: 0, system: { minorFaults: 0 } });
      clock.advance(1_000_000_000);
      expect(meters.sample().system).toMatchObject({ minorFaults: 0, evictions: 0 });
      vmm.check();
    });
});

/** The page under the translation of an address; −1: none, or the frame of zeroes. */
function pageUnder(space: AddressSpace, address: number): number {
  const isMapped = space.tables.query(address / PAGE_SIZE) !== 0;
  return isMapped ? space.vmm.core.frameMap.pageAt(space.tables.frame) : -1;
}

test("the region whose pages leave has the evictions and writes, the one that takes their frames the faults", () => {
  const clock = new ManualClock();
  const memory = new PlainMemory(64);
  const vmm = new Vmm({ frames: memory, window: memory, swap: [new MemorySwap(64)], residentLimit: 16, clock });
  const space = spaceOf(vmm);
  const bytes = new SpaceMemory(space);
  const fill = (at: number): void => {
    for (let page = 0; page < 16; page++) bytes.store32(at + page * PAGE_SIZE, page + 1);
  };
  const old = Number(space.map({ bytes: 16 * PAGE_SIZE, address: BASE, placement: "fixed" }));
  fill(old);
  const meters = vmm.rateMeters();
  const young = Number(space.map({ bytes: 16 * PAGE_SIZE, address: BASE + 2 ** 24, placement: "fixed" }));
  fill(young);
  clock.advance(1e9);
  const sample = meters.sample();
  expect(
    space
      .usageText(sample)
      .replace(/ +/g, " ")
      .match(/(evictions|minorFaults) .*/g),
  ).toEqual(["minorFaults 0.0 /s", "evictions 16.0 /s", "minorFaults 16.0 /s", "evictions 0.0 /s"]);
  expect(sample.spaces.find(({ asid }) => asid === space.asid)?.regions).toMatchObject([
    { start: old, minorFaults: 0, evictions: 16, pagesWritten: 16, pagesFetched: 0 },
    { start: young, minorFaults: 16, evictions: 0, pagesWritten: 0, pagesFetched: 0 },
  ]);
});

test("a region that is cut goes on counting, and its other part begins anew", () => {
  const clock = new ManualClock();
  const memory = new PlainMemory(64);
  const vmm = new Vmm({ frames: memory, window: memory, clock });
  const space = spaceOf(vmm);
  const bytes = new SpaceMemory(space);
  const at = Number(space.map({ bytes: 16 * PAGE_SIZE }));
  for (let page = 0; page < 16; page++) bytes.store8(at + page * PAGE_SIZE, 1);
  const meters = vmm.rateMeters();
  space.protect(at + 8 * PAGE_SIZE, 8 * PAGE_SIZE, READ);
  expect(bytes.store8(at + 9 * PAGE_SIZE, 1)).toBe(false);
  clock.advance(1e9);
  const [lower, upper] = meters.sample().spaces.find(({ asid }) => asid === space.asid)?.regions ?? [];
  expect([lower?.failedFaults, upper?.failedFaults]).toEqual([0, 1]);
  expect([lower?.zeroFaults, upper?.zeroFaults]).toEqual([0, 0]);
});
