/**
 * Every shared allocation trace on our allocators beside AssemblyScript's TLSF and walloc, each in a process of its own, and beside the native
 * allocators that are installed. What runs is the command as it is published, in plain node, so `npm run build` comes first and the peers' adapters are compiled here: what
 * compiles sources as they are loaded detaches buffers, after which V8 asks of every access to a typed array whether its buffer is still there. Run with the folder of the traces:
 *
 *     node --conditions=@pagewright/source --import tsx benchmarks/heap/heap.bench.ts FOLDER [--passes=N] [--only=general,tlsf] [--json]
 *
 * A process may stand badly in the caches of a machine that it shares, for as long as it lives and up to 1.6 times slower than the next one. So each
 * trace goes N times (3) over all allocators in turn, and the fastest of each counts.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

import { buildSync } from "esbuild";

interface Result {
  readonly allocator: string;
  readonly nsPerEvent: number | null;
  readonly overhead: number;
  readonly failed: string | null;
}

const MAIN = fileURLToPath(new URL("../../packages/cli/dist/main.js", import.meta.url));
/** The compiled adapter of a peer. */
function peer(name: string): string {
  const outfile = fileURLToPath(new URL(`../node_modules/.cache/peers/${name}.mjs`, import.meta.url));
  buildSync({
    entryPoints: [fileURLToPath(new URL(`./peers/${name}.ts`, import.meta.url))],
    outfile,
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    target: "es2023",
  });
  return outfile;
}
const ASSEMBLYSCRIPT = peer("assemblyscript");
const option = (name: string, otherwise: string): string =>
  process.argv.find((word) => word.startsWith(`--${name}=`))?.slice(name.length + 3) ?? otherwise;
const PASSES = Number(option("passes", "3"));
const ONLY = option("only", "");
const SUBJECTS =
  ONLY === ""
    ? ["general", "tlsf", "offset", "buddy", ASSEMBLYSCRIPT, peer("walloc")]
    : [...ONLY.split(","), ASSEMBLYSCRIPT];
const NATIVE: Readonly<Record<string, string>> = {
  "native glibc": "",
  "native mimalloc": "/usr/lib/x86_64-linux-gnu/libmimalloc.so.2.0",
  "native jemalloc": "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2",
};

const folder =
  process.argv.slice(2).find((word) => !word.startsWith("--"))
  ?? join(process.env["PAGEWRIGHT_INPUTS"] ?? ".", "heap-traces");
const isJson = process.argv.includes("--json");
const scratch = mkdtempSync(join(tmpdir(), "pagewright-bench-"));
const program = join(scratch, "replay");
const hasCompiler =
  spawnSync("cc", ["-O2", "-o", program, fileURLToPath(new URL("./native/replay.c", import.meta.url))]).status === 0;

function replay(file: string): Result[] {
  const args = [MAIN, "heap", file, "--allocator", SUBJECTS.join(","), "--json"];
  // It ends with 1 where one of several has failed, as walloc does whose memory does not grow.
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: "utf8", maxBuffer: 2 ** 24 });
  if (status !== 0 && status !== 1) throw new Error(stderr);
  return (JSON.parse(stdout) as { readonly results: readonly Result[] }).results.map((result) => ({
    ...result,
    allocator: result.allocator.replace(/^.*\/(\w+)\.mjs$/, "$1"),
  }));
}

function replayNative(file: string): Result[] {
  if (!hasCompiler || ONLY !== "") return [];
  const input = gunzipSync(readFileSync(file));
  return Object.entries(NATIVE)
    .filter(([, library]) => library === "" || existsSync(library))
    .map(([allocator, library]) => {
      const out = execFileSync(program, { input, encoding: "utf8", env: { LD_PRELOAD: library } });
      return { allocator, nsPerEvent: Number(out), overhead: 0, failed: null };
    });
}

/** The fastest of several passes, by allocator. */
function fastest(passes: readonly (readonly Result[])[]): Result[] {
  const best = new Map<string, Result>();
  for (const result of passes.flat()) {
    const before = best.get(result.allocator);
    if (before === undefined || (result.nsPerEvent ?? Infinity) < (before.nsPerEvent ?? Infinity))
      best.set(result.allocator, result);
  }
  return [...best.values()];
}

const geomean = (values: readonly number[]): number =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >>> 1] ?? 0;

const ratios = new Map<string, number[]>();
const overheads = new Map<string, number[]>();
for (const name of readdirSync(folder).filter((file) => file.endsWith(".bin.gz"))) {
  const file = join(folder, name);
  const results = fastest(Array.from({ length: PASSES }, () => [...replay(file), ...replayNative(file)]));
  const base = results.find(({ allocator }) => allocator === "assemblyscript")?.nsPerEvent ?? null;
  const cells = results.map(({ allocator, nsPerEvent, overhead }) => {
    if (nsPerEvent === null) return `${allocator} -`;
    if (base !== null) ratios.set(allocator, [...(ratios.get(allocator) ?? []), nsPerEvent / base]);
    if (overhead > 0) overheads.set(allocator, [...(overheads.get(allocator) ?? []), overhead]);
    return `${allocator} ${nsPerEvent.toFixed(1)} (${overhead.toFixed(2)})`;
  });
  if (!isJson) console.log(`${name.replace(".bin.gz", "").padEnd(20)} ${cells.join("  ")}`);
}
rmSync(scratch, { recursive: true });
for (const [allocator, values] of ratios) {
  const metric = `${allocator}: time, geometric mean of ${String(values.length)} traces`;
  const ratio = geomean(values);
  const line = {
    bench: "heap/traces",
    metric,
    value: ratio,
    unit: "x",
    ratioTo: "AssemblyScript TLSF",
    ratio,
    worst: Math.max(...values),
  };
  const memory = overheads.get(allocator) ?? [];
  console.log(
    isJson
      ? JSON.stringify({ ...line, overheadMedian: median(memory), overheadWorst: Math.max(...memory, 0) })
      : `${metric}: ${ratio.toFixed(2)} x AssemblyScript, worst ${Math.max(...values).toFixed(2)}; overhead median ${median(memory).toFixed(3)}, worst ${Math.max(...memory, 0).toFixed(3)}`,
  );
}
