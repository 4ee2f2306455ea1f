import { readFileSync } from "node:fs";
import { withInputs } from "@pagewright/tooling/inputs";
import { expect, test } from "vitest";
import { json } from "../program.ts";

interface Document {
  readonly requests: number;
  readonly pages: number;
  readonly results: readonly {
    readonly percent: number;
    readonly frames: number;
    readonly faults: Readonly<Record<string, number>>;
    readonly writebacks: Readonly<Record<string, number>>;
  }[];
}

withInputs("policies --json equals the reference", (dir) => {
  const { traces } = JSON.parse(readFileSync(`${dir}/page-traces-reference.json`, "utf8")) as {
    traces: Record<string, { requests: number; pages: number; faults: Record<string, Record<string, unknown>> }>;
  };
  const exact = ["OPT", "LRU", "FIFO", "CLOCK", "CLOCK0", "ARC", "2Q", "SIEVE"];
  test.each(Object.keys(traces))("%s", async (name) => {
    const names = exact.map((policy) => policy.toLowerCase()).join(",");
    const document = await json<Document>(["policies", `${dir}/page-traces/${name}.pgt.gz`, "--policies", names]);
    const reference = traces[name];
    expect(document).toMatchObject({ requests: reference?.requests, pages: reference?.pages });
    for (const { percent, frames, faults, writebacks } of document.results) {
      const cell = reference?.faults[String(percent)] ?? {};
      expect(frames).toBe(cell["frames"]);
      for (const policy of exact) expect([policy, faults[policy.toLowerCase()]]).toEqual([policy, cell[policy]]);
      for (const [policy, count] of Object.entries(cell["writebacks"] as Record<string, number>))
        expect([policy, writebacks[policy.toLowerCase()]]).toEqual([policy, count]);
    }
  });
});
