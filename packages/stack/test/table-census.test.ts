import {
  attributes,
  Mapper,
  MODE_4_LEVEL,
  NO_FRAME,
  RIGHT_READ,
  RIGHT_USER,
  RIGHT_WRITE,
} from "@pagewright/x86-paging";
import type { Pfn } from "@pagewright/x86-paging";
import { describe, expect, test } from "vitest";
import { TableCensus } from "../src/audit/table-census.ts";
import type { Leaf } from "../src/audit/table-census.ts";

const FRAMES = 32;
const words = new Uint32Array(FRAMES * 1024);
let next = 0;
const memory = { words: () => words, base: (pfn: Pfn) => pfn * 1024 };
const frames = { take: (): Pfn => (next < FRAMES ? next++ : NO_FRAME), give: () => undefined };
const mapper = Mapper.create({ mode: MODE_4_LEVEL, memory, frames });
if (!(mapper instanceof Mapper)) throw new Error("no frame for the root");

mapper.map(-1, 1, 0x1234, attributes({ write: true }));
mapper.map(512, 512, 512, attributes({ user: true }));
mapper.map(3, 2, 7, attributes({ write: true, user: true }));

describe("a census of tables", () => {
  test("finds every leaf with its page number, size and rights, the upper half negative", () => {
    const leaves: Leaf[] = [];
    const census = new TableCensus(memory, MODE_4_LEVEL);
    census.walk(mapper.root, (leaf) => leaves.push(leaf));
    const shape = leaves.map(({ vpn, pages, pfn, rights, level }) => ({ vpn, pages, pfn, rights, level }));
    expect(shape).toEqual([
      { vpn: 3, pages: 1, pfn: 7, rights: RIGHT_READ | RIGHT_WRITE | RIGHT_USER, level: 1 },
      { vpn: 4, pages: 1, pfn: 8, rights: RIGHT_READ | RIGHT_WRITE | RIGHT_USER, level: 1 },
      { vpn: 512, pages: 512, pfn: 512, rights: RIGHT_READ | RIGHT_USER, level: 2 },
      { vpn: -1, pages: 1, pfn: 0x1234, rights: RIGHT_READ | RIGHT_WRITE, level: 1 },
    ]);
  });

  test("counts every table once per reference, and does not follow a recursive slot", () => {
    words[511 * 2 - 2] = mapper.root * 4096 + 3;
    const census = new TableCensus(memory, MODE_4_LEVEL);
    census.walk(mapper.root, () => undefined);
    words[511 * 2 - 2] = 0;
    expect(census.recursiveSlots).toBe(1);
    expect([...census.tables.values()]).toEqual([1, 1, 1, 1, 1, 1, 1]);
    expect(census.tables.size).toBe(next);
  });

  test("walks one half alone", () => {
    const census = new TableCensus(memory, MODE_4_LEVEL);
    const vpns: number[] = [];
    census.walk(mapper.root, ({ vpn }) => vpns.push(vpn), 256);
    expect(vpns).toEqual([-1]);
  });
});
