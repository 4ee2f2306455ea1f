import { readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { withInputs } from "@pagewright/tooling/inputs";
import type { ReplayReport } from "../../src/replay/report.ts";
import { json } from "../program.ts";

const SIZES = ["10%", "25%", "50%", "75%"];

withInputs("every recorded program replays at every size without a mismatch, and the audit is clean", (dir) => {
  const traces = readdirSync(`${dir}/page-traces`);
  const cases = traces.flatMap((trace) => SIZES.map((ram) => [trace, ram] as const));
  test.each(cases)("%s at %s", async (trace, ram) => {
    const report = await json<ReplayReport>(["replay", `${dir}/page-traces/${trace}`, "--ram", ram]);
    expect(report).toMatchObject({ mismatches: 0, audit: { ok: true, problems: [] }, pagesVerified: report.pages });
  });

  test("four of them together on four processors, with too little memory for all", async () => {
    const four = traces.filter((trace) => trace.includes(".window.")).slice(0, 4);
    const paths = four.map((trace) => `${dir}/page-traces/${trace}`);
    const report = await json<ReplayReport>(["replay", ...paths, "--cpus", "4", "--ram", "25%"]);
    expect(report).toMatchObject({ mismatches: 0, audit: { ok: true, problems: [] }, pagesVerified: report.pages });
  });
});
