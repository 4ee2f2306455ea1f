/**
 * What hints are worth: every shared allocation trace without hints, with the lifetimes that the trace knows (an oracle no program has), and with a
 * pool for each type (for each of the frequent sizes, which is what a trace knows of types). Run with the folder of the traces:
 *
 *     node --conditions=@pagewright/source --import tsx benchmarks/heap/hints.bench.ts FOLDER [--json]
 */
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

interface Result {
  readonly nsPerEvent: number | null;
  readonly overhead: number;
  readonly failed: string | null;
}

const MAIN = fileURLToPath(new URL("../../packages/cli/src/main.ts", import.meta.url));
const TYPE_POOLS = fileURLToPath(new URL("./hinted/type-pools.ts", import.meta.url));
const BASE = "general, no hints";
const VARIANTS: Readonly<Record<string, readonly string[]>> = {
  [BASE]: ["--allocator", "general"],
  "general, lifetimes": ["--allocator", "general", "--hints", "lifetime"],
  "a pool for each type": ["--allocator", TYPE_POOLS, "--hints", "type"],
};

const folder =
  process.argv.slice(2).find((word) => !word.startsWith("--"))
  ?? join(process.env["PAGEWRIGHT_INPUTS"] ?? ".", "heap-traces");
const isJson = process.argv.includes("--json");

function replay(file: string, options: readonly string[]): Result {
  const args = ["--conditions=@pagewright/source", "--import", "tsx", MAIN, "heap", file, ...options, "--json"];
  const out = execFileSync(process.execPath, args, { encoding: "utf8", maxBuffer: 2 ** 24 });
  const { results } = JSON.parse(out) as { readonly results: readonly Result[] };
  const [result] = results;
  if (result === undefined || result.nsPerEvent === null) throw new Error(`${file}: ${result?.failed ?? "no result"}`);
  return result;
}

const geomean = (values: readonly number[]): number =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);

const times = new Map<string, number[]>();
const overheads = new Map<string, number[]>();
for (const file of readdirSync(folder).filter((name) => name.endsWith(".bin.gz"))) {
  let base = 0;
  let baseOverhead = 0;
  for (const [name, options] of Object.entries(VARIANTS)) {
    const { nsPerEvent, overhead } = replay(join(folder, file), options);
    if (name === BASE) [base, baseOverhead] = [nsPerEvent ?? 0, overhead];
    times.set(name, [...(times.get(name) ?? []), (nsPerEvent ?? 0) / base]);
    overheads.set(name, [...(overheads.get(name) ?? []), overhead / baseOverhead]);
    if (!isJson)
      console.log(
        `${file.replace(".bin.gz", "").padEnd(20)} ${name.padEnd(22)} ${nsPerEvent ?? 0} ns, overhead ${overhead}`,
      );
  }
}
for (const [name, values] of times) {
  if (name === BASE) continue;
  const memory = geomean(overheads.get(name) ?? []);
  const lines = [
    { metric: `${name}: time an event`, value: geomean(values), unit: "ratio" },
    { metric: `${name}: footprint`, value: memory, unit: "ratio" },
  ];
  for (const line of lines)
    console.log(
      isJson
        ? JSON.stringify({ bench: "heap/hints", ...line, ratioTo: BASE, ratio: line.value })
        : `${line.metric}: ${line.value.toFixed(2)} x ${BASE}`,
    );
}
