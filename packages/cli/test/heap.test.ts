import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BufferMemory, encodeHeapTrace, Tlsf, Tracer } from "@pagewright/heap";
import { json, pagewright } from "./program.ts";

let folder = "";
let trace = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "pagewright-heap-"));
  trace = join(folder, "small.bin.gz");
  const memory = new BufferMemory(new ArrayBuffer(2 ** 20));
  const tracer = new Tracer(new Tlsf(memory));
  const blocks: number[] = [];
  for (let at = 0; at < 500; at++) {
    blocks.push(
      at % 3 === 0 ? tracer.allocateZeroed(memory, 40 + at) : tracer.allocate(16 + at, at % 7 === 0 ? 64 : 0),
    );
    if (at % 4 === 3) tracer.free(blocks.splice(at % blocks.length, 1)[0] ?? 0);
    if (at % 5 === 4) blocks[0] = tracer.resize(blocks[0] ?? 0, 10 * at);
  }
  writeFileSync(trace, gzipSync(encodeHeapTrace(tracer.trace())));
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Document {
  readonly trace: string;
  readonly events: number;
  readonly peakLiveBytes: number;
  readonly results: readonly Readonly<Record<string, unknown>>[];
}

describe("pagewright heap", () => {
  test("prints every field for each allocator asked for", async () => {
    const document = await json<Document>(["heap", trace, "--allocator", "general,tlsf"]);
    expect(document).toMatchObject({ trace: "small", events: 725 });
    expect(document.results.map(({ allocator }) => allocator)).toEqual(["general", "tlsf"]);
    for (const result of document.results) {
      expect(result).toMatchObject({ failed: null, verifiedBlocks: 600 });
      expect(Object.keys(result).sort()).toEqual(
        ["allocator", "failed", "nsPerEvent", "overhead", "peakFootprint", "sourceCalls", "verifiedBlocks"].sort(),
      );
      expect(result["overhead"]).toBeGreaterThan(1);
    }
  }, 60_000);

  test("every allocator holds the contents of the trace, or says why it is not meant for it", async () => {
    const { results } = await json<Document>(["heap", trace, "--allocator", "all"]);
    const names = ["general", "tlsf", "buddy", "offset", "shared", "collected", "pool", "object-cache", "arena"];
    expect(results.map(({ allocator }) => allocator)).toEqual(expect.arrayContaining(names));
    for (const { allocator, failed, nsPerEvent, verifiedBlocks } of results) {
      expect([allocator, failed]).toEqual([allocator, null]);
      expect(nsPerEvent).toBeGreaterThan(0);
      expect(verifiedBlocks).toBe(600);
    }
  }, 60_000);

  test("tells an allocator of lifetimes and types", async () => {
    const own = join(folder, "hinted.mjs");
    writeFileSync(
      own,
      `let top = 64; const seen = new Set();
       export default () => ({
         allocate(size, alignment = 0, hint = 0) {
           seen.add(hint & 3); seen.add(hint >> 2 > 0 ? "typed" : "untyped");
           const address = Math.ceil(top / Math.max(alignment, 8)) * Math.max(alignment, 8);
           top = address + size;
           return top > 2 ** 26 ? ((top = 64), 64) : address;
         },
         free() {}, metadataBytes: () => (seen.has(1) && seen.has(2) && seen.has("typed") ? 1e9 : 0),
       });`,
    );
    const { results } = await json<Document>(["heap", trace, "--allocator", own, "--hints", "lifetime,type"]);
    expect(results[0]?.["peakFootprint"]).toBeGreaterThan(1e9);
    const { results: plain } = await json<Document>(["heap", trace, "--allocator", own]);
    expect(plain[0]?.["peakFootprint"]).toBeLessThan(1e9);
    expect(await pagewright(["heap", trace, "--hints", "size"])).toMatchObject({ code: 2, stdout: "" });
  }, 60_000);

  test("reads a trace from standard input, and hands it to every allocator", async () => {
    const input = readFileSync(trace);
    const { results } = await json<Document>(["heap", "-", "--allocator", "general,tlsf"], { input });
    expect(results).toMatchObject([
      { allocator: "general", failed: null, verifiedBlocks: 600 },
      { allocator: "tlsf", failed: null, verifiedBlocks: 600 },
    ]);
    const bad = await pagewright(["heap", "-"], { input: input.subarray(0, 40) });
    expect(bad).toMatchObject({ code: 2, stdout: "" });
  }, 60_000);

  test("runs a user's own allocator by path, and finds one that hands the same block out twice", async () => {
    const own = join(folder, "own.mjs");
    writeFileSync(own, "export default () => ({ allocate: () => 64, free() {}, usableSize: () => 1e6 });");
    const { results } = await json<Document>(["heap", trace, "--allocator", own]);
    expect(results[0]?.["failed"]).toMatch(/does not hold|zero/);
    expect(await pagewright(["heap", trace, "--allocator", `tlsf,${own}`])).toMatchObject({ code: 1, stderr: "" });
  }, 60_000);

  test.each([
    ["cut short", (bytes: Uint8Array) => bytes.subarray(0, 1000)],
    ["of another kind", () => new TextEncoder().encode("hello")],
  ])(
    "a trace %s gives one line and exit code 2",
    async (name, damage) => {
      const path = join(folder, `${name}.bin`);
      writeFileSync(
        path,
        damage(encodeHeapTrace({ ...new Tracer(new Tlsf(new BufferMemory(new ArrayBuffer(4096)))).trace() })),
      );
      const run = await pagewright(["heap", name === "cut short" ? join(folder, "missing") : path]);
      expect(run).toMatchObject({ code: 2, stdout: "" });
      expect(run.stderr.trim().split("\n").length).toBe(1);
    },
    60_000,
  );

  test("an unknown allocator gives one line and exit code 2", async () => {
    const run = await pagewright(["heap", trace, "--allocator", "nothing"]);
    expect(run).toMatchObject({ code: 2, stdout: "" });
    expect(run.stderr).toMatch(/^pagewright: --allocator nothing: not one of general/);
  }, 60_000);
});
