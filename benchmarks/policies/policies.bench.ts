/**
 * Exact simulation of replacement policies: requests per second, warm, decoding apart, each policy in a process of its
 * own. The naive twin is LRU on a JavaScript Map. Traces: all `long` ones of PAGEWRIGHT_INPUTS, else the one shipped with
 * the command; memory 25 % of the pages.
 *
 *     node --conditions=@pagewright/source --import tsx benchmarks/policies/policies.bench.ts [--json]
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { policies, simulate } from "@pagewright/vmm/policies";
import { decodePageTrace, readInput, STORE } from "pagewright";
import { recordedTraces } from "../../packages/cli/bench/traces.ts";

/** Time of this process alone, so that others on the machine do not count. */
const MEASURE_MS = 120;

interface Figure {
  readonly policy: string;
  /** Geometric mean and minimum over the traces. */
  readonly mean: number;
  readonly least: number;
}

function mapLruFaults(requests: Uint32Array, frames: number): number {
  const stack = new Map<number, boolean>();
  let faults = 0;
  for (const request of requests) {
    const page = request >>> 1;
    const dirty = stack.get(page);
    if (dirty === undefined) {
      faults++;
      if (stack.size === frames) for (const [oldest] of stack) if (stack.delete(oldest)) break;
    } else stack.delete(page);
    stack.set(page, dirty === true || (request & 1) === 1);
  }
  return faults;
}

function processorMs(): number {
  return process.cpuUsage().user / 1000;
}

/** Requests per second over at least MEASURE_MS, after a run to warm up. */
function speedOf(name: string, path: string): number {
  const trace = decodePageTrace(readInput(path), path);
  const slots = trace.vpns.length;
  const merged: number[] = [];
  for (const record of trace.records) {
    const store = (record & 3) === STORE ? 1 : 0;
    const last = merged[merged.length - 1] ?? -1;
    if (last >>> 1 === record >>> 2) merged[merged.length - 1] = last | store;
    else merged.push((record >>> 2) * 2 + store);
  }
  const requests = Uint32Array.from(merged);
  const frames = Math.floor(slots / 4);
  const run = (): unknown => {
    const factory = policies[name];
    if (factory === undefined) return mapLruFaults(requests, frames);
    return simulate(factory({ slots, frames, requests }), requests, slots, frames);
  };
  run();
  const started = processorMs();
  let runs = 0;
  let elapsed: number;
  do {
    run();
    runs++;
    elapsed = processorMs() - started;
  } while (elapsed < MEASURE_MS);
  return ((requests.length * runs) / elapsed) * 1000;
}

function measure(policy: string): Figure {
  const speeds = recordedTraces(".long.").map((path) => speedOf(policy, path));
  const mean = Math.exp(speeds.reduce((sum, speed) => sum + Math.log(speed), 0) / speeds.length);
  return { policy, mean, least: Math.min(...speeds) };
}

function measureApart(policy: string): Figure {
  const args = [...process.execArgv, fileURLToPath(import.meta.url), "--one", policy];
  const child = spawnSync(process.execPath, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  return JSON.parse(child.stdout) as Figure;
}

const one = process.argv.indexOf("--one");
if (one >= 0) process.stdout.write(JSON.stringify(measure(process.argv[one + 1] ?? "")));
else {
  const figures = ["map-lru", ...Object.keys(policies)].map(measureApart);
  const naive = figures[0]?.mean ?? 1;
  for (const { policy, mean, least } of figures)
    console.log(
      `${policy.padEnd(12)} ${(mean / 1e6).toFixed(1).padStart(7)} M/s mean  ${(least / 1e6).toFixed(1).padStart(7)} M/s least`,
    );
  if (process.argv.includes("--json"))
    for (const { policy, mean, least } of figures) {
      const round = (value: number): number => Math.round(value / 1e5) / 10;
      const common = { bench: "policies", unit: "M requests/s", ratioTo: "LRU on a Map" };
      console.log(
        JSON.stringify({ ...common, metric: policy, value: round(mean), ratio: round((mean / naive) * 1e6) }),
      );
      console.log(
        JSON.stringify({
          ...common,
          metric: `${policy}, slowest trace`,
          value: round(least),
          ratio: round((least / naive) * 1e6),
        }),
      );
    }
}
