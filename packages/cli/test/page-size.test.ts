import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { inUnits } from "../src/replay/page-size.ts";
import type { ReplayReport } from "../src/replay/report.ts";
import type { LayoutRegion } from "../src/replay/trace-layout.ts";
import { encodePageTrace } from "./page-trace-encoder.ts";
import { json, pagewright } from "./program.ts";

const folder = mkdtempSync(join(tmpdir(), "pagewright-test-"));
afterAll(() => rmSync(folder, { recursive: true }));

const region = (vpn: number, pages: number, stored: boolean, filePage = -1): LayoutRegion => ({
  firstPage: 0,
  pages,
  vpn,
  stored,
  fetched: !stored,
  filePage,
});

test("with --pages 2M neighbouring memory is mapped in units, and the file follows the addresses", () => {
  const regions = [
    region(1000, 10, true),
    region(1100, 5, true),
    region(1600, 1, false, 0),
    region(2000, 8, false, 1),
    region(4096, 1, true),
  ];
  const { mappings, regions: placed, filePages } = inUnits({ regions, mappings: regions, filePages: 9 });
  expect(mappings.map(({ vpn, pages, filePage }) => [vpn, pages, filePage])).toEqual([
    [512, 1024, -1],
    [1536, 512, 0],
    [4096, 512, -1],
  ]);
  expect(placed.map(({ filePage }) => filePage)).toEqual([-1, -1, 64, 464, -1]);
  expect(filePages).toBe(512);
});

/** Records of a program that goes over 2,000 pages of memory and 600 of code again and again. */
function largeTrace(): string {
  const vpns = Array.from({ length: 2600 }, (_, page) => (page < 600 ? 0x40000 + page : 0x80000 + page));
  const records = Array.from({ length: 8000 }, (_, at) => {
    const page = (at * 17) % 2600;
    return [page, page < 600 ? 0 : at % 3 === 0 ? 2 : 1, 1] as const;
  });
  const path = join(folder, "large.pgt");
  writeFileSync(path, encodePageTrace({ header: { name: "large" }, vpns, records }));
  return path;
}

test("2M pages save TLB misses, and every byte is right, in plenty of memory and in little", async () => {
  const trace = largeTrace();
  const run = (...options: string[]): Promise<ReplayReport> =>
    json<ReplayReport>(["replay", trace, "--tlb", "skylake", ...options]);
  const small = await run("--ram", "64M");
  const large = await run("--ram", "64M", "--pages", "2M");
  const tight = await run("--ram", "50%", "--pages", "2M");
  for (const { mismatches, audit } of [small, large, tight]) expect([mismatches, audit.problems]).toEqual([0, []]);
  expect(small.largePages).toMatchObject({ pages: "4K", faults: 0 });
  expect(large.largePages).toMatchObject({ pages: "2M", splits: 0 });
  expect(large.largePages.faults).toBeGreaterThan(4);
  expect(tight.largePages.fallbacks).toBeGreaterThan(0);
  const misses = ({ tlb }: ReplayReport): number => tlb.misses - tlb.kernelMisses;
  expect(misses(large)).toBeLessThan(misses(small) / 10);
});

test.each([
  ["--pages", "3M"],
  ["--tlb", "none"],
])("%s %s is bad usage", async (option, value) => {
  const run = await pagewright(["replay", option, value]);
  expect(run.code).toBe(2);
  expect(run.stderr).toContain(`${option} ${value}`);
});
