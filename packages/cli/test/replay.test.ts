import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterAll, describe, expect, test, vi } from "vitest";
import { withInputs } from "@pagewright/tooling/inputs";
import type { ReplayReport } from "../src/replay/report.ts";
import { encodePageTrace } from "./page-trace-encoder.ts";
import { here, json, jsonHere, pagewright } from "./program.ts";

const folder = mkdtempSync(join(tmpdir(), "pagewright-test-"));
const TMPDIR = join(folder, "tmp");
mkdirSync(TMPDIR);
const env = { TMPDIR };
vi.stubEnv("TMPDIR", TMPDIR);
afterAll(() => rmSync(folder, { recursive: true }));

/** What runs of the program have left; the loader of the tests keeps a cache of its own beside it. */
const leftBehind = (): string[] => readdirSync(TMPDIR).filter((name) => name.startsWith("pagewright"));

const packaged = readFileSync(new URL("../data/sqlite-index.window.pgt.gz", import.meta.url));

const RECORDS = 2000;

/** A program that walks over 64 pages again and again, stores to half of them, and fetches from one. */
function smallTrace(name: string): string {
  const vpns = Array.from({ length: 64 }, (_, page) => 0x400 + page + (page < 32 ? 0 : 0x7f0000));
  const records = Array.from({ length: RECORDS }, (_, at) => {
    const page = (at * 13) % 64;
    return [page, page === 7 ? 0 : page % 2 === 0 && at % 3 === 0 ? 2 : 1, 1 + (at % 40)] as const;
  });
  const path = join(folder, `${name}.pgt`);
  writeFileSync(path, encodePageTrace({ header: { name }, vpns, records }));
  return path;
}

const small = smallTrace("small");

