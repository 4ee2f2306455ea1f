import { readFileSync } from "node:fs";
import { defaultPolicy, simulateAccessedBits } from "@pagewright/vmm/policies";
import { withInputs } from "@pagewright/tooling/inputs";
import { expect, test } from "vitest";
import { readInput } from "../../src/files.ts";
import { decodePageTrace } from "../../src/page-trace.ts";

interface Reference {
  readonly traces: Readonly<
    Record<string, { readonly faults: Record<string, { frames: number; LRU: number; CLOCK: number }> }>
  >;
}

withInputs("the default policy on accessed bits", (dir) => {
  test("has at most 1.03 × exact LRU's faults on average and 1.25 × exact CLOCK's anywhere", () => {
    const { traces } = JSON.parse(readFileSync(`${dir}/page-traces-reference.json`, "utf8")) as Reference;
    const toLru: number[] = [];
    const toClock: number[] = [];
    for (const [name, { faults }] of Object.entries(traces)) {
      const { records, vpns } = decodePageTrace(readInput(`${dir}/page-traces/${name}.pgt.gz`), name);
      const requests = records.map((record) => (record >>> 2) * 2);
      for (const { frames, LRU, CLOCK } of Object.values(faults)) {
        const policy = defaultPolicy(vpns.length, frames);
        const run = simulateAccessedBits(policy, requests, vpns.length, frames);
        policy.check();
        toLru.push(run.faults / LRU);
        if (frames >= 64) toClock.push(run.faults / CLOCK);
      }
    }
    const mean = Math.exp(toLru.reduce((sum, ratio) => sum + Math.log(ratio), 0) / toLru.length);
    expect(mean).toBeLessThan(0.99);
    expect(Math.max(...toClock)).toBeLessThan(1.25);
  });
});
