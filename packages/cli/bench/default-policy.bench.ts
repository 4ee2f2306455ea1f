/**
 * The default policy inside the real manager, on real page tables with real accessed bits: its faults with all fetching ahead off, beside exact LRU and exact CLOCK on
 * the same records; and with prefetch and fault-around, and 2M pages too, the faults that wait for a store and the pages moved. Traces: all of PAGEWRIGHT_INPUTS, else the one shipped with the command;
 * 10, 25, 50 and 75 % of their pages.
 *
 *   node --conditions=@pagewright/source --import tsx bench/default-policy.bench.ts [part of a trace's name] [--json]
 */
import { Clock, Lru, simulate } from "@pagewright/vmm/policies";
import type { SimulatedPolicy } from "@pagewright/vmm/policies";
import { DEFAULT_MAP } from "../src/data.ts";
import { readInput } from "../src/files.ts";
import { decodePageTrace } from "../src/page-trace.ts";
import { framesOf, parseRamSizes } from "../src/ram-size.ts";
import type { RamSize } from "../src/ram-size.ts";
import { isClean } from "../src/replay/report.ts";
import type { ReplayReport } from "../src/replay/report.ts";
import { replay } from "../src/replay/replay.ts";
import type { ReplayRequest } from "../src/replay/set-up.ts";
import { removeTemporaryFolders } from "../src/temporary.ts";
import { recordedTraces } from "./traces.ts";

/** Below this many frames a cell is reported apart: one page more or less is a per cent or two. */
const FEW_FRAMES = 64;

const asJson = process.argv.includes("--json");
const part = process.argv.slice(2).find((word) => !word.startsWith("--")) ?? "";

async function replayed(
  trace: string,
  ram: RamSize,
  how: Pick<ReplayRequest, "prefetch" | "pages">,
): Promise<ReplayReport> {
  const request = { traces: [trace], map: DEFAULT_MAP, ram, policy: null, swap: ["file"], swapFolder: null, cpus: 1 };
  const report = await replay({ ...request, ...how });
  removeTemporaryFolders();
  if (!isClean(report)) throw new Error(`the replay failed: ${trace} ${ram.text}`);
  return report;
}

const meanOf = (ratios: readonly number[]): number =>
  Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);

/** Pages read for faults or ahead of them, and written. */
const movedBy = ({ faults, prefetched, writebacks }: ReplayReport): number => faults.major + prefetched + writebacks;

const toLru: number[] = [];
const toClock: number[] = [];
const toClockOfFew: number[] = [];
const waits: number[] = [];
const moved: number[] = [];
const waitsInLarge: number[] = [];
const movedInLarge: number[] = [];
for (const path of recordedTraces(part)) {
  const { records, vpns } = decodePageTrace(readInput(path), path);
  const requests = records.map((record) => (record >>> 2) * 2);
  for (const ram of parseRamSizes("10%,25%,50%,75%")) {
    const frames = framesOf(ram, vpns.length);
    const exact = (policy: SimulatedPolicy): number => simulate(policy, requests, vpns.length, frames).faults;
    const off = await replayed(path, ram, { prefetch: false });
    const on = await replayed(path, ram, { prefetch: true });
    const large = await replayed(path, ram, { prefetch: true, pages: "2M" });
    toLru.push(off.faults.total / exact(new Lru(vpns.length)));
    (frames < FEW_FRAMES ? toClockOfFew : toClock).push(off.faults.total / exact(new Clock(vpns.length, 1)));
    waits.push(on.faults.major / off.faults.major);
    moved.push(movedBy(on) / movedBy(off));
    waitsInLarge.push(large.faults.major / off.faults.major);
    movedInLarge.push(movedBy(large) / movedBy(off));
    if (!asJson)
      console.log(
        `${off.trace.padEnd(20)} ${ram.text.padStart(4)}: ${off.faults.total} faults, ${(toLru.at(-1) ?? 0).toFixed(3)} × LRU; `
          + `waits ${off.faults.major} → ${on.faults.major} with prefetch → ${large.faults.major} with 2M pages, `
          + `pages moved ${movedBy(off)} → ${movedBy(on)} → ${movedBy(large)}`,
      );
  }
}
const figures: readonly (readonly [metric: string, ratio: number, ratioTo: string])[] = [
  [`faults, geometric mean of ${toLru.length} cells`, meanOf(toLru), "exact LRU"],
  [`faults, worst cell of ${FEW_FRAMES} frames or more`, Math.max(...toClock), "exact CLOCK"],
  ...(toClockOfFew.length > 0
    ? [[`faults, worst cell of fewer frames`, Math.max(...toClockOfFew), "exact CLOCK"] as const]
    : []),
  ["prefetch and fault-around: faults that wait for a store", meanOf(waits), "both off"],
  ["prefetch and fault-around: pages moved", meanOf(moved), "both off"],
  ["2M pages too: faults that wait for a store", meanOf(waitsInLarge), "all off"],
  ["2M pages too: pages moved", meanOf(movedInLarge), "all off"],
];
for (const [metric, ratio, ratioTo] of figures)
  if (asJson)
    console.log(JSON.stringify({ bench: "default-policy", metric, value: ratio, unit: "ratio", ratioTo, ratio }));
  else console.log(`${metric}: ${ratio.toFixed(3)} × ${ratioTo}`);
