import { AddressClaims, firmwareMapOf, GIB, MIB, PhysicalMap, traitsOf, typeOfCacheability } from "@pagewright/machine";
import type { SpaceWish } from "@pagewright/machine";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ramMap } from "./fixtures.ts";

const SPACE = 256;

type Span = readonly [start: number, size: number];

const spans: fc.Arbitrary<Span[]> = fc.array(fc.tuple(fc.nat(SPACE - 1), fc.integer({ min: 1, max: 30 })), {
  maxLength: 6,
});

const windows = fc.tuple(fc.nat(SPACE), fc.nat(100)).map(([start, size]) => ({ start, end: start + size }));

const wishes = fc.record(
  {
    size: fc.integer({ min: 1, max: 48 }),
    above: fc.nat(SPACE / 2),
    below: fc.integer({ min: SPACE / 4, max: SPACE }),
    alignment: fc.constantFrom(1, 2, 4, 8, 32, 64, 128),
    within: fc.array(windows, { maxLength: 3 }),
    place: fc.constantFrom("lowest" as const, "highest" as const),
  },
  { requiredKeys: ["size", "above", "below"] },
);

/** Every base at which a wish fits, found by trying each, lowest first. */
function places(taken: readonly Span[], wish: SpaceWish & { above: number; below: number }): number[] {
  let alignment = wish.alignment ?? 1;
  while (wish.alignment === undefined && alignment < wish.size) alignment *= 2;
  const allowed = wish.within ?? [{ start: 0, end: SPACE }];
  return Array.from({ length: SPACE }, (_, base) => base).filter((base) => {
    const end = base + wish.size;
    const isFree = taken.every(([start, size]) => end <= start || base >= start + size);
    const isInside = allowed.some((window) => window.start <= base && end <= window.end);
    return base % alignment === 0 && base >= wish.above && end <= wish.below && isInside && isFree;
  });
}

describe("address space for devices", () => {
  test("property: a wish gets the lowest or the highest place between its bounds, aligned, in a window, and free", () => {
    let found = 0;
    fc.assert(
      fc.property(spans, wishes, (taken, wish) => {
        const map = new PhysicalMap(firmwareMapOf([]));
        for (const [start, size] of taken) map.overlay(start, start + size, traitsOf("reserved", "board"));
        const claims = new AddressClaims(map);
        const all = places(taken, wish);
        const wanted = (wish.place === "highest" ? all.at(-1) : all[0]) ?? -1;
        expect(claims.find(wish)).toBe(wanted);
        if (wanted < 0) return;
        found++;
        const claim = claims.allocate(wish, { owner: "nic" });
        expect([claim.start, claim.end]).toEqual([wanted, wanted + wish.size]);
        claims.check();
        const left = places([...taken, [wanted, wish.size]], wish);
        expect(claims.find(wish)).toBe((wish.place === "highest" ? left.at(-1) : left[0]) ?? -1);
        claims.release(claim);
        expect(claims.find(wish)).toBe(wanted);
        expect(claims.claims).toEqual([]);
      }),
      { seed: 23, numRuns: 300 },
    );
    expect(found).toBeGreaterThan(50);
  });

  test("without bounds a place is above 1 MiB and below 4 GiB, aligned to the size as a BAR is", () => {
    const claims = new AddressClaims(new PhysicalMap(firmwareMapOf([])));
    expect(claims.find({ size: 4096 })).toBe(MIB);
    expect(claims.find({ size: 3 * MIB })).toBe(4 * MIB);
    expect(claims.find({ size: 4096, place: "highest" })).toBe(4 * GIB - 4096);
    expect(claims.find({ size: 8 * GIB })).toBe(-1);
    expect(claims.find({ size: 8 * GIB, below: 2 ** 52 })).toBe(8 * GIB);
    expect(claims.find({ size: 4096, above: 4 * GIB, below: 5 * GIB, place: "highest" })).toBe(5 * GIB - 4096);
  });
});

describe("cacheability in the map", () => {
  test("memory is write-back and a device uncachable unless said otherwise; find, aliases and snapshots tell it", () => {
    const map = ramMap(16 * MIB);
    const claims = new AddressClaims(map);
    claims.claim(0xe0000000, 0x1000, { owner: "nic" });
    claims.claim(0xd0000000, 0x10000, { owner: "screen", cacheability: "write-combining" });
    const rom = map.overlay(0xf0000, 0x100000, traitsOf("rom", "bios", { cacheability: "write-protect" }));
    const home = 0xf0000;
    map.add({
      name: "top of 4 GiB",
      offset: 4 * GIB - 0x10000,
      size: 0x10000,
      priority: 0,
      traits: null,
      alias: { target: rom, from: 0, home },
      children: [],
    });
    const look = (): (string | undefined)[] =>
      [0x1000, 0xe0000000, 0xd000ffff, 0xd0010000, 0xf0000, 0xffffffff].map((at) => map.find(at)?.cacheability);
    const seen = ["write-back", "uncachable", "write-combining", undefined, "write-protect", "write-protect"];
    expect(look()).toEqual(seen);
    const state = map.saveState();
    expect(map.remove(rom)).toBe(true);
    expect(look()[4]).toBe("write-back");
    map.restoreState(state);
    expect(look()).toEqual(seen);
  });

  test.each([
    ["ram", "write-back"],
    ["rom", "write-back"],
    ["acpi", "write-back"],
    ["nvs", "write-back"],
    ["persistent", "write-back"],
    ["reserved", "write-back"],
    ["faulty", "write-back"],
    ["mmio", "uncachable"],
    ["absent", "uncachable"],
  ] as const)("%s is %s by default", (kind, cacheability) => {
    expect(traitsOf(kind, "board").cacheability).toBe(cacheability);
    expect(traitsOf(kind, "board", { cacheability: "write-through" }).cacheability).toBe("write-through");
  });

  test.each([
    ["write-back", "WB"],
    ["write-through", "WT"],
    ["write-combining", "WC"],
    ["write-protect", "WP"],
    ["uncachable", "UC"],
  ] as const)("%s is the memory type %s", (cacheability, type) => {
    expect(typeOfCacheability(cacheability)).toBe(type);
  });
});
