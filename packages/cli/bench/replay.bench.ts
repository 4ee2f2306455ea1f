/**
 * Records per second of a replay, checking included, in a process of its own each: fully resident, at half the memory with compressed swap,
 * and at a quarter with a swap file. The naive twin makes the same accesses to one flat array, unchecked. Traces: the `window` ones of PAGEWRIGHT_INPUTS, else the one
 * shipped with the command; the best of some rounds each.
 *
 *   node --conditions=@pagewright/source --import tsx bench/replay.bench.ts [part of a trace's name] [--json]
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { readInput } from "../src/files.ts";
import { decodePageTrace, STORE } from "../src/page-trace.ts";
import { isClean } from "../src/replay/report.ts";
import type { ReplayReport } from "../src/replay/report.ts";
import { recordedTraces } from "./traces.ts";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const ROUNDS = 3;
const VARIANTS: readonly (readonly [metric: string, ...options: string[]])[] = [
  ["resident", "--ram", "100%"],
  ["half the memory, compressed swap", "--ram", "50%", "--swap", "compressed,file"],
  ["a quarter of the memory, swap file", "--ram", "25%"],
];

const asJson = process.argv.includes("--json");
const part = process.argv.slice(2).find((word) => !word.startsWith("--")) ?? ".window.";

interface Run {
  readonly trace: string;
  readonly value: number;
  readonly ratio: number;
}

function replayed(path: string, options: readonly string[]): ReplayReport {
  const args = ["--conditions=@pagewright/source", "--import", "tsx", MAIN, "replay", path, ...options, "--json"];
  const run = spawnSync(process.execPath, args, { encoding: "utf8", maxBuffer: 2 ** 26 });
  const report = JSON.parse(run.stdout) as ReplayReport;
  if (!isClean(report)) throw new Error(`the replay failed: ${run.stderr}`);
  return report;
}

/** The same accesses to a flat array: what no memory manager can be faster than. */
function flatRecordsPerSecond(path: string): number {
  const { records, vpns } = decodePageTrace(readInput(path), path);
  const words = new Uint32Array(vpns.length * 1024);
  const started = performance.now();
  let sum = 0;
  for (let at = 0; at < records.length; at++) {
    const record = records[at]!;
    const word = (record >>> 2) * 1024 + (((at >>> 12) * 167) & 1023);
    if ((record & 3) === STORE) words[word] = at;
    else sum += words[word]!;
  }
  const seconds = (performance.now() - started) / 1000;
  return sum < 0 ? 0 : records.length / seconds;
}

function best(measure: () => number): number {
  return Math.max(...Array.from({ length: ROUNDS }, measure));
}

function print(metric: string, { value, ratio }: Run): void {
  const figure = { bench: "replay", metric, value, unit: "records/s", ratioTo: "a flat array, unchecked", ratio };
  console.log(
    asJson
      ? JSON.stringify(figure)
      : `${metric}: ${(value / 1e6).toFixed(1)} M records/s, ${ratio.toFixed(3)} of a flat array`,
  );
}

const flat = new Map(recordedTraces(part).map((path) => [path, best(() => flatRecordsPerSecond(path))]));
for (const [metric, ...options] of VARIANTS) {
  const runs = [...flat].map(([path, bare]): Run => {
    const reports = Array.from({ length: ROUNDS }, () => replayed(path, options));
    const value = Math.max(...reports.map(({ recordsPerSecond }) => recordsPerSecond));
    return { trace: reports[0]?.trace ?? "", value, ratio: value / bare };
  });
  for (const run of runs) print(`${metric}: ${run.trace}`, run);
}
