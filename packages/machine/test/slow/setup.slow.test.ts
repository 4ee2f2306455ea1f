import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

interface Figure {
  readonly metric: string;
  readonly value: number;
}

test("a machine of 1.5 TiB with 8 nodes takes less than 32 MiB of host memory", () => {
  const bench = fileURLToPath(new URL("../../bench/setup.bench.ts", import.meta.url));
  const options = ["--conditions=@pagewright/source", "--import", "tsx", bench, "--json"];
  const { status, stdout, stderr } = spawnSync(process.execPath, options, { encoding: "utf8" });
  expect(stderr).toBe("");
  expect(status).toBe(0);
  const figures = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Figure);
  const of = (metric: string): number => figures.find((figure) => figure.metric === metric)?.value ?? NaN;
  expect(of("resident set")).toBeLessThan(32);
  expect(of("heap of V8")).toBeLessThan(32);
  expect(of("host frames in use")).toBe(32);
});
