/**
 * What statistics cost that are always on: demand-zero faults, the same with the counting taken out (the methods that count do nothing), and the counting alone.
 * One process per variant: `--variant with|without|alone`; without the option it runs all three, each in a process of its own, three times in turn.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

import { PAGE_SIZE, PlainMemory, Vmm, WRITE } from "@pagewright/vmm";

import { fastest, report } from "./report.ts";

const PAGES = 4096;
const ROUNDS = 120;

/** A manager whose idle-page tracking, refault distances and fault counters do nothing. */
function withoutCounting(vmm: Vmm): void {
  const nothing = (): void => undefined;
  const { idleness, refaults } = vmm.core;
  idleness.insert = nothing;
  idleness.remove = nothing;
  refaults.inserted = () => -1;
  refaults.forget = nothing;
}

function faults(counted: boolean): number {
  const memory = new PlainMemory(PAGES + 64);
  const vmm = new Vmm({ frames: memory, window: { ...nowhere }, zeroFrame: false });
  if (!counted) withoutCounting(vmm);
  const space = vmm.createSpace();
  if (space === null) throw new Error("no space");
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const at = Number(space.map({ bytes: PAGES * PAGE_SIZE }));
    const start = performance.now();
    for (let page = 0; page < PAGES; page++) space.fault(at + page * PAGE_SIZE, WRITE);
    best = Math.min(best, ((performance.now() - start) * 1e6) / PAGES);
    space.unmap(at, PAGES * PAGE_SIZE);
  }
  return best;
}

/** No bytes are touched: the cost of zeroing would hide everything else. */
const nowhere = { read: nothing, write: nothing, copy: nothing, zero: nothing };

function nothing(): void {
  return;
}

/** The counting of one fault, alone: two counters, and one record of idleness and of refaults. */
function alone(): number {
  const memory = new PlainMemory(64);
  const vmm = new Vmm({ frames: memory, window: memory });
  const { stats, idleness, refaults } = vmm.core;
  return fastest(ROUNDS, () => {
    for (let page = 0; page < PAGES; page++) {
      stats.minorFaults++;
      stats.zeroFaults++;
      idleness.insert(page & 1023);
      refaults.inserted(page & 1023, page);
    }
    return PAGES;
  });
}

const VARIANTS = ["with", "without", "alone"] as const;
const chosen = process.argv[process.argv.indexOf("--variant") + 1];
if (process.argv.includes("--variant"))
  process.stdout.write(String(chosen === "alone" ? alone() : faults(chosen === "with")));
else {
  const best = new Map<string, number>();
  for (let turn = 0; turn < 3; turn++)
    for (const variant of VARIANTS) {
      const { stdout } = spawnSync(
        process.execPath,
        [...process.execArgv, fileURLToPath(import.meta.url), "--variant", variant],
        {
          encoding: "utf8",
        },
      );
      best.set(variant, Math.min(best.get(variant) ?? Infinity, Number(stdout)));
    }
  const cost = (variant: string): number => best.get(variant) ?? NaN;
  const bench = "vmm/statistics";
  const line = (metric: string, value: number): void => {
    report([
      {
        bench,
        metric,
        value,
        unit: "ns",
        ratioTo: "fault with the counting taken out",
        ratio: value / cost("without"),
      },
    ]);
  };
  line("fault, everything counted, nothing zeroed", cost("with"));
  line("fault, the counting taken out", cost("without"));
  line("the counting of a fault, alone", cost("alone"));
}
