import { readdirSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { withInputs } from "@pagewright/tooling/inputs";
import { parseRamSize } from "../../src/ram-size.ts";
import { replay } from "../../src/replay/replay.ts";
import type { ReplayReport } from "../../src/replay/report.ts";
import { DEFAULT_MAP } from "../../src/data.ts";
import { removeTemporaryFolders } from "../../src/temporary.ts";
import { coveringCells, everyCell, nameOf, POLICIES, requestOf, SIZES, TIERS } from "./matrix.ts";

/** Set to 1, all combinations are replayed: hours. */
const full = process.env["PAGEWRIGHT_FULL_MATRIX"] === "1";

afterEach(removeTemporaryFolders);

function expectSound(report: ReplayReport): void {
  expect(report).toMatchObject({ mismatches: 0, audit: { ok: true, problems: [] }, pagesVerified: report.pages });
  for (const store of report.swapStores)
    expect(store).toMatchObject({ failedReads: 0, failedWrites: 0, mismatches: 0, fenced: false });
}

withInputs("every recorded program replays without a mismatch, and the audit is clean", (dir) => {
  const folder = `${dir}/page-traces`;
  const traces = readdirSync(folder);
  const cells = full ? everyCell(traces) : coveringCells(traces);
  test.each(cells.map((cell) => [nameOf(cell), cell] as const))("%s", async (_, cell) => {
    expectSound(await replay(requestOf(cell, folder)));
  });

  const windows = traces.filter((trace) => trace.includes(".window."));
  // As the numbers of sizes and of tiers have no common divisor, each size meets each of the tiers in turn.
  const together = [
    ...TIERS.map((tiers) => [null, tiers] as const),
    ...POLICIES.map((policy, turn) => [policy, TIERS[turn % TIERS.length] ?? []] as const),
  ].map(([policy, swap], turn) => [SIZES[turn % SIZES.length] ?? "", policy, turn, swap] as const);
  test.each(together)("four of them together on four processors in %s (%s, %i)", async (size, policy, turn, swap) => {
    const four = [0, 1, 2, 3].map((at) => `${folder}/${windows[(turn + at) % windows.length] ?? ""}`);
    const ram = parseRamSize(size);
    const report = await replay({ traces: four, map: DEFAULT_MAP, ram, policy, swap, swapFolder: null, cpus: 4 });
    expectSound(report);
  });
});
