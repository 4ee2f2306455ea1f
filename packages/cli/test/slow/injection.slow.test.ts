import { readdirSync } from "node:fs";
import { EXECUTE, MemorySwap, PlainMemory, READ, SeededRandom, Vmm, WRITE, type AddressSpace } from "@pagewright/vmm";
import { withInputs } from "@pagewright/tooling/inputs";
import { expect, test } from "vitest";
import { REAL_PAGES } from "../../src/data.ts";
import { readInput } from "../../src/files.ts";
import { decodePageTrace, type PageTrace } from "../../src/page-trace.ts";
import { PageContents } from "../../src/replay/page-contents.ts";
import { TracedProgram } from "../../src/replay/traced-program.ts";
import {
  Coin,
  FlakyFile,
  FlakyFrames,
  FlakyLateSwap,
  FlakySwap,
  FlakyTables,
  LeapingClock,
  StubbornProgram,
} from "./injection.ts";

/** Records of each program: enough to turn its memory over many times. */
const RECORDS = 300_000;
const SLICE = 5000;
/** Seeds; with each one of how many writes a store that answers later rejects, 0: there is none. */
const SEEDS = [
  [1, 20],
  [2, 0],
  [3, 1],
  [4, 0],
] as const;

function mapAll(vmm: Vmm, space: AddressSpace, program: TracedProgram, coin: Coin): void {
  const file = vmm.openFile(new FlakyFile(program.fileBytes(), coin));
  for (const { vpn, pages, stored, fetched, filePage } of program.layout.regions) {
    const rights = READ + (stored ? WRITE : 0) + (fetched ? EXECUTE : 0);
    const place = { address: vpn * 4096, bytes: pages * 4096, placement: "fixed-new", rights } as const;
    coin.off = true;
    expect(space.map(stored ? place : { ...place, object: file, offset: filePage * 4096 })).toBe(vpn * 4096);
    coin.off = false;
  }
}

/** Runs the programs together on ports that fail, and proves that every byte is where it belongs. */
async function runTogether(traces: readonly PageTrace[], seed: number, lateOdds: number): Promise<Coin> {
  const coin = new Coin(seed);
  const pages = traces.reduce((sum, { vpns }) => sum + vpns.length, 0);
  const frames = Math.floor(pages / 8);
  const memory = new PlainMemory(frames + 2048);
  const first = lateOdds > 0 ? new FlakyLateSwap(pages, coin, lateOdds) : new FlakySwap(pages, coin);
  const vmm = new Vmm({
    frames: new FlakyFrames(memory, coin),
    window: memory,
    tables: new FlakyTables(coin),
    swap: [first, new FlakySwap(2 * pages, coin), new MemorySwap(2 * pages)],
    residentLimit: frames,
    clock: new LeapingClock(coin),
    random: new SeededRandom(seed + 100),
  });
  const contents = new PageContents(readInput(REAL_PAGES));
  const running = traces.map((trace, number) => {
    const program = new TracedProgram(trace, contents, number * 77 + seed);
    const space = vmm.createSpace();
    if (space === null) throw new Error("no space");
    mapAll(vmm, space, program, coin);
    return { program, space, stubborn: new StubbornProgram(space, program) };
  });
  while (running.some(({ program }) => !program.done)) {
    for (const { stubborn } of running) await stubborn.run(SLICE);
    vmm.background(coin.below(16));
    vmm.idle(coin.below(4));
  }
  vmm.check();
  for (const { stubborn } of running) await stubborn.verify();
  await vmm.settled();
  vmm.check();
  expect(running.map(({ program }) => program.mismatches)).toEqual(traces.map(() => 0));
  expect(running.reduce((sum, { stubborn }) => sum + stubborn.retries, 0)).toBeGreaterThan(10);
  for (const { space } of running) space.destroy();
  for (const object of [...vmm.core.objects.values()]) object.close();
  vmm.close();
  await new Promise((resolve) => setImmediate(resolve));
  vmm.check();
  expect(memory.freeFrames).toBe(memory.totalFrames);
  expect(vmm.swapTiers().map(({ used }) => used)).toEqual([0, 0, 0]);
  return coin;
}

/** Transfers of stores that failed in all runs: some programs have too few pages in swap for one in each. */
const failedTransfers = new Map([
  ["swap", 0],
  ["late swap", 0],
  ["swap reads", 0],
  ["late swap reads", 0],
]);

withInputs("recorded programs on ports that fail", (dir) => {
  const names = readdirSync(`${dir}/page-traces`).filter((name) => name.includes(".window."));
  const load = (name: string): PageTrace => {
    const trace = decodePageTrace(readInput(`${dir}/page-traces/${name}`), name);
    const from = Math.max(0, Math.floor((trace.records.length - RECORDS) / 2));
    return { ...trace, records: trace.records.subarray(from, from + RECORDS) };
  };
  const cases = SEEDS.flatMap(([seed, odds]) =>
    names.map((name, at) => [name, names[(at + seed) % names.length] ?? name, seed, odds] as const),
  );
  test.each(cases)("%s and %s, seed %i: no load finds anything but what was stored", async (one, other, seed, odds) => {
    const { failures } = await runTogether([load(one), load(other)], seed, odds);
    for (const port of failedTransfers.keys())
      failedTransfers.set(port, (failedTransfers.get(port) ?? 0) + (failures.get(port) ?? 0));
    for (const port of ["frames", "tables", "file", "clock"])
      expect({ port, failed: (failures.get(port) ?? 0) > 0 }).toEqual({ port, failed: true });
  });

  test("stores failed reads and writes, and had the pages the next time", () => {
    for (const [port, failures] of failedTransfers)
      expect({ port, failed: failures > 0 }).toEqual({ port, failed: true });
  });
});
