import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { withInputs } from "@pagewright/tooling/inputs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { here, jsonHere } from "./program.ts";

let folder = "";
const file = (name: string): string => join(folder, name);

/** The tables of a small layout, and the same memory in every image format. */
const LAYOUT = {
  levels: 4,
  base: "0x10000",
  ranges: [
    { start: "0x0", size: "2M", rights: "rwx" },
    { start: "0xffffffff80000000", size: "16K", physical: "0x100000", rights: "rx" },
    { start: "0xffffffff80010000", size: "8K", physical: "0x110000", rights: "rw", memoryType: "UC" },
  ],
};

function elfOf(memory: Uint8Array): Uint8Array {
  const image = new Uint8Array(120 + memory.length);
  const view = new DataView(image.buffer);
  view.setUint32(0, 0x7f454c46);
  image.set([2, 1, 1], 4);
  view.setUint16(16, 4, true);
  view.setUint16(18, 62, true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 1, true);
  view.setUint32(64, 1, true);
  view.setBigUint64(72, 120n, true);
  view.setBigUint64(96, BigInt(memory.length), true);
  view.setBigUint64(104, BigInt(memory.length), true);
  image.set(memory, 120);
  return image;
}

function limeOf(memory: Uint8Array): Uint8Array {
  const image = new Uint8Array(32 + memory.length);
  const view = new DataView(image.buffer);
  view.setUint32(0, 0x4c694d45, true);
  view.setUint32(4, 1, true);
  view.setBigUint64(16, BigInt(memory.length - 1), true);
  image.set(memory, 32);
  return image;
}