describe("pagewright replay", () => {
  test("replays the packaged trace without arguments: no mismatch, a clean audit, nothing left behind", async () => {
    const run = await pagewright(["replay"], { env });
    expect(run).toMatchObject({ code: 0, stderr: "" });
    expect(run.stdout).toMatch(/^trace +sqlite-index\.window: 1,868 pages on thinkpad-t400-3g$/m);
    expect(run.stdout).toMatch(/^mismatches +0$/m);
    expect(run.stdout).toMatch(/^audit +clean: [\d,]+ facts checked$/m);
    expect(leftBehind()).toEqual([]);
  });

  test("prints one JSON document with --json", async () => {
    const report = await json<ReplayReport>(["replay", small, "--ram", "25%"], { env });
    expect(report).toMatchObject({
      trace: "small",
      records: RECORDS,
      pages: 64,
      frames: 16,
      mismatches: 0,
      audit: { ok: true },
    });
    expect(report.references).toBe(
      Array.from({ length: RECORDS }, (_, at) => 1 + (at % 40)).reduce((sum, run) => sum + run),
    );
    expect(report.faults.total).toBe(report.faults.minor + report.faults.major);
    expect(report.faults.total).toBeGreaterThan(64);
    expect(report.evictions).toBeGreaterThanOrEqual(report.faults.total - 16);
    expect(report.swap.out).toBeGreaterThan(0);
    expect(report.tlb.hits + report.tlb.misses).toBeGreaterThanOrEqual(RECORDS);
    expect(report.zones.map(({ name }) => name)).toContain("normal");
  });

  test("rehearses on a stack of its own before the clock starts, and finds the same as without", async () => {
    const path = join(folder, "long.pgt");
    const records = Array.from(
      { length: 2 ** 17 },
      (_, at) => [Math.floor(at / 200) % 300, at % 3 === 0 ? 2 : 1, 1] as const,
    );
    writeFileSync(path, encodePageTrace({ vpns: Array.from({ length: 300 }, (_, page) => 0x400 + page), records }));
    const args = ["replay", path, "--ram", "60%", "--swap", "compressed"];
    const { rehearsal, ...rehearsed } = await jsonHere<ReplayReport>(args);
    const cold = await jsonHere<ReplayReport>([...args, "--no-rehearsal"]);
    expect(rehearsal.records).toBeGreaterThan(0);
    expect(rehearsal.seconds).toBeGreaterThan(0);
    expect(cold.rehearsal).toEqual({ records: 0, seconds: 0 });
    const { seconds, recordsPerSecond } = cold;
    expect({ ...rehearsed, seconds, recordsPerSecond, rehearsal: cold.rehearsal }).toEqual(cold);
    expect(cold.evictions).toBeGreaterThan(0);
    const short = await jsonHere<ReplayReport>(["replay", small]);
    expect(short.rehearsal).toEqual({ records: 0, seconds: 0 });
  });

  test("evicts nothing of a file that is read from end to end and fits", async () => {
    const path = join(folder, "sequential.pgt");
    const vpns = Array.from({ length: 1000 }, (_, page) => 0x400 + page);
    writeFileSync(path, encodePageTrace({ vpns, records: vpns.map((_, page) => [page, 1, 1] as const) }));
    const report = await jsonHere<ReplayReport>(["replay", path, "--ram", "100%"]);
    expect(report).toMatchObject({ frames: 1000, evictions: 0, mismatches: 0 });
  });

  test("has one fault a page where everything fits", async () => {
    const report = await jsonHere<ReplayReport>(["replay", small, "--ram", "100%"]);
    expect(report).toMatchObject({ frames: 64, evictions: 0, swap: { in: 0, out: 0 }, mismatches: 0 });
    expect(report.faults.total + report.prefetched).toBe(64);
  });

  test.each([
    ["64K", 16],
    ["20f", 20],
  ])("takes --ram %s", async (ram, frames) => {
    expect(await jsonHere<ReplayReport>(["replay", small, "--ram", ram])).toMatchObject({ frames, mismatches: 0 });
  });

  test("runs several programs together, on one processor and on more", async () => {
    const other = smallTrace("other");
    for (const cpus of ["1", "3"]) {
      const report = await jsonHere<ReplayReport>(["replay", small, other, small, "--cpus", cpus, "--ram", "30%"]);
      expect(report).toMatchObject({
        trace: "small+other+small",
        records: 3 * RECORDS,
        mismatches: 0,
        audit: { ok: true, problems: [] },
      });
    }
  });

  test("swaps to compressed memory, alone and in front of a file", async () => {
    for (const swap of ["compressed-only", "compressed", "compressed,file"]) {
      const report = await jsonHere<ReplayReport>(["replay", small, "--ram", "90%", "--swap", swap]);
      expect(report).toMatchObject({ frames: 57, mismatches: 0, audit: { ok: true, problems: [] } });
      expect(report.swap.out).toBeGreaterThan(0);
    }
  });

  test("puts a file behind compressed memory, so that what does not compress has a place", async () => {
    const report = await jsonHere<ReplayReport>(["replay", small, "--ram", "10%", "--swap", "compressed"]);
    expect(report).toMatchObject({ swapTiers: ["compressed", "file"], mismatches: 0, audit: { ok: true } });
  });

  test("stripes pages over two files", async () => {
    const report = await jsonHere<ReplayReport>(["replay", small, "--ram", "10%", "--swap", "compressed,file+file"]);
    expect(report).toMatchObject({ swapTiers: ["compressed", "file+file"], mismatches: 0, audit: { ok: true } });
    const [, one, other] = report.swapStores;
    expect([one?.priority, other?.priority]).toEqual([1, 1]);
    expect(Math.abs((one?.writes ?? 0) - (other?.writes ?? 9))).toBeLessThanOrEqual(1);
    expect(one?.writes).toBeGreaterThan(0);
  });

  test.each(["write", "writeLater"])("swaps to a store of the user's own with %s", async (method) => {
    const path = join(folder, `${method}.mjs`);
    const [write, read, answer] =
      method === "write" ? ["write", "read", "(x) => x"] : ["writeLater", "readLater", "async (x) => x"];
    writeFileSync(
      path,
      `const answer = ${answer};
      export default ({ slots }) => {
        const pages = new Map();
        return {
          slots,
          ${write}(slot, from) { pages.set(slot, from.slice()); return answer("ok"); },
          ${read}(slot, into) { into.set(pages.get(slot)); return answer("ok"); },
        };
      };`,
    );
    for (const swap of [path, `compressed,${path}`]) {
      const report = await jsonHere<ReplayReport>(["replay", small, small, "--ram", "25%", "--swap", swap]);
      expect(report).toMatchObject({ mismatches: 0, pagesVerified: 128, audit: { ok: true, problems: [] } });
      expect(report.swapStores.at(-1)).toMatchObject({ failedReads: 0, fenced: false });
      expect(report.swap.out).toBeGreaterThan(0);
    }
  });

  test("takes a policy by name or as a module", async () => {
    const path = join(folder, "newest-first.mjs");
    writeFileSync(
      path,
      "export default () => { const all = []; return { insert(s) { all.push(s); }, accessed() {}, evict() { return all.pop() ?? -1; } }; };",
    );
    expect(await jsonHere<ReplayReport>(["replay", small, "--policy", "lru"])).toMatchObject({
      policy: "lru",
      mismatches: 0,
    });
    expect(await jsonHere<ReplayReport>(["replay", small, "--policy", path])).toMatchObject({
      policy: path,
      mismatches: 0,
    });
  });

  test("moves programs that lie where no user program may", async () => {
    const path = join(folder, "kernel.pgt");
    const records = Array.from({ length: 600 }, (_, at) => [at % 3, at % 2 === 0 ? 2 : 1, 1] as const);
    writeFileSync(path, encodePageTrace({ vpns: [0, 2 ** 36 - 2, 2 ** 36 - 1], records }));
    expect(await jsonHere<ReplayReport>(["replay", path, "--ram", "2f"])).toMatchObject({
      records: 600,
      mismatches: 0,
    });
  });

  test("an empty trace is a trace", async () => {
    const path = join(folder, "empty.pgt");
    writeFileSync(path, encodePageTrace({ vpns: [1], records: [] }));
    expect(await jsonHere<ReplayReport>(["replay", path, "--ram", "10f"])).toMatchObject({
      records: 0,
      mismatches: 0,
      audit: { ok: true },
    });
  });
});

