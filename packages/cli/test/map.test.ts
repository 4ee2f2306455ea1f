import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { withInputs } from "@pagewright/tooling/inputs";
import { json, jsonHere, pagewright } from "./program.ts";

const T400 = fileURLToPath(new URL("../data/thinkpad-t400-3g.json", import.meta.url));

test("the text names every entry, the holes and the device window", async () => {
  const { code, stdout } = await pagewright(["map", T400]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/usable frames +772,104/);
  expect(stdout).toContain("0x0000000000000000–0x000000000009ebff  usable");
  expect(stdout).toMatch(/256 MiB window +2 places, 0xc0000000 to 0xd0000000/);
});

test("a map comes from standard input, packed, and can be sanitised", async () => {
  const entries = [
    { base: "0x100000", length: "0x200000", type: 1 },
    { base: "0x0", length: "0x100000", type: 1 },
    { base: "0x180000", length: "0x1000", type: 2 },
    { base: "0x400000", length: "0x0", type: 1 },
    { base: "0xfffffffffffff000", length: "0x2000", type: 2 },
  ];
  const input = gzipSync(JSON.stringify({ name: "made up", entries }));
  const map = await json<{ usablePages: number; changes: { kind: string }[] }>(["map", "-"], { input });
  expect(map.usablePages).toBe(767);
  expect(new Set(map.changes.map(({ kind }) => kind))).toEqual(
    new Set(["unsorted", "overlap", "empty", "wraps", "beyond-limit"]),
  );
});

test.each([
  ["neither a log nor JSON", "{", "neither a kernel log"],
  ["no entries", "{}", "entries"],
  ["an entry without numbers", `{"entries":[{"base":"zero"}]}`, "entries[0].base"],
  [
    "an MTRR of an unknown type",
    `{"entries":[],"mtrr":[{"base":"0x0","length":"0x1000","type":"write-bakc"}]}`,
    `mtrr[0].type: "write-bakc"`,
  ],
  ["an unknown default type", `{"entries":[],"mtrrDefault":"WB?"}`, `mtrrDefault: "WB?"`],
  ["only empty entries", `{"entries":[{"base":0,"length":0,"type":1}]}`, "entry 0 has no bytes and was dropped"],
  ["a log of only empty entries", "BIOS-e820: [mem 0x1000-0xfff] usable", "entry 0 has no bytes and was dropped"],
])("a file with %s is one line and exit code 2", async (_, input, words) => {
  const run = await pagewright(["map", "-"], { input: new TextEncoder().encode(input) });
  expect(run).toMatchObject({ code: 2, stdout: "" });
  expect(run.stderr).toMatch(/^pagewright: -: [^\n]+\n$/);
  expect(run.stderr).toContain(words);
});

test("a kernel log is a map too, and --user is what its command line makes of it", async () => {
  const log = `[0.0] Command line: quiet memmap=64K$0x200000
[0.0] BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable
[0.0] BIOS-e820: [mem 0x0000000000100000-0x00000000003fffff] usable\n`;
  const input = new TextEncoder().encode(log);
  const first = JSON.parse((await pagewright(["map", "-", "--json"], { input })).stdout) as { usablePages: number };
  const second = JSON.parse((await pagewright(["map", "-", "--json", "--user"], { input })).stdout) as {
    usablePages: number;
  };
  expect([first.usablePages, second.usablePages]).toEqual([0x9f + 0x300, 0x9f + 0x300 - 16]);
});

test("--user of a machine without a second map is refused", async () => {
  expect(await pagewright(["map", T400, "--user"])).toMatchObject({ code: 2, stdout: "" });
});

/** Fields of the reference that say how the recorded BARs relate to the map or where it is from, and those told apart. */
const NOT_OF_THE_MAP = ["mtrr", "realMtrr", "barsOverlappingEntries", "barsOverlappingRAM", "set", "of"];

const SETS = ["defaultUC_WBonly", "defaultUC_WBandUC", "defaultWB_UCholes"] as const;

type Counts = Readonly<
  Record<(typeof SETS)[number], { readonly count: number; readonly registers: readonly object[] }>
>;

/** What `map --json` and the reference say of MTRRs. */
interface Mtrrs {
  readonly mtrr: { readonly lenient: Counts; readonly strict: Counts };
  readonly realMtrr?: object;
}

/** The six counts of registers: lenient, then strict. */
function countsOf({ mtrr }: Mtrrs): number[] {
  return [mtrr.lenient, mtrr.strict].flatMap((sets) => SETS.map((set) => sets[set].count));
}

test("map --json tells the least number of MTRRs in six ways, the registers, and how the real ones fit", async () => {
  const printed = await jsonHere<Mtrrs>(["map", T400]);
  expect(countsOf(printed)).toEqual([6, 3, 2, 38, 29, 30]);
  expect(printed.mtrr.lenient.defaultUC_WBonly.registers.slice(0, 2)).toEqual([
    { type: "WB", base: "0x0", length: "0x80000000", mask52: "0xfffff80000000" },
    { type: "WB", base: "0x80000000", length: "0x20000000", mask52: "0xfffffe0000000" },
  ]);
  expect(printed.realMtrr).toMatchObject({ registers: 5, default: "UC", ramBytesNotWB: 0, unlistedBytesWB: 0 });
});

withInputs("map --json equals the reference", (dir) => {
  const reference = JSON.parse(readFileSync(`${dir}/maps-reference.json`, "utf8")) as Record<string, Mtrrs>;
  const names = readdirSync(`${dir}/maps`).map((file) => file.replace(".json", ""));
  const users = Object.keys(reference).filter((key) => key.endsWith("#user"));
  test.each([...names, ...users])("%s", async (name) => {
    const [map = "", user] = name.split("#");
    const printed = await jsonHere<Mtrrs>([
      "map",
      `${dir}/maps/${map}.json`,
      ...(user === undefined ? [] : ["--user"]),
    ]);
    const expected = reference[name];
    expect(expected).toBeDefined();
    if (expected === undefined) return;
    const fields = Object.entries(expected).filter(([field]) => !NOT_OF_THE_MAP.includes(field));
    expect(printed).toMatchObject(Object.fromEntries(fields));
    expect(countsOf(printed)).toEqual(countsOf(expected));
    for (const sets of [printed.mtrr.lenient, printed.mtrr.strict])
      for (const set of SETS) expect(sets[set].registers).toHaveLength(sets[set].count);
    if (expected.realMtrr === undefined) expect(printed).not.toHaveProperty("realMtrr");
    else expect(printed.realMtrr).toMatchObject(expected.realMtrr);
  });
});
