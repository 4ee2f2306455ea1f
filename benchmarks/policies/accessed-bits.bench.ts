/**
 * Which policy a memory manager should use by default: faults with accessed bits alone (harvested in batches, the victim's
 * looked at), as geometric means over all traces and sizes, against OPT and exact LRU and, in the worst cell, against
 * exact CLOCK. Cells of less than 64 frames count in the means only.
 *
 *     node --conditions=@pagewright/source --import tsx benchmarks/policies/accessed-bits.bench.ts [--json] [policy…]
 */
import { policies, simulate, simulateAccessedBits } from "@pagewright/vmm/policies";
import type { AccessedBitOptions } from "@pagewright/vmm/policies";
import { decodePageTrace, readInput, STORE } from "pagewright";
import { recordedTraces } from "../../packages/cli/bench/traces.ts";

const PERCENTS = [10, 25, 50, 75];
const SMALL_CELL = 64;

const MODES: Readonly<Record<string, AccessedBitOptions>> = {
  "harvest and look": {},
  "harvest alone": { look: false },
  "look alone": { harvest: false },
  "harvest and look, TLB left stale": { staleTlb: true },
};

interface Sum {
  cells: number;
  logOpt: number;
  logLru: number;
  worstClock: number;
  scannedPerFault: number;
}

function requestsOf(records: Uint32Array): Uint32Array {
  const kept = records.filter((record, i) => i === 0 || record >>> 2 !== (records[i - 1] ?? 0) >>> 2);
  return kept.map((record) => (record >>> 2) * 2 + ((record & 3) === STORE ? 1 : 0));
}

const named = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const names = named.length > 0 ? named : Object.keys(policies).filter((name) => name !== "opt");
const sums = new Map<string, Sum>();

for (const path of recordedTraces("")) {
  const trace = decodePageTrace(readInput(path), path);
  const requests = requestsOf(trace.records);
  const slots = trace.vpns.length;
  for (const percent of PERCENTS) {
    const frames = Math.floor((slots * percent) / 100);
    const exact = (name: string): number => {
      const policy = policies[name]?.({ slots, frames, requests });
      if (policy === undefined) throw new Error(`no policy ${name}`);
      return simulate(policy, requests, slots, frames).faults;
    };
    const opt = exact("opt");
    const lru = exact("lru");
    const clock = exact("clock");
    for (const name of names)
      for (const [mode, options] of Object.entries(MODES)) {
        const policy = policies[name]?.({ slots, frames, requests: new Uint32Array() });
        if (policy === undefined) throw new Error(`no policy ${name}`);
        const { faults, scanned } = simulateAccessedBits(policy, requests, slots, frames, options);
        const key = `${name}, ${mode}`;
        const sum = sums.get(key) ?? { cells: 0, logOpt: 0, logLru: 0, worstClock: 0, scannedPerFault: 0 };
        sum.cells++;
        sum.logOpt += Math.log(faults / opt);
        sum.logLru += Math.log(faults / lru);
        sum.scannedPerFault += scanned / faults;
        if (frames >= SMALL_CELL) sum.worstClock = Math.max(sum.worstClock, faults / clock);
        sums.set(key, sum);
      }
  }
}

const rows = [...sums].map(([key, sum]) => ({
  key,
  opt: Math.exp(sum.logOpt / sum.cells),
  lru: Math.exp(sum.logLru / sum.cells),
  worstClock: sum.worstClock,
  scanned: sum.scannedPerFault / sum.cells,
}));
for (const { key, opt, lru, worstClock, scanned } of rows.sort((a, b) => a.opt - b.opt))
  console.log(
    `${key.padEnd(46)} ${opt.toFixed(4)} × OPT  ${lru.toFixed(4)} × LRU  worst ${worstClock.toFixed(3)} × CLOCK  ${scanned.toFixed(1)} entries a fault`,
  );
if (process.argv.includes("--json"))
  for (const { key, opt, lru, worstClock } of rows) {
    const figure = (metric: string, value: number, ratioTo: string): string =>
      JSON.stringify({
        bench: "accessed-bits",
        metric: `${key}: ${metric}`,
        value,
        unit: "ratio",
        ratioTo,
        ratio: value,
      });
    console.log(figure("faults", Number(opt.toFixed(4)), "OPT"));
    console.log(figure("faults", Number(lru.toFixed(4)), "exact LRU"));
    console.log(figure("faults, worst cell", Number(worstClock.toFixed(4)), "exact CLOCK"));
  }
