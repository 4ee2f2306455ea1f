import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { withInputs } from "@pagewright/tooling/inputs";
import { readInput } from "../src/files.ts";
import { UsageError } from "../src/output.ts";
import { decodePageTrace, FETCH, LOAD, STORE } from "../src/page-trace.ts";
import type { PageTrace } from "../src/page-trace.ts";
import { encodePageTrace } from "./page-trace-encoder.ts";

const decode = (bytes: Uint8Array): PageTrace => decodePageTrace(bytes, "trace");
const complaint = (bytes: Uint8Array): string => {
  try {
    decode(bytes);
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
  return "";
};

const traceParts = fc
  .record({
    gaps: fc.array(fc.integer({ min: 1, max: 2 ** 30 }), { minLength: 1, maxLength: 20 }),
    records: fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 2 }), fc.integer({ min: 1, max: 2 ** 32 - 1 }))),
  })
  .map(({ gaps, records }) => ({
    vpns: gaps.map((_, page) => gaps.slice(0, page + 1).reduce((sum, gap) => sum + gap, 0)),
    records: records.map(([page, kind, run]) => [page % gaps.length, kind, run] as const),
  }));

describe("a page trace", () => {
  test("comes back from its bytes: pages, kinds, runs and their sum", () => {
    const records = [
      [1, FETCH, 31],
      [0, LOAD, 32],
      [1, STORE, 1],
      [1, FETCH, 5_000_000],
    ] as const;
    const trace = decode(encodePageTrace({ header: { name: "tiny" }, vpns: [3, 2 ** 35], records }));
    expect(trace.name).toBe("tiny");
    expect([...trace.vpns]).toEqual([3, 2 ** 35]);
    expect([...trace.records]).toEqual([4 + FETCH, LOAD, 4 + STORE, 4 + FETCH]);
    expect([...trace.runs]).toEqual([31, 32, 1, 5_000_000]);
    expect(trace.references).toBe(5_000_064);
  });

  test("comes back from its bytes whatever is in it", () => {
    fc.assert(
      fc.property(traceParts, (parts) => {
        const trace = decode(encodePageTrace(parts));
        expect([...trace.vpns]).toEqual(parts.vpns);
        expect([...trace.records]).toEqual(parts.records.map(([page, kind]) => page * 4 + kind));
        expect([...trace.runs]).toEqual(parts.records.map(([, , run]) => run));
      }),
    );
  });

  test("cut short anywhere is refused", () => {
    const whole = encodePageTrace({
      vpns: [1, 300],
      records: [
        [1, LOAD, 1000],
        [0, STORE, 3],
      ],
    });
    for (let length = 0; length < whole.length; length++) expect(complaint(whole.subarray(0, length))).not.toBe("");
  });

  test("with any byte changed is either a trace or refused by a sentence, never a crash", () => {
    const change = fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 }));
    fc.assert(
      fc.property(traceParts, change, (parts, [at, difference]) => {
        const bytes = encodePageTrace(parts);
        const place = at % bytes.length;
        bytes[place] = bytes[place]! ^ difference;
        complaint(bytes);
      }),
    );
  });

  test("that claims four billion records in a few bytes allocates nothing", () => {
    const bytes = encodePageTrace({ vpns: [1], records: [[0, LOAD, 1]] });
    bytes.set([0xff, 0xff, 0xff, 0xff], bytes.length - 5);
    expect(complaint(bytes)).toContain("truncated page trace: 4294967295 records in 1 bytes");
  });

  test("says what is wrong with it", () => {
    const parts = { vpns: [1, 2], records: [[0, LOAD, 1]] as const };
    expect(complaint(new TextEncoder().encode("PGTRACE2...."))).toContain("not a page trace");
    expect(complaint(encodePageTrace({ ...parts, header: { records: 2 } }))).toContain("the header says records: 2");
    expect(complaint(encodePageTrace({ ...parts, vpns: [2, 2] }))).toContain("page 1 is the same as the one before");
    expect(complaint(encodePageTrace({ ...parts, vpns: [2 ** 46] }))).toContain("beyond every x86-64 address space");
    expect(complaint(encodePageTrace({ ...parts, records: [[2, LOAD, 1]] }))).toContain("names page 2 of 2");
    expect(complaint(encodePageTrace({ ...parts, records: [[0, 3, 1]] }))).toContain("unknown kind");
    expect(complaint(Uint8Array.from([...encodePageTrace(parts), 0]))).toContain("1 bytes follow the last record");
  });

  test("of the packaged program holds what its header says", () => {
    const path = new URL("../data/sqlite-index.window.pgt.gz", import.meta.url).pathname;
    const trace = decodePageTrace(readInput(path), path);
    expect(trace.header).toMatchObject({ pages: trace.vpns.length, references: trace.references });
    expect(trace.records.length).toBe(6_328_750);
  });
});

withInputs("the recorded traces hold what the reference says", (dir) => {
  const text = readFileSync(`${dir}/page-traces-reference.json`, "utf8");
  const { traces } = JSON.parse(text) as { traces: Record<string, { pages: number; refsInRecords: number }> };
  for (const [name, { pages, refsInRecords }] of Object.entries(traces)) {
    test(name, () => {
      const trace = decodePageTrace(readInput(`${dir}/page-traces/${name}.pgt.gz`), name);
      expect([trace.vpns.length, trace.references]).toEqual([pages, refsInRecords]);
    });
  }
});
