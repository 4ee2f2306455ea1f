/**
 * TLB misses of real programs in 4K pages and in 2M pages, on the TLBs of several processors; memory has room for all pages of either size.
 * Traces: those named, else the `window` ones of PAGEWRIGHT_INPUTS, else the one shipped with the command.
 *
 *   node --conditions=@pagewright/source --import tsx bench/large-pages.bench.ts [TRACE…] [--json]
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { TLB_NAMES } from "../src/replay/page-size.ts";
import type { ReplayReport } from "../src/replay/report.ts";
import { recordedTraces } from "./traces.ts";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const words = process.argv.slice(2).filter((word) => word !== "--json");
const traces = words.length === 0 ? recordedTraces(".window.") : words;
const asJson = process.argv.includes("--json");

function replayed(trace: string, tlb: string, pages: string): ReplayReport {
  const args = ["--conditions=@pagewright/source", "--import", "tsx", MAIN];
  const options = ["replay", trace, "--ram", "1G", "--tlb", tlb, "--pages", pages, "--json"];
  const run = spawnSync(process.execPath, [...args, ...options], { encoding: "utf8", maxBuffer: 2 ** 26 });
  const report = JSON.parse(run.stdout) as ReplayReport;
  if (report.mismatches > 0 || !report.audit.ok) throw new Error(`the replay failed: ${run.stderr}`);
  return report;
}

const missesOf = ({ tlb }: ReplayReport): number => tlb.misses - tlb.kernelMisses;

for (const trace of traces)
  for (const tlb of TLB_NAMES.filter((name) => name !== "roomy")) {
    const [small, large] = [replayed(trace, tlb, "4K"), replayed(trace, tlb, "2M")];
    const figure = {
      bench: "large-pages",
      metric: `TLB misses of ${small.trace} on ${tlb}, 2M pages`,
      value: missesOf(large),
      unit: "misses",
      ratioTo: "4K pages",
      ratio: missesOf(large) / missesOf(small),
    };
    if (asJson) console.log(JSON.stringify(figure));
    else
      console.log(
        `${small.trace.padEnd(20)} ${tlb.padEnd(11)} ${String(missesOf(small)).padStart(8)} → ${String(missesOf(large)).padStart(6)} misses, `
          + `× ${figure.ratio.toFixed(3)}; ${large.largePages.faults} 2M pages; kernel ${small.tlb.kernelMisses} → ${large.tlb.kernelMisses}`,
      );
  }
