/**
 * The full product of the traces whose name contains a word, or the cover of all (`cover`), without a test runner: one line a cell as it is done, in an order that mixes
 * traces, policies, tiers and sizes from the start; ends with the number of cells that failed.
 *
 *     PAGEWRIGHT_INPUTS=… node --conditions=@pagewright/source --import tsx packages/cli/test/slow/run-matrix.ts window
 */
import { readdirSync } from "node:fs";
import { replay } from "../../src/replay/replay.ts";
import { isClean } from "../../src/replay/report.ts";
import { removeTemporaryFolders } from "../../src/temporary.ts";
import { coveringCells, everyCell, nameOf, requestOf } from "./matrix.ts";

/** A prime: cells in a row differ in everything. */
const STRIDE = 487;

async function main(part: string): Promise<void> {
  const folder = `${process.env["PAGEWRIGHT_INPUTS"] ?? ""}/page-traces`;
  const traces = readdirSync(folder);
  const cells = part === "cover" ? coveringCells(traces) : everyCell(traces.filter((trace) => trace.includes(part)));
  let failed = 0;
  for (let number = 0; number < cells.length; number++) {
    const cell = cells[(number * STRIDE) % cells.length];
    if (cell === undefined) break;
    const began = performance.now();
    let verdict = "ok";
    try {
      const report = await replay(requestOf(cell, folder));
      if (!isClean(report) || report.pagesVerified !== report.pages)
        verdict = `FAILED ${report.mismatches} mismatches ${report.audit.problems.join("; ")}`;
    } catch (error) {
      verdict = `FAILED ${String(error)}`;
    }
    removeTemporaryFolders();
    if (verdict !== "ok") failed++;
    const seconds = (performance.now() - began) / 1000;
    console.log(`${number + 1}/${cells.length} ${nameOf(cell)}: ${verdict} (${seconds.toFixed(1)} s)`);
  }
  console.log(`${failed} of ${cells.length} failed`);
  if (failed > 0) process.exitCode = 1;
}

await main(process.argv[2] ?? "window");
