import { readFileSync } from "node:fs";
import { withInputs } from "@pagewright/tooling/inputs";
import { afterEach, expect, test } from "vitest";
import { DEFAULT_MAP } from "../../src/data.ts";
import { parseRamSize } from "../../src/ram-size.ts";
import { isClean } from "../../src/replay/report.ts";
import { replay } from "../../src/replay/replay.ts";
import { removeTemporaryFolders } from "../../src/temporary.ts";

interface Reference {
  readonly traces: Readonly<
    Record<string, { readonly faults: Record<string, { frames: number; LRU: number; CLOCK: number }> }>
  >;
}

afterEach(removeTemporaryFolders);

withInputs("the default policy in the manager, with the accessed bits of real page tables", (dir) => {
  test("has at most 1.03 × exact LRU's faults on average and 1.25 × exact CLOCK's anywhere", async () => {
    const { traces } = JSON.parse(readFileSync(`${dir}/page-traces-reference.json`, "utf8")) as Reference;
    const toLru: number[] = [];
    const toClock: number[] = [];
    for (const [name, { faults }] of Object.entries(traces))
      for (const { frames, LRU, CLOCK } of Object.values(faults)) {
        const report = await replay({
          traces: [`${dir}/page-traces/${name}.pgt.gz`],
          map: DEFAULT_MAP,
          ram: parseRamSize(`${frames}f`),
          policy: null,
          swap: ["file"],
          swapFolder: null,
          cpus: 1,
          prefetch: false,
        });
        expect(isClean(report)).toBe(true);
        expect(report.prefetched).toBe(0);
        toLru.push(report.faults.total / LRU);
        if (frames >= 64) toClock.push(report.faults.total / CLOCK);
      }
    const mean = Math.exp(toLru.reduce((sum, ratio) => sum + Math.log(ratio), 0) / toLru.length);
    expect(mean).toBeLessThan(1.03);
    expect(Math.max(...toClock)).toBeLessThan(1.25);
  });
});
