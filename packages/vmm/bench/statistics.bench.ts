/**
 * What statistics cost that are always on: demand-zero faults, the same with the counting taken out (the methods that count do nothing), and the counting alone.
 * And what is only paid for by who asks: a sample of all accessed bits, and a report, of spaces with many pages, beside the least that could tell as much: one look at the
 * entry of each page, with no counts kept.
 *
 * One process per variant: `--variant NAME`; without the option it runs all, each in a process of its own, three times in turn.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

import { PAGE_SIZE, PlainMemory, Vmm, WRITE } from "@pagewright/vmm";

import { fastest, report } from "./report.ts";

const PAGES = 4096;
const ROUNDS = 120;

/** A manager whose idle-page tracking, refault distances and counts of events do nothing. */
function withoutCounting(vmm: Vmm): void {
  const nothing = (): void => undefined;
  const { idleness, refaults, tally } = vmm.core;
  tally.fault = nothing;
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

/** The counting of one fault, alone: for system, space, region, node and policy, and one record of idleness and of refaults. */
function alone(): number {
  const memory = new PlainMemory(PAGES + 64);
  const vmm = new Vmm({ frames: memory, window: memory });
  const space = vmm.createSpace();
  const at = Number(space?.map({ bytes: PAGES * PAGE_SIZE }));
  const vpn = at / PAGE_SIZE;
  const region = space?.regions.find(vpn) ?? null;
  if (space?.populateNow(at, PAGES * PAGE_SIZE, WRITE) !== "ok") throw new Error("no space");
  const { tally, idleness, refaults } = vmm.core;
  return fastest(ROUNDS, () => {
    for (let page = 0; page < PAGES; page++) {
      tally.fault(space, region, vpn + page, "zero");
      idleness.insert(page & 1023);
      refaults.inserted(page & 1023, page);
    }
    return PAGES;
  });
}

/** Pages of the spaces that are asked about. */
const ASKED_PAGES = 16384;
const ASKED_SPACES = 4;

/** Nanoseconds a page that a question about four spaces, all of whose pages are in frames, takes. */
function asked(ask: (vmm: Vmm) => void): number {
  const memory = new PlainMemory(ASKED_PAGES + 64);
  const vmm = new Vmm({ frames: memory, window: { ...nowhere }, zeroFrame: false });
  for (let number = 0; number < ASKED_SPACES; number++) {
    const space = vmm.createSpace();
    if (space === null) throw new Error("no space");
    const bytes = (ASKED_PAGES / ASKED_SPACES) * PAGE_SIZE;
    const at = Number(space.map({ bytes }));
    for (let offset = 0; offset < bytes; offset += PAGE_SIZE) space.fault(at + offset, WRITE);
  }
  return fastest(ROUNDS, () => {
    ask(vmm);
    return ASKED_PAGES;
  });
}

/** The naive twin: the state of every entry, and which page it leads to. */
function look(vmm: Vmm): void {
  let pages = 0;
  for (const space of vmm.core.spaces.values())
    for (const region of space.regions.within(space.low, space.high))
      for (let vpn = region.start; vpn < region.end; vpn++)
        if (space.tables.query(vpn) !== 0 && vmm.core.frameMap.pageAt(space.tables.frame) >= 0) pages++;
  if (pages !== ASKED_PAGES) throw new Error("pages are missing");
}

const VARIANTS: Readonly<Record<string, () => number>> = {
  with: () => faults(true),
  without: () => faults(false),
  alone,
  sample: () =>
    asked((vmm) => {
      vmm.sampleAccesses();
    }),
  report: () =>
    asked((vmm) => {
      if (vmm.report().system.residentPages !== ASKED_PAGES) throw new Error("pages are missing");
    }),
  look: () => asked(look),
};
if (process.argv.includes("--variant"))
  process.stdout.write(String(VARIANTS[process.argv[process.argv.indexOf("--variant") + 1] ?? ""]?.()));
else {
  const best = new Map<string, number>();
  for (let turn = 0; turn < 3; turn++)
    for (const variant of Object.keys(VARIANTS)) {
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
  const line = (metric: string, value: number, variant = "without"): void => {
    const ratioTo = variant === "without" ? "fault with the counting taken out" : "one look at each entry";
    report([{ bench, metric, value, unit: "ns", ratioTo, ratio: value / cost(variant) }]);
  };
  line("fault, everything counted, nothing zeroed", cost("with"));
  line("fault, the counting taken out", cost("without"));
  line("the counting of a fault, alone", cost("alone"));
  line("a sample of accessed bits, for each page in a frame", cost("sample"), "look");
  line("a report of everything, for each page in a frame", cost("report"), "look");
  line("one look at the entry of each page", cost("look"), "look");
}
