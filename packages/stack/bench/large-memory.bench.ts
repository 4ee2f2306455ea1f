/**
 * Random loads over 1 GiB of real bytes through a processor, in 4K, 2M and 1G pages: TLB misses and host time. One process per page size. The naive twin is the
 * same loads on 4K pages.
 *
 *   node --conditions=@pagewright/source --import tsx bench/large-memory.bench.ts [--json]
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { SKYLAKE_TLB, ZEN2_TLB, physicalMapFromJson } from "@pagewright/machine";
import { PAGE_1G, PAGE_2M, READ, WRITE } from "@pagewright/vmm";
import { createStack } from "../src/index.ts";

const BYTES: number = PAGE_1G;
const LOADS = 1_000_000;
const SIZES = ["4K", "2M", "1G"] as const;
const TLBS = [SKYLAKE_TLB, ZEN2_TLB];

interface Run {
  readonly pages: string;
  readonly tlb: string;
  readonly misses: number;
  readonly nanoseconds: number;
  readonly fillMilliseconds: number;
  readonly leaves: number;
}

/** Fills 1 GiB and loads from it at random. */
function measure(pages: string, geometry: (typeof TLBS)[number]): Run {
  const map = physicalMapFromJson({ entries: [{ base: 0, length: 3 * 2 ** 30, type: 1 }] });
  const stack = createStack({ map, translationBuffers: geometry });
  const space = stack.vmm.createSpace();
  if (space === null) throw new Error("no space");
  const begun = performance.now();
  const size = pages === "1G" ? { pageSize: PAGE_1G } : { alignment: PAGE_1G };
  const at = space.map({ bytes: BYTES, rights: READ + WRITE, ...size });
  if (typeof at !== "number") throw new Error(at);
  if (pages === "2M") space.advise(at, BYTES, "large");
  const cpu = stack.enter(space);
  for (let page = 0; page < BYTES / 4096; page++) cpu.store32(at + page * 4096 + 64, page);
  const fillMilliseconds = performance.now() - begun;
  const before = cpu.stats().dataMisses;
  let state = 2463534242;
  let wrong = 0;
  const started = performance.now();
  for (let load = 0; load < LOADS; load++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const page = state & (BYTES / 4096 - 1);
    if (cpu.load32(at + page * 4096 + 64) !== page) wrong++;
  }
  const nanoseconds = ((performance.now() - started) * 1e6) / LOADS;
  if (wrong > 0) throw new Error(`${wrong} loads were wrong`);
  const leaf = stack.tables.large.pagesAt(space.tables as never, at / 4096) * 4096;
  if (leaf !== { "4K": 4096, "2M": PAGE_2M, "1G": PAGE_1G }[pages]) throw new Error(`pages of ${leaf} bytes`);
  const misses = cpu.stats().dataMisses - before;
  return { pages, tlb: geometry.name, misses, nanoseconds, fillMilliseconds, leaves: BYTES / leaf };
}

const [, , only, name] = process.argv;
if (only === "run") {
  const [pages, tlb] = (name ?? "").split("/");
  const geometry = TLBS.find((each) => each.name === tlb);
  if (geometry !== undefined) console.log(JSON.stringify(measure(pages ?? "", geometry)));
} else {
  const self = fileURLToPath(import.meta.url);
  for (const { name: tlb } of TLBS) {
    const runs = SIZES.map((pages) => {
      const args = ["--conditions=@pagewright/source", "--import", "tsx", self, "run", `${pages}/${tlb}`];
      return JSON.parse(spawnSync(process.execPath, args, { encoding: "utf8" }).stdout) as Run;
    });
    const base = runs[0];
    for (const run of runs) {
      if (base === undefined) continue;
      if (process.argv.includes("--json"))
        for (const [metric, value, unit, ratio] of [
          [`misses of ${LOADS} loads over 1 GiB, ${run.pages}, ${tlb}`, run.misses, "misses", run.misses / base.misses],
          [`load over 1 GiB, ${run.pages}, ${tlb}`, run.nanoseconds, "ns", run.nanoseconds / base.nanoseconds],
          [
            `filling 1 GiB, ${run.pages}, ${tlb}`,
            run.fillMilliseconds,
            "ms",
            run.fillMilliseconds / base.fillMilliseconds,
          ],
        ] as const)
          console.log(JSON.stringify({ bench: "large-memory", metric, value, unit, ratioTo: "4K pages", ratio }));
      else
        console.log(
          `${tlb.padEnd(8)} ${run.pages}: ${String(run.misses).padStart(8)} misses in ${LOADS} loads (× ${(run.misses / base.misses).toFixed(4)}), `
            + `${run.nanoseconds.toFixed(0)} ns a load (× ${(run.nanoseconds / base.nanoseconds).toFixed(2)}), filled in ${run.fillMilliseconds.toFixed(0)} ms`,
        );
    }
  }
}
