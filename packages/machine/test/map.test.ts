import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  badFramesOfText,
  firmwareMapFromJson,
  firmwareMapOf,
  LAYER,
  PhysicalMap,
  sanitiseEntries,
  summariseMap,
  traitsOf,
} from "@pagewright/machine";
import type { MapSummary, RawEntry } from "@pagewright/machine";
import { withInputs } from "@pagewright/tooling/inputs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

const entry = (base: number | bigint, length: number | bigint, type = 1): RawEntry => ({
  base: BigInt(base),
  length: BigInt(length),
  type,
});

describe("sanitising", () => {
  test("sorts, cuts and merges; the higher type wins; every change is told", () => {
    const { entries, changes } = sanitiseEntries([
      entry(0x3000, 0x1000),
      entry(0x1000, 0x2000),
      entry(0x1800, 0x400, 2),
      entry(0x9000, 0),
      entry(0x2000, 0x1800, 7),
    ]);
    expect(entries).toEqual([
      { base: 0x1000, end: 0x1800, type: 1 },
      { base: 0x1800, end: 0x1c00, type: 2 },
      { base: 0x1c00, end: 0x2000, type: 1 },
      { base: 0x2000, end: 0x3800, type: 7 },
      { base: 0x3800, end: 0x4000, type: 1 },
    ]);
    expect(changes.map((change) => change.kind).toSorted()).toEqual([
      "empty",
      "overlap",
      "overlap",
      "overlap",
      "unaligned",
      "unaligned",
      "unsorted",
    ]);
  });

  test("usable memory that starts or ends inside a frame is told, with the bytes that are in no whole frame", () => {
    const { entries, changes } = sanitiseEntries([
      entry(0x800, 0x1000),
      entry(0x1800, 0x1800),
      entry(0x3000, 0x400),
      entry(0x3400, 0xc00, 2),
      entry(0x8100, 0x200),
    ]);
    expect(entries[0]).toEqual({ base: 0x800, end: 0x3400, type: 1 });
    expect(changes.map(({ kind, entry: at }) => [kind, at])).toEqual([
      ["unaligned", 0],
      ["unaligned", 2],
      ["unaligned", 4],
    ]);
    expect(changes[0]?.message).toBe(
      "entry 0 (usable) starts inside a frame, at 0x800: 2048 bytes are in no whole frame",
    );
    expect(changes[1]?.message).toContain("ends inside a frame, at 0x3400: 1024 bytes");
    expect(changes[2]?.message).toContain("starts inside a frame, at 0x8100: 512 bytes");
    expect(sanitiseEntries([entry(0, 0x1000), entry(0x1000, 0x800, 2)]).changes).toEqual([]);
  });

  test("a wrapping range is dropped when it claims to be RAM and cut when it does not", () => {
    const top = 2n ** 64n - 0x1000n;
    const { entries, changes } = sanitiseEntries([
      entry(0, 0x1000),
      entry(top, 0x2000n),
      entry(0x10000n, 2n ** 64n, 2),
    ]);
    expect(entries).toEqual([
      { base: 0, end: 0x1000, type: 1 },
      { base: 0x10000, end: 2 ** 52, type: 2 },
    ]);
    expect(changes.map((change) => change.kind)).toEqual(["wraps", "wraps"]);
  });

  test("property: every byte has the highest type that covers it, whatever the order", () => {
    const raw = fc.array(
      fc.record({ base: fc.nat(60), length: fc.nat(20), type: fc.constantFrom(1, 2, 3, 4, 5, 7, 12) }),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(raw, (list) => {
        const { entries } = sanitiseEntries(list.map(({ base, length, type }) => entry(base, length, type)));
        for (let byte = 0; byte < 90; byte++) {
          const wanted = list
            .filter((one) => byte >= one.base && byte < one.base + one.length)
            .reduce((most, one) => Math.max(most, one.type), 0);
          const got = entries.filter((one) => byte >= one.base && byte < one.end);
          expect(got.map((one) => one.type)).toEqual(wanted === 0 ? [] : [wanted]);
        }
      }),
      { seed: 3 },
    );
  });

  test("unreadable documents are refused with the place", () => {
    const refused =
      (json: unknown): (() => unknown) =>
      () =>
        firmwareMapFromJson(json);
    expect(refused([])).toThrow(/map: is not an object/);
    expect(refused({})).toThrow(/entries: is missing/);
    expect(refused({ entries: [{ base: "x", type: 1 }] })).toThrow(/entries\[0\]\.base/);
    expect(refused({ entries: [{ base: "0x10000000000000000", length: "0x1", type: 1 }] })).toThrow(
      /0x10000000000000000/,
    );
    expect(refused({ entries: [{ base: "0x0", length: "0x0", type: 1 }] })).toThrow(
      "The map has no entry with any bytes: entry 0 has no bytes and was dropped",
    );
  });
});

describe("the physical map", () => {
  test("a higher layer is seen until it is removed", () => {
    const map = new PhysicalMap(firmwareMapOf([entry(0, 0x100000)]));
    const node = map.overlay(0x4000, 0x5000, traitsOf("faulty", "test"), LAYER.faulty);
    expect(map.find(0x4800)?.kind).toBe("faulty");
    expect(map.frameRanges()).toEqual([{ start: 0, end: 256, node: 0, rank: 0, hotPluggable: false, faulty: [4] }]);
    map.check();
    expect(map.remove(node)).toBe(true);
    expect(map.find(0x4800)?.kind).toBe("ram");
    expect(map.remove(node)).toBe(false);
  });

  test("frame ranges are split by rank, and a faulty tail is not part of any", () => {
    const map = new PhysicalMap(firmwareMapOf([entry(0, 0x8000), entry(0x8000, 0x2000, 5)]));
    expect(map.frameRanges({ rankBytes: 0x4000 }).map(({ start, end, rank }) => [start, end, rank])).toEqual([
      [0, 4, 0],
      [4, 8, 1],
    ]);
  });
});

