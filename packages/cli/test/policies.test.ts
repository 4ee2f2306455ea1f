import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { withInputs } from "@pagewright/tooling/inputs";
import { encodePageTrace } from "./page-trace-encoder.ts";
import { json, pagewright } from "./program.ts";

const TRACE = fileURLToPath(new URL("../data/sqlite-index.window.pgt.gz", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "pagewright-test-"));
afterAll(() => rmSync(folder, { recursive: true }));

interface Document {
  readonly trace: string;
  readonly requests: number;
  readonly pages: number;
  readonly results: readonly {
    readonly percent: number;
    readonly frames: number;
    readonly faults: Readonly<Record<string, number>>;
    readonly writebacks: Readonly<Record<string, number>>;
  }[];
}

function moduleWith(name: string, source: string): string {
  const path = join(folder, name);
  writeFileSync(path, source);
  return path;
}

test("a policy of one's own runs by its path, beside the optimum", async () => {
  const mine = moduleWith(
    "newest-first.mjs",
    `export default () => { const stack = []; return { insert: (s) => stack.push(s), accessed() {}, evict: () => stack.pop() }; }`,
  );
  const document = await json<Document>(["policies", TRACE, "--ram", "25%,1868f", "--policies", `opt,fifo,${mine}`]);
  expect(document).toMatchObject({ trace: "sqlite-index.window", requests: 6_233_668, pages: 1868 });
  const [quarter, whole] = document.results;
  expect(quarter).toMatchObject({ percent: 25, frames: 467, faults: { opt: 3917 } });
  expect(quarter?.faults["newest-first"]).toBeGreaterThan(3917);
  expect(whole).toMatchObject({ percent: 100, frames: 1868, faults: { opt: 1868, fifo: 1868, "newest-first": 1868 } });
  expect(whole?.writebacks).toEqual({ opt: 0, fifo: 0, "newest-first": 0 });
});

test("default sizes give a program of few pages at least one frame", async () => {
  const path = join(folder, "few.pgt");
  const records = Array.from({ length: 50 }, (_, at) => [(at * 2) % 5, 1, 1] as const);
  writeFileSync(path, encodePageTrace({ vpns: [16, 17, 18, 19, 20], records }));
  const { results } = await json<Document>(["policies", path]);
  for (const { percent, frames } of results) expect(frames).toBe(Math.max(1, Math.floor((5 * percent) / 100)));
  expect(results[0]?.frames).toBe(1);
  expect(await pagewright(["policies", path, "--ram", "0f"])).toMatchObject({ code: 2, stdout: "" });
});

test.each([
  ["an unknown policy", ["--policies", "best"], "best"],
  ["no policy", ["--policies", ","], "none named"],
  ["a missing module", ["--policies", "./absent.mjs"], "cannot be imported"],
  ["no memory", ["--ram", "0%"], "no memory"],
])("%s is one line and exit code 2", async (_, args, words) => {
  const run = await pagewright(["policies", TRACE, ...args]);
  expect(run).toMatchObject({ code: 2, stdout: "" });
  expect(run.stderr).toMatch(/^pagewright: [^\n]+\n$/);
  expect(run.stderr).toContain(words);
});

test.each([
  ["exports nothing", "", "default export"],
  ["lacks a method", "export default () => ({ insert() {} })", "no method accessed"],
  ["throws", "export default () => { throw new Error('broken by hand') }", "broken by hand"],
  [
    "evicts what is not there",
    "export default () => ({ insert() {}, accessed() {}, evict: () => 3e9 })",
    "not resident",
  ],
])("a module that %s is named in one line", async (name, source, words) => {
  const path = moduleWith(`${name.replaceAll(" ", "-")}.mjs`, source);
  const run = await pagewright(["policies", TRACE, "--ram", "10%", "--policies", path]);
  expect(run).toMatchObject({ code: 2, stdout: "" });
  expect(run.stderr).toMatch(/^pagewright: [^\n]+\n$/);
  expect(run.stderr).toContain(words);
});

/** The others are in the slow suite. */
const QUICK = ["grep-tree.long", "gcc-cc1.long"];

withInputs("policies --json equals the reference on two traces", (dir) => {
  const { traces } = JSON.parse(readFileSync(`${dir}/page-traces-reference.json`, "utf8")) as {
    traces: Record<string, { requests: number; pages: number; faults: Record<string, Record<string, unknown>> }>;
  };
  const exact = ["OPT", "LRU", "FIFO", "CLOCK", "CLOCK0", "ARC", "2Q", "SIEVE"];
  test.each(QUICK)("%s", async (name) => {
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