function sparseOf(memory: Uint8Array, first: number): Uint8Array {
  const frames = memory.length / 4096 - first;
  const image = new Uint8Array(frames * 4104);
  const view = new DataView(image.buffer);
  for (let i = 0; i < frames; i++) {
    view.setBigUint64(i * 4104, BigInt((first + i) * 4096), true);
    image.set(memory.subarray((first + i) * 4096, (first + i + 1) * 4096), i * 4104 + 8);
  }
  return image;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "pagewright-test-"));
  writeFileSync(file("layout.json"), JSON.stringify(LAYOUT));
  const built = await jsonHere<{ cr3: string; tables: number; pages: number }>([
    "tables",
    file("layout.json"),
    "-o",
    file("tables.bin"),
  ]);
  expect(built).toMatchObject({ cr3: "0x10000", tables: 6, pages: 518 });
  const tables = readFileSync(file("tables.bin"));
  const memory = new Uint8Array(0x10000 + tables.length);
  memory.set(tables, 0x10000);
  writeFileSync(file("raw.img"), memory);
  writeFileSync(file("raw.img.gz"), gzipSync(memory));
  writeFileSync(file("core.elf"), elfOf(memory));
  writeFileSync(file("ram.lime"), limeOf(memory));
  writeFileSync(file("sparse.bin"), sparseOf(memory, 16));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("page tables out of images", () => {
  test.each(["raw.img", "raw.img.gz", "core.elf", "ram.lime", "sparse.bin"])(
    "%s: dump gives the layout back",
    async (name) => {
      const { runs, pages } = await jsonHere<{
        runs: { start: string; rights: string; physical: string }[];
        pages: number;
      }>(["dump", file(name), "--cr3", "0x10000"]);
      expect(pages).toBe(518);
      expect(runs.map(({ start, rights, physical }) => `${start} ${rights} ${physical}`)).toEqual([
        "0x0 rwx- 0x0",
        "0xffffffff80000000 r-x- 0x100000",
        "0xffffffff80010000 rw-- 0x110000",
      ]);
    },
  );

  test("tables without end: lint says how far it came, a JSON document that would be too long is refused", async () => {
    // 48 frames, each a table at every level and a page, whose entries refer to the others.
    const words = new BigUint64Array(48 * 512);
    for (let at = 0; at < words.length; at++) words[at] = BigInt(((at >>> 9) * 7 + (at % 512) * 5) % 48) * 4096n + 7n;
    writeFileSync(file("knot.img"), new Uint8Array(words.buffer));
    const lint = await here(["lint", file("knot.img"), "--cr3", "0"]);
    expect(lint.code).toBe(1);
    expect(lint.stdout).toMatch(/^warning: incomplete: .*1048576 runs were, nothing from 0x[0-9a-f]{16} on$/m);
    const dump = await here(["dump", file("knot.img"), "--cr3", "0", "--json"]);
    expect(dump).toMatchObject({ code: 2, stdout: "" });
    expect(dump.stderr).toMatch(/^pagewright: more than 524288 lines [^\n]* at 0x[0-9a-f]+: [^\n]*--range[^\n]*\n$/);
  }, 60_000);

  test("a table that the image does not hold is told from an empty one", async () => {
    const words = new BigUint64Array(2 * 512);
    words.set([0x1003n, 0x7_0000_0003n]); // PML4[0]: the second frame, which is empty; PML4[1]: beyond
    writeFileSync(file("beyond.img"), new Uint8Array(words.buffer));
    const walk = async (address: string): Promise<string> =>
      (await here(["walk", file("beyond.img"), address, "--cr3", "0"])).stdout;
    const sentence = "the image has no memory at 0x0000000700000000: the PDPT there was taken to be empty";
    expect(await walk("0x8000000000")).toContain(sentence);
    expect(await walk("0")).not.toContain("the image has no memory");
    const document = await jsonHere<{ text: string[] }>(["walk", file("beyond.img"), "0x8000000000", "--cr3", "0"]);
    expect(document.text).toContain(sentence);
    expect(await here(["lint", file("beyond.img"), "--cr3", "0"])).toMatchObject({
      code: 1,
      stdout:
        "error: table-beyond-memory: PML4[1] at 0x0000008000000000 refers to a table at 0x0000000700000000, where there is no memory\n",
    });
  });

  test("filters pick what is asked for", async () => {
    const count = async (...filter: string[]): Promise<number> =>
      (await jsonHere<{ runs: unknown[] }>(["dump", file("raw.img"), "--cr3", "0x10000", ...filter])).runs.length;
    expect(await count("--writable")).toBe(2);
    expect(await count("--writable", "--executable")).toBe(1);
    expect(await count("--user")).toBe(0);
    expect(await count("--physical", "0x100000+0x1000")).toBe(2);
    expect(await count("--range", "0xffffffff80000000-0xffffffffffffffff")).toBe(2);
  });

  test("listings in the styles of QEMU, Linux and xv6", async () => {
    const dump = async (format: string): Promise<string> =>
      (await here(["dump", file("raw.img"), "--cr3", "0x10000", "--format", format])).stdout;
    expect(await dump("qemu-tlb")).toContain("ffffffff80010000: 0000000000110000 X----CT-W");
    expect(await dump("qemu-mem")).toContain("ffffffff80000000-ffffffff80004000 0000000000004000 -r-");
    expect(await dump("linux")).toContain("---[ High Kernel Mapping ]---");
    expect(await dump("xv6")).toContain("page table 0x0000000000010000");
  });

  test("walk tells every level, the frame reached, and why an access fails", async () => {
    const ok = await jsonHere<{ outcome: string; physical: string; steps: unknown[] }>([
      "walk",
      file("raw.img"),
      "0xffffffff80001234",
      "--cr3",
      "0x10000",
      "--access",
      "execute",
    ]);
    expect(ok).toMatchObject({ outcome: "ok", physical: "0x101234" });
    expect(ok.steps.length).toBe(4);
    expect(
      await jsonHere(["walk", file("raw.img"), "0xffffffff80001234", "--cr3", "0x10000", "--access", "write"]),
    ).toMatchObject({ outcome: "fault", vector: 14, error: "0x3", check: "write", level: 1 });
    expect(await jsonHere(["walk", file("raw.img"), "0x8000000000000000", "--cr3", "0x10000"])).toMatchObject({
      outcome: "fault",
      vector: 13,
    });
  });

  test("dump --against says what changed", async () => {
    const changed = {
      ...LAYOUT,
      ranges: [...LAYOUT.ranges.slice(0, 2), { start: "0x40000000", size: "4K", physical: "0x5000", rights: "rw" }],
    };
    writeFileSync(file("changed.json"), JSON.stringify(changed));
    await here(["tables", file("changed.json"), "-o", file("changed.bin")]);
    const image = new Uint8Array(0x10000 + readFileSync(file("changed.bin")).length);
    image.set(readFileSync(file("changed.bin")), 0x10000);
    writeFileSync(file("changed.img"), image);
    const result = await jsonHere<{ same: boolean; pages: unknown }>([
      "dump",
      file("raw.img"),
      "--cr3",
      "0x10000",
      "--against",
      file("changed.img"),
    ]);
    expect(result).toMatchObject({ same: false, pages: { mapped: 1, unmapped: 2, changed: 0 } });
  });

  test.each([
    ["4M", true],
    ["0x400000", true],
    ["8M", false],
  ])("lint takes RAM of %s, half of which mapped in one piece is a linear map: %s", async (ram, isLinear) => {
    const { stdout } = await here(["lint", file("raw.img"), "--cr3", "0x10000", "--ram", ram]);
    expect(stdout.includes("linear-map")).toBe(isLinear);
  });

  test("lint exits 1 for a page that is writable and executable, and names it", async () => {
    const run = await here(["lint", file("raw.img"), "--cr3", "0x10000", "--json"]);
    expect(run.code).toBe(1);
    const { findings } = JSON.parse(run.stdout) as { findings: { rule: string; start: string }[] };
    expect(findings.find(({ rule }) => rule === "writable-executable")?.start).toBe("0x0");
  });
});