withInputs("all shared firmware maps", (dir) => {
  const reference = JSON.parse(readFileSync(join(dir, "maps-reference.json"), "utf8")) as Record<
    string,
    Record<string, unknown>
  >;
  const skipped = new Set(["mtrr", "realMtrr", "set", "of", "barsOverlappingEntries", "barsOverlappingRAM"]);
  test("there are seventeen of them", () => {
    expect(readdirSync(join(dir, "maps"))).toHaveLength(17);
  });
  for (const [key, expected] of Object.entries(reference))
    test(`${key}: the summary equals the reference`, () => {
      const [name, user] = key.split("#");
      const json: unknown = JSON.parse(readFileSync(join(dir, "maps", `${name ?? ""}.json`), "utf8"));
      const firmware = firmwareMapFromJson(json, { list: user === undefined ? "entries" : "userEntries" });
      const summary: MapSummary = summariseMap(firmware);
      const wanted = Object.fromEntries(Object.entries(expected).filter(([field]) => !skipped.has(field)));
      expect(summary).toEqual(wanted);
      const map = new PhysicalMap(firmware);
      map.check();
      expect(map.frameRanges().reduce((sum, range) => sum + range.end - range.start, 0)).toBe(summary.usablePages);
    });
});

test("a second map that is not listed is what the words in memoryParameters make of the first", () => {
  const json = {
    entries: [{ base: "0x0", end: "0x3ffffffff", type: 1 }],
    memoryParameters: ["memmap=8G!8G", "quiet"],
  };
  expect(firmwareMapFromJson(json, { list: "userEntries" }).entries).toEqual([
    { base: 0, end: 2 ** 33, type: 1 },
    { base: 2 ** 33, end: 2 ** 34, type: 12 },
  ]);
  const listed = { ...json, userEntries: [{ base: "0x0", length: "0x1000", type: 1 }] };
  expect(firmwareMapFromJson(listed, { list: "userEntries" }).entries).toEqual([{ base: 0, end: 4096, type: 1 }]);
  expect(() => firmwareMapFromJson({ entries: [] }, { list: "userEntries" })).toThrow("userEntries");
});

test("memory that two NUMA ranges name counts once, for the first", () => {
  const json = {
    entries: [{ base: "0x0", length: "0x400000", type: 1 }],
    srat: [
      { node: 0, base: "0x0", length: "0x200000" },
      { node: 0, base: "0x100000", length: "0x200000" },
      { node: 1, base: "0x200000", length: "0x200000" },
    ],
  };
  const map = firmwareMapFromJson(json);
  expect(map.affinity.map(({ node, base, end }) => [node, base, end])).toEqual([
    [0, 0, 0x200000],
    [0, 0x200000, 0x300000],
    [1, 0x300000, 0x400000],
  ]);
  expect(summariseMap(map).usablePagesByNode).toEqual({ 0: 0x300, 1: 0x100 });
  expect(new PhysicalMap(map).frameRanges().map(({ start, end, node }) => [start, end, node])).toEqual([
    [0, 0x300, 0],
    [0x300, 0x400, 1],
  ]);
});

test("what a memory test found bad is faulty in the map: listed within its range, or splitting it where it is much", () => {
  const affinity = [0, 1].map((node) => ({
    node,
    base: node * 2 ** 28,
    end: (node + 1) * 2 ** 28,
    hotPluggable: false,
    nonVolatile: false,
  }));
  const map = new PhysicalMap(firmwareMapOf([entry(0, 2 ** 29)], { affinity }));
  const log = `badram=0x00123000,0xfffff000,0x18690000,0xffff0000
Memory failure: 0x10001: recovery action for clean LRU page: Recovered
Memory failure: 0x999999: not in this machine
memmap=16M$0x1c000000`;
  const nodes = map.markFaulty(badFramesOfText(log, map.endOfRam()));
  expect(nodes).toHaveLength(4);
  map.check();
  const sixteen = Array.from({ length: 16 }, (_, at) => 0x18690 + at);
  expect(map.frameRanges()).toMatchObject([
    { start: 0, end: 0x10000, node: 0, faulty: [0x123] },
    { start: 0x10000, end: 0x1c000, node: 1, faulty: [0x10001, ...sixteen] },
    { start: 0x1d000, end: 0x20000, node: 1, faulty: [] },
  ]);
  for (const node of nodes) map.remove(node);
  expect(map.frameRanges().every(({ faulty }) => faulty.length === 0)).toBe(true);
});

test("overlapping entries are listed pair by pair, in a made-up map of thousands as many as a reader can use", () => {
  const few = [entry(0x5000, 0x2000), entry(0, 0x10000), entry(0x20000, 0x1000), entry(0x6000, 0), entry(0x6000, 1)];
  expect(summariseMap(firmwareMapOf(few)).overlaps).toEqual([
    [0, 1],
    [0, 3],
    [0, 4],
    [1, 3],
    [1, 4],
  ]);
  const many = Array.from({ length: 20_000 }, () => entry(0, 0x1000));
  expect(summariseMap(firmwareMapOf(many)).overlaps).toHaveLength(10_000);
});