describe("bad input to pagewright replay is one line and exit code 2, and leaves nothing behind:", () => {
  const file = (name: string, bytes: Uint8Array | string): string => {
    writeFileSync(join(folder, name), bytes);
    return join(folder, name);
  };
  const expanded = gunzipSync(packaged);
  const corrupted = Uint8Array.from(packaged);
  corrupted.fill(0xaa, 200_000, 200_064);
  const trace: [string, string[], string][] = [
    ["a truncated archive", [file("t.pgt.gz", packaged.subarray(0, 100_000))], "truncated"],
    ["a corrupted archive", [file("c.pgt.gz", corrupted)], "corrupted"],
    ["a truncated trace", [file("t.pgt", expanded.subarray(0, 1_000_000))], "truncated page trace"],
    ["a truncated trace, packed", [file("u.pgt.gz", gzipSync(expanded.subarray(0, 5000)))], "truncated page trace"],
    ["no trace", [file("n.pgt", "hello")], "not a page trace"],
    ["an empty file", [file("e.pgt", "")], "not a page trace"],
    ["no file", [join(folder, "absent")], "no such file"],
    ["--ram 0", [small, "--ram", "0"], "--ram 0"],
    ["--ram 0%", [small, "--ram", "0%"], "--ram 0%"],
    ["--ram beyond the machine", [small, "--ram", "64G"], "--ram 64G"],
    ["--ram below one frame", [small, "--ram", "1K"], "less than one frame"],
    ["--cpus 0", [small, "--cpus", "0"], "--cpus 0"],
    ["an unknown option", [small, "--frobnicate"], "unknown option '--frobnicate'"],
    ["an unknown policy", [small, "--policy", "best"], "--policy best"],
    ["an unknown swap tier", [small, "--swap", "tape"], "--swap tape"],
    ["compressed memory behind a file", [small, "--swap", "file,compressed"], "compressed is the first tier"],
    ["less memory than the program needs", [small, "--ram", "10%", "--swap", "compressed-only"], "out of memory"],
    ["no swap tier", [small, "--swap", ","], "--swap: no tier named"],
    ["no map", [small, "--map", join(folder, "absent.json")], "no such file"],
    [
      "a map without memory",
      [small, "--map", file("m.json", `{"entries":[{"base":"0x0","length":"0x1000","type":2}]}`)],
      "no usable frame above the low zone",
    ],
    [
      "a map with memory for devices alone",
      [small, "--map", file("l.json", `{"entries":[{"base":"0x0","length":"0x1000000","type":1}]}`)],
      "l.json: The map has no usable frame above the low zone (16 MiB as a rule), which is kept for devices: 4096 below it",
    ],
    ["a swap folder without a name", [small, "--swap-folder", ""], "the name of its parent is empty"],
    ["an input without a name", [""], "the name of an input file is empty"],
    ["no swap folder", [small, "--swap-folder", join(folder, "absent")], "cannot make a temporary folder"],
    [
      "a swap folder that cannot be written to",
      [small, "--swap-folder", "/proc"],
      "cannot make a temporary folder in /proc",
    ],
  ];
  test.each(trace)("%s", async (_, args, words) => {
    const run = await here(["replay", ...args]);
    expect(run).toMatchObject({ code: 2, stdout: "" });
    expect(run.stderr).toMatch(/^pagewright: [^\n]+\n$/);
    expect(run.stderr).toContain(words);
    expect(leftBehind()).toEqual([]);
  });
});