describe("decode and explain", () => {
  test("an entry is read by its level", async () => {
    expect(await jsonHere(["decode", "0x8000000000103063", "--level", "1"])).toMatchObject({
      kind: "4K",
      address: "0x103000",
      level: 1,
    });
    expect(await jsonHere(["decode", "0x1083", "--level", "2"])).toMatchObject({ kind: "2M", address: "0x0" });
    expect((await jsonHere<{ readings: unknown[] }>(["decode", "0x1083"])).readings.length).toBe(4);
  });

  test("registers and error codes in words", async () => {
    const { items } = await jsonHere<{ items: { name: string; sentence: string }[] }>([
      "explain",
      "cr4=0x100020",
      "error",
      "0x19",
    ]);
    expect(items.map(({ name }) => name)).toEqual(["CR4", "page-fault error code"]);
    expect(items[0]?.sentence).toContain("may not execute user pages");
  });

  test("a kernel oops is taken apart: address, error code, entries, registers", async () => {
    const oops = [
      "BUG: kernel NULL pointer dereference, address: 0000000000000008",
      "#PF: supervisor write access in kernel mode",
      "#PF: error_code(0x0002) - not-present page",
      "PGD 800000010a5c9067 P4D 800000010a5c9067 PUD 10a5ca067 PMD 0",
      "RIP: 0010:do_thing+0x12/0x40",
      "CR2: 0000000000000008 CR3: 000000010a5c8000 CR4: 00000000000006f0",
    ].join("\n");
    writeFileSync(file("oops.txt"), oops);
    const { items } = await jsonHere<{ items: { name: string; value?: string }[] }>(["explain", file("oops.txt")]);
    expect(items.map(({ name }) => name)).toEqual([
      "fault address",
      "page-fault error code",
      "PML4 entry",
      "PDPT entry",
      "PD entry",
      "RIP",
      "CR2",
      "CR3",
      "CR4",
    ]);
  });
});

