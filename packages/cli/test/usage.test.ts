import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, test } from "vitest";
import { readInput, readJson } from "../src/files.ts";
import { oneLine, textTable, UsageError } from "../src/output.ts";
import { framesOf, parseRamSize, parseRamSizes } from "../src/ram-size.ts";
import { pagewright } from "./program.ts";

const folder = mkdtempSync(join(tmpdir(), "pagewright-test-"));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, bytes: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

describe("the command line", () => {
  test.each([
    [[], "no command given"],
    [["frobnicate"], "frobnicate"],
    [["--frobnicate"], "unknown option '--frobnicate'"],
    [["help", "frobnicate"], "help frobnicate: there is no such command"],
  ])("%j is bad usage: one line on standard error and exit code 2", async (args, words) => {
    const run = await pagewright(args);
    expect(run.code).toBe(2);
    expect(run.stdout).toBe("");
    expect(run.stderr).toMatch(/^pagewright: [^\n]+\n$/);
    expect(run.stderr).toContain(words);
  });

  test("dies at once by a signal while it waits for bytes that nobody writes", async () => {
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    const started = performance.now();
    const patience = 2000;
    const when = (): boolean => performance.now() - started > patience;
    const run = await pagewright(["replay", pipe], { interrupt: { signal: "SIGINT", when } });
    expect(run).toMatchObject({ signal: "SIGINT", stdout: "" });
  });

  test("reads a pipe to its end", async () => {
    const input = Buffer.from(JSON.stringify({ entries: [{ base: "0x0", length: "0x400000", type: 1 }] }));
    const run = await pagewright(["map", "-", "--json"], { input });
    expect(JSON.parse(run.stdout)).toMatchObject({ usableBytes: 0x400000 });
  });

  test("--help and --version are answers, not errors", async () => {
    expect(await pagewright(["--help"])).toMatchObject({ code: 0, stderr: "" });
    expect(await pagewright(["--version"])).toMatchObject({ code: 0, stderr: "" });
  });
});

describe("an input file", () => {
  test("is expanded if its content is gzip'd, whatever its name", () => {
    expect(readInput(file("plain.gz", "text"))).toEqual(Buffer.from("text"));
    expect(readInput(file("packed", gzipSync("text")))).toEqual(Buffer.from("text"));
  });

  test.each([
    ["absent", () => join(folder, "absent"), "no such file or folder"],
    ["a folder", () => folder, "is a folder, not a file"],
    ["truncated", () => file("t.gz", gzipSync("x".repeat(99)).subarray(0, 20)), "truncated: the gzip data ends early"],
    ["corrupted", () => file("c.gz", gzipSync("text").fill(9, 18, 20)), "corrupted gzip data"],
  ])("that is %s is refused by its name and the reason", (_, path, reason) => {
    expect(() => readInput(path())).toThrow(UsageError);
    expect(() => readInput(path())).toThrow(new RegExp(`^${folder}.*: ${reason}`));
  });

  test("that is not JSON where JSON is wanted is refused by its name", () => {
    expect(() => readJson(file("j", "{"))).toThrow(/j: not JSON/);
  });
});

describe("a size of memory", () => {
  test("is a share of the pages, bytes, or frames", () => {
    expect(framesOf(parseRamSize("25%"), 1868)).toBe(467);
    expect(framesOf(parseRamSize("12.5%"), 16)).toBe(2);
    expect(framesOf(parseRamSize("64M"), 1)).toBe(16384);
    expect(framesOf(parseRamSize("1000f"), 1)).toBe(1000);
    expect(parseRamSizes("10%,25%").map((size) => framesOf(size, 100))).toEqual([10, 25]);
  });

  test.each(["0", "0%", "0f", "0M", "-5%", "1", "x", "25", "1K", "", "1e3f", "0x10f"])("%j is refused", (text) => {
    expect(() => parseRamSize(text)).toThrow(UsageError);
  });

  test("that is a share of too few pages is one frame", () => {
    expect([1, 2, 5, 9].map((pages) => framesOf(parseRamSize("10%"), pages))).toEqual([1, 1, 1, 1]);
    expect(framesOf(parseRamSize("25%"), 3)).toBe(1);
  });
});

test("a table pads its columns and right-aligns its numbers", () => {
  expect(
    textTable([
      ["a", 1],
      ["long", 100],
    ]),
  ).toBe("a       1\nlong  100");
});

test("a complaint is one line", () => {
  expect(oneLine("a\n  b\r\nc\n")).toBe("a b c");
});
