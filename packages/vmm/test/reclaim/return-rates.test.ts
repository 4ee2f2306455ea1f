import { describe, expect, test } from "vitest";

import { MemoryBacking, MemorySwap, PAGE_SIZE, PlainMemory, READ, SpaceMemory, Vmm } from "@pagewright/vmm";
import { CompressedPool } from "@pagewright/vmm/swap";

import { ReturnRates } from "../../src/reclaim/return-rates.ts";
import { spaceOf } from "../kit/rig.ts";

describe("files are preferred", () => {
  test("not before anything is known, and not for a few pages", () => {
    const rates = new ReturnRates();
    expect(rates.prefersFiles).toBe(false);
    rates.left(false);
    rates.returned(false);
    expect(rates.prefersFiles).toBe(false);
    rates.check();
  });

  test("while their pages come back less often, and no longer than that is so", () => {
    const rates = new ReturnRates();
    for (let page = 0; page < 100; page++) {
      rates.left(true);
      rates.left(false);
      if (page % 2 === 0) rates.returned(false);
    }
    expect(rates.prefersFiles).toBe(true);
    let pages = 0;
    for (; rates.prefersFiles && pages < 100_000; pages++) {
      rates.left(true);
      rates.returned(true);
    }
    expect(pages).toBeGreaterThan(50);
    expect(pages).toBeLessThan(10_000);
    rates.check();
  });
});

interface Mixed {
  readonly vmm: Vmm;
  readonly own: number;
  readonly file: number;
  readonly bytes: SpaceMemory;
}

const OWN_PAGES = 60;
const FILE_PAGES = 600;

/** A program with its own pages and a file that is larger than memory. */
function mixed(isCompressed: boolean): Mixed {
  const memory = new PlainMemory(200);
  const pool = new CompressedPool({ frames: memory, window: memory, limitFrames: 60, slots: 1000 });
  const vmm = new Vmm({
    frames: memory,
    window: memory,
    swap: [isCompressed ? pool : new MemorySwap(1000)],
    residentLimit: 64,
    readAhead: 0,
    faultAround: 1,
  });
  const space = spaceOf(vmm);
  const object = vmm.openFile(new MemoryBacking(FILE_PAGES * PAGE_SIZE));
  const own = Number(space.map({ bytes: OWN_PAGES * PAGE_SIZE }));
  const file = Number(space.map({ bytes: FILE_PAGES * PAGE_SIZE, object, rights: READ }));
  return { vmm, own, file, bytes: new SpaceMemory(space) };
}

/** Pages written to swap and read from the file while the program goes over its own pages, and over 20 of `pages` pages of the file in turn, again and again. */
function transfers(pages: number, isCompressed = false): { outs: number; reads: number; preferred: number } {
  const { vmm, own, file, bytes } = mixed(isCompressed);
  let at = 0;
  let preferred = 0;
  const round = (): void => {
    for (let page = 0; page < OWN_PAGES; page++) expect(bytes.store32(own + page * PAGE_SIZE, page)).toBe(true);
    for (let page = 0; page < 20; page++, at++) expect(bytes.load32(file + (at % pages) * PAGE_SIZE)).toBe(0);
    if (vmm.core.reclaimer.rates.prefersFiles) preferred++;
  };
  for (let rounds = 0; rounds < 25; rounds++) round();
  const { swapOuts, fileReads } = { ...vmm.stats };
  preferred = 0;
  for (let rounds = 0; rounds < 60; rounds++) round();
  vmm.check();
  return { outs: vmm.stats.swapOuts - swapOuts, reads: vmm.stats.fileReads - fileReads, preferred };
}

test("a file that is read through leaves before pages that have to be written", () => {
  const { outs, reads, preferred } = transfers(FILE_PAGES);
  expect([reads, preferred]).toEqual([60 * 20, 60]);
  expect(outs).toBeLessThan(150); // 212 by the policy alone.
});

test("pages of a file that are used again and again are not dropped before others", () => {
  const { outs, reads } = transfers(24);
  expect(outs).toBeLessThan(1650); // 1562 by the policy alone.
  expect(reads).toBeLessThan(720); // 661.
});

test("nor is any page of a file in place of one that nobody has to wait for: compressed memory is quicker than the file", () => {
  expect(transfers(FILE_PAGES, true).preferred).toBe(0);
});