describe("bad input is one line and exit code 2", () => {
  const cases: readonly (readonly [string, () => readonly string[], RegExp])[] = [
    ["an image that is not there", () => ["dump", file("none"), "--cr3", "1"], /no such file/],
    ["no CR3", () => ["dump", file("raw.img")], /--cr3 is missing/],
    [
      "a root table outside the image",
      () => ["dump", file("raw.img"), "--cr3", "0x7fff000"],
      /--cr3 0x7fff000: .* no memory/,
    ],
    [
      "a root table outside the image to compare with",
      () => ["dump", file("raw.img"), "--cr3", "0x10000", "--against", file("raw.img"), "--against-cr3", "0x7fff000"],
      /--against-cr3 0x7fff000/,
    ],
    [
      "the root table of another space outside the image",
      () => ["lint", file("raw.img"), "--cr3", "0x10000", "--also", "0x7fff000"],
      /--also 0x7fff000/,
    ],
    ["a bad number", () => ["walk", file("raw.img"), "zz", "--cr3", "0x1000"], /zz/],
    [
      "a truncated gzip image",
      () => (
        writeFileSync(file("cut.gz"), gzipSync(new Uint8Array(9000).fill(7)).subarray(0, 30)),
        ["dump", file("cut.gz"), "--cr3", "0"]
      ),
      /truncated or corrupted/,
    ],
    [
      "a truncated xz image",
      () => (
        writeFileSync(file("cut.xz"), Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 4)),
        ["dump", file("cut.xz"), "--cr3", "0"]
      ),
      /truncated or corrupted/,
    ],
    [
      "an ELF file without headers",
      () => (
        writeFileSync(file("bad.elf"), elfOf(new Uint8Array(4096)).subarray(0, 100)),
        ["dump", file("bad.elf"), "--cr3", "0"]
      ),
      /ELF/,
    ],
    ["an empty image", () => (writeFileSync(file("empty"), ""), ["dump", file("empty"), "--cr3", "0"]), /is empty/],
    [
      "registers that are no registers",
      () => (writeFileSync(file("regs.json"), "[]"), ["diagnose", file("raw.img"), "--registers", file("regs.json")]),
      /registers/,
    ],
    [
      "a register missing",
      () => (writeFileSync(file("regs.json"), "{}"), ["diagnose", file("raw.img"), "--registers", file("regs.json")]),
      /cr0 is missing/,
    ],
    ["a level that is none", () => ["decode", "0x1", "--level", "5"], /has 4 levels/],
    ["nothing to explain", () => ["explain", "hello"], /"hello": nothing in it can be explained/],
    [
      "a layout that overlaps",
      () => (
        writeFileSync(file("bad.json"), JSON.stringify({ ...LAYOUT, ranges: [LAYOUT.ranges[0], LAYOUT.ranges[0]] })),
        ["tables", file("bad.json"), "-o", file("x")]
      ),
      /already mapped/,
    ],
    [
      "tables that would lie beyond physical memory",
      () => (
        writeFileSync(file("bad.json"), JSON.stringify({ ...LAYOUT, base: "0xffffffffff000" })),
        ["tables", file("bad.json"), "-o", file("x")]
      ),
      /cannot lie at 0x0010000000000000: beyond 52 bits/,
    ],
    [
      "an output without a name",
      () => (writeFileSync(file("good.json"), JSON.stringify(LAYOUT)), ["tables", file("good.json"), "-o", ""]),
      /--output: the name of the file is empty/,
    ],
    [
      "an output in no folder",
      () => (writeFileSync(file("good.json"), JSON.stringify(LAYOUT)), ["tables", file("good.json"), "-o", "/none/x"]),
      /pagewright: \/none\/x: no such file or folder/,
    ],
    [
      "a layout for levels that there are not",
      () => (
        writeFileSync(file("bad.json"), JSON.stringify({ ...LAYOUT, levels: 7 })),
        ["tables", file("bad.json"), "-o", file("x")]
      ),
      /levels should be one of .*, is 7/,
    ],
    [
      "a range with rights that there are not",
      () => (
        writeFileSync(
          file("bad.json"),
          JSON.stringify({ ...LAYOUT, ranges: [{ start: 0, size: 4096, rights: "rwq" }] }),
        ),
        ["tables", file("bad.json"), "-o", file("x")]
      ),
      /range 0: rights should be .*, is "rwq"/,
    ],
    [
      "a layout with an unknown field",
      () => (
        writeFileSync(file("bad.json"), JSON.stringify({ ...LAYOUT, rangs: [] })),
        ["tables", file("bad.json"), "-o", file("x")]
      ),
      /unknown field "rangs"/,
    ],
    [
      "cases that are no cases",
      () => (writeFileSync(file("bad.jsonl"), "{}\n"), ["conformance", file("bad.jsonl")]),
      /bad\.jsonl:1/,
    ],
    ["an unknown format", () => ["dump", file("raw.img"), "--cr3", "0", "--format", "pdf"], /pdf/],
  ];
  test.each(cases)("%s", async (_name, prepare, words) => {
    const run = await here(prepare());
    expect([run.code, run.stdout]).toEqual([2, ""]);
    expect(run.stderr).toMatch(words);
    expect(run.stderr.trim().split("\n").length).toBe(1);
  });

  test("a conformance case that does not hold is listed, and the exit code is 1", async () => {
    const one = {
      id: "x",
      levels: 4,
      maxphyaddr: 40,
      cr0: "0x80000033",
      cr3: "0x1000",
      cr4: "0x20",
      efer: "0xd01",
      rflags: "0x2",
      pkru: "0x0",
      cpl: 0,
      access: "read",
      va: "0x0",
      entries: [],
      result: { outcome: "ok", pa: "0x0" },
    };
    writeFileSync(file("cases.jsonl"), JSON.stringify(one));
    const run = await here(["conformance", file("cases.jsonl"), "--json"]);
    expect(run.code).toBe(1);
    expect(JSON.parse(run.stdout)).toMatchObject({
      passed: 0,
      failed: 2,
      failures: [
        { id: "x", engine: "walker" },
        { id: "x", engine: "mmu" },
      ],
    });
  });
});

