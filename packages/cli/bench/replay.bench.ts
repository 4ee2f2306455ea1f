/**
 * Records per second of a replay, checking included, in a process of its own each: fully resident, at half the memory with compressed swap,
 * and at a quarter with a swap file. The naive twin makes the same accesses to one flat array, unchecked.
 *
 *   node --conditions=@pagewright/source --import tsx bench/replay.bench.ts [TRACE] [--json]
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { DEFAULT_TRACE } from "../src/data.ts";
import { readInput } from "../src/files.ts";
import { decodePageTrace, STORE } from "../src/page-trace.ts";
import type { ReplayReport } from "../src/replay/report.ts";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const ROUNDS = 5;
const VARIANTS: readonly (readonly [metric: string, ...options: string[]])[] = [
  ["resident", "--ram", "100%"],
  ["half the memory, compressed swap", "--ram", "50%", "--swap", "compressed,file"],
  ["a quarter of the memory, swap file", "--ram", "25%"],
];

const [path = DEFAULT_TRACE] = process.argv.slice(2).filter((word) => word !== "--json");
const asJson = process.argv.includes("--json");

function recordsPerSecond(options: readonly string[]): number {
  const args = ["--conditions=@pagewright/source", "--import", "tsx", MAIN, "replay", path, ...options, "--json"];
  const run = spawnSync(process.execPath, args, { encoding: "utf8" });
  const report = JSON.parse(run.stdout) as ReplayReport;
  if (report.mismatches > 0 || !report.audit.ok) throw new Error(`the replay failed: ${run.stderr}`);
  return report.recordsPerSecond;
}

/** The same accesses to a flat array: what no memory manager can be faster than. */
function flatRecordsPerSecond(): number {
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

const flat = best(flatRecordsPerSecond);
for (const [metric, ...options] of VARIANTS) {
  const value = best(() => recordsPerSecond(options));
  const figure = {
    bench: "replay",
    metric,
    value,
    unit: "records/s",
    ratioTo: "a flat array, unchecked",
    ratio: value / flat,
  };
  console.log(
    asJson
      ? JSON.stringify(figure)
      : `${metric}: ${(value / 1e6).toFixed(1)} M records/s, ${(value / flat).toFixed(3)} of a flat array`,
  );
}