describe("a module of the user's own that goes wrong is one line that names it, and exit code 2:", () => {
  const three = "insert() {}, accessed() {}";
  const others = "victim: () => 99999999, remove() {}, grow() {}, resize() {}, check() {}";
  const store = "slots: 64, write: () => 'ok', read: () => 'ok'";
  const modules: [string, string, string, string][] = [
    [
      "a policy that evicts nothing",
      "--policy",
      `({ ${three}, evict: () => -1 })`,
      "evicted -1, which is not in memory",
    ],
    ["a policy that evicts nonsense", "--policy", `({ ${three}, evict: () => "x" })`, "evicted x, which"],
    ["a policy that evicts later", "--policy", `({ ${three}, async evict() {} })`, "evicted [object Promise], which"],
    ["a policy that throws", "--policy", `({ ${three}, evict() { throw new Error("dice\\nlost") } })`, "dice lost"],
    [
      "a whole policy with a wrong victim",
      "--policy",
      `({ ${three}, evict: () => 5, ${others} })`,
      "evicted 99999999, which",
    ],
    ["a store of too many pages", "--swap", `({ ${store}, slots: 2 ** 40 })`, "no number of slots from 0 to 134217728"],
    [
      "a store that throws at writing",
      "--swap",
      `({ ${store}, write() { throw new Error("tape torn") } })`,
      "tape torn",
    ],
    [
      "a store that throws at reading",
      "--swap",
      `({ ${store}, read() { throw new Error("tape lost") } })`,
      "tape lost",
    ],
    [
      "a store that cannot be closed",
      "--swap",
      `({ ${store}, slots: 0, async close() { throw new Error("stuck") } })`,
      "stuck",
    ],
  ];
  test.each(modules)("%s", async (name, option, made, words) => {
    const path = join(folder, `${name.replaceAll(" ", "-")}.mjs`);
    writeFileSync(path, `export default () => (${made});`);
    const run = await here(["replay", small, "--ram", name.includes("closed") ? "100%" : "25%", option, path]);
    expect(run).toMatchObject({ code: 2, stdout: "" });
    expect(run.stderr).toMatch(/^pagewright: [^\n]+\n$/);
    expect(run.stderr).toContain(words);
    expect(run.stderr).toContain(path);
    expect(leftBehind()).toEqual([]);
  });

  test.each([
    [
      "leaves a rejected promise",
      "Promise.reject(new Error('nobody asked')); await new Promise((r) => setTimeout(r, 100))",
      "nobody asked",
    ],
    ["leaves a promise that nothing settles", "await new Promise(() => {})", "nothing settles"],
    ["ends the process", "process.exit(0)", "ended early"],
  ])("one that %s", async (_, code, words) => {
    const path = join(folder, "wayward.mjs");
    writeFileSync(path, `export default async ({ slots }) => { ${code}; };`);
    const run = await pagewright(["replay", small, "--swap", path], { env });
    expect(run).toMatchObject({ code: 2, stdout: "" });
    expect(run.stderr).toMatch(/^pagewright: [^\n]+\n$/);
    expect(run.stderr).toContain(words);
    expect(leftBehind()).toEqual([]);
  });
});

test.each(["SIGINT", "SIGTERM"] as const)(
  "a replay interrupted by %s dies by it and leaves nothing behind",
  async (signal) => {
    const hasSwapped = (): boolean =>
      leftBehind().some((name) => readdirSync(join(TMPDIR, name)).some((file) => file.startsWith("swap")));
    const run = await pagewright(["replay", "--ram", "5%"], { env, interrupt: { signal, when: hasSwapped } });
    expect(run).toMatchObject({ signal, stdout: "" });
    expect(leftBehind()).toEqual([]);
  },
);

withInputs("replays of recorded programs under pressure", (dir) => {
  test("a window of grep at 10 %", async () => {
    const report = await jsonHere<ReplayReport>([
      "replay",
      `${dir}/page-traces/grep-tree.window.pgt.gz`,
      "--ram",
      "10%",
    ]);
    expect(report).toMatchObject({ frames: 33, mismatches: 0, audit: { ok: true, problems: [] } });
  });
});