withInputs("recorded cases, guests and boots through the command", (inputs) => {
  test("conformance: every case passes in walker and MMU", async () => {
    const files = readdirSync(join(inputs, "mmu")).map((name) => join(inputs, "mmu", name));
    expect(await jsonHere(["conformance", ...files])).toMatchObject({ failed: 0, failures: [] });
  });

  test("the ELF core gives the same listings as the tables alone", async () => {
    const guest = join(inputs, "guests", "linux-4level");
    const wanted = gunzipSync(readFileSync(join(guest, "cpu0-info-tlb.txt.gz"))).toString();
    const got = await here(["dump", join(guest, "memory.core.xz"), "--cr3", "0x4904000", "--format", "qemu-tlb"]);
    expect(got.stdout === wanted).toBe(true);
  });

  test("every boot is diagnosed", async () => {
    for (const name of readdirSync(join(inputs, "broken-boots"))) {
      if (name.endsWith(".md")) continue;
      const dir = join(inputs, "broken-boots", name);
      const truth = JSON.parse(readFileSync(join(dir, "truth.json"), "utf8")) as { cause: string };
      const run = await here([
        "diagnose",
        join(dir, "memory.raw.gz"),
        "--registers",
        join(dir, "registers.json"),
        "--json",
      ]);
      const { ok, findings } = JSON.parse(run.stdout) as { ok: boolean; findings: { rule: string }[] };
      expect([findings[0]?.rule ?? "none", ok, run.code], name).toEqual([
        truth.cause,
        truth.cause === "none",
        truth.cause === "none" ? 0 : 1,
      ]);
    }
  });
});
