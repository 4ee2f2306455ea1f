/**
 * Compressing single pages of real processes: ratio and time of each codec, each in a process of its own, every page
 * compared after its way there and back. Sizes above a page count as a page.
 *
 *     node --conditions=@pagewright/source --import tsx benchmarks/compress/compress.bench.ts [--json]
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { codecs, type Codec } from "./codecs.ts";
import { pageSets } from "./pages.ts";

const CHUNK = 128;
const ROUNDS = 7;
const CHUNKS = 8;

interface Row {
  readonly set: string;
  readonly same: number;
  readonly ratio: number;
  readonly compressNs: number;
  readonly expandNs: number;
}

/** Nanoseconds a page, the best of some rounds over a chunk. */
function fastest<T>(items: readonly T[], action: (item: T) => unknown): number {
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const started = performance.now();
    for (const item of items) action(item);
    best = Math.min(best, performance.now() - started);
  }
  return (best / items.length) * 1e6;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function measure(codec: Codec): Row[] {
  return pageSets().map(({ name, pages, same }) => {
    const packed = pages.map((page) => codec.compress(page).slice());
    packed.forEach((bytes, i) => {
      if (Buffer.compare(codec.expand(bytes), pages[i] ?? bytes) !== 0)
        throw new Error(`${name}: page ${String(i)} differs`);
    });
    const bytes = packed.reduce((sum, { length }) => sum + Math.min(length, 4096), 0);
    const step = Math.max(CHUNK, Math.floor(pages.length / CHUNKS));
    const starts = Array.from({ length: Math.floor((pages.length - CHUNK) / step) + 1 }, (_, i) => i * step);
    return {
      set: name,
      same,
      ratio: (pages.length * 4096) / bytes,
      compressNs: mean(starts.map((at) => fastest(pages.slice(at, at + CHUNK), (page) => codec.compress(page)))),
      expandNs: mean(starts.map((at) => fastest(packed.slice(at, at + CHUNK), (page) => codec.expand(page)))),
    };
  });
}

function measureApart(name: string): Row[] {
  const args = [...process.execArgv, fileURLToPath(import.meta.url), "--one", name];
  const child = spawnSync(process.execPath, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  return JSON.parse(child.stdout) as Row[];
}

const one = process.argv.indexOf("--one");
if (one >= 0) {
  const codec = await codecs[process.argv[one + 1] ?? ""]?.make();
  if (codec === undefined) throw new Error("no such codec");
  process.stdout.write(JSON.stringify(measure(codec)));
} else {
  const table = Object.entries(codecs).map(([name, { runs }]) => ({ name, runs, rows: measureApart(name) }));
  for (const { name, runs, rows } of table)
    for (const { set, ratio, compressNs, expandNs, same } of rows)
      console.log(
        `${name.padEnd(20)} ${set.padEnd(14)} ${ratio.toFixed(2).padStart(6)} : 1  ${compressNs.toFixed(0).padStart(7)} ns in  `
          + `${expandNs.toFixed(0).padStart(7)} ns out  (${(same * 100).toFixed(0)} % same-filled apart; ${runs})`,
      );
  if (process.argv.includes("--json")) {
    const base = table[0]?.rows ?? [];
    for (const { name, rows } of table)
      rows.forEach(({ set, ratio, compressNs, expandNs }, i) => {
        const figure = (metric: string, value: number, unit: string, to: number): string =>
          JSON.stringify({
            bench: "compress",
            metric: `${name}, ${set}: ${metric}`,
            value: Number(value.toFixed(2)),
            unit,
            ratioTo: "lz4 (Pagewright)",
            ratio: Number((value / to).toFixed(3)),
          });
        console.log(figure("ratio", ratio, "times smaller", base[i]?.ratio ?? ratio));
        console.log(figure("compress", compressNs, "ns a page", base[i]?.compressNs ?? compressNs));
        console.log(figure("expand", expandNs, "ns a page", base[i]?.expandNs ?? expandNs));
      });
  }
}
