import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { withInputs } from "@pagewright/tooling/inputs";
import { firmwareMapFromDmesg, isDmesg } from "../../src/firmware/dmesg.ts";
import { typeName } from "../../src/firmware/entry.ts";
import type { FirmwareMap } from "../../src/firmware/firmware-map.ts";
import { firmwareMapFromJson } from "../../src/firmware/json.ts";
import { applyMemoryWords, memoryWordOf, memoryWordsOf } from "../../src/firmware/memmap.ts";

const entriesOf = (map: FirmwareMap): [number, number, number][] =>
  map.entries.map(({ base, end, type }) => [base, end, type]);

/** A small map in every wording. */
const EXPECTED = [
  [0, 0x9fc00, 1],
  [0x9fc00, 0xa0000, 2],
  [0x100000, 0x3ff0000, 1],
  [0x3ff0000, 0x4000000, 3],
];

describe("every wording gives the same map", () => {
  const wordings: Record<string, string> = {
    "2.2: bytes @ base": `BIOS-provided physical RAM map:
 BIOS-e820: 0009fc00 @ 00000000 (usable)
 BIOS-e820: 00000400 @ 0009fc00 (reserved)
 BIOS-e820: 03ef0000 @ 00100000 (usable)
 BIOS-e820: 00010000 @ 03ff0000 (ACPI data)
Detected 165793 kHz processor.`,
    "the same, base first": `BIOS-provided physical RAM map:
 BIOS-e820: 0000000000000000 @ 000000000009fc00 (usable)
 BIOS-e820: 000000000009fc00 @ 0000000000000400 (reserved)
 BIOS-e820: 0000000000100000 @ 0000000003ef0000 (usable)
 BIOS-e820: 0000000003ff0000 @ 0000000000010000 (ACPI data)`,
    "2.4: sixteen digits, bytes @ base": ` BIOS-e820: 000000000009fc00 @ 0000000000000000 (usable)
 BIOS-e820: 0000000000000400 @ 000000000009fc00 (reserved)
 BIOS-e820: 0000000003ef0000 @ 0000000000100000 (usable)
 BIOS-e820: 0000000000010000 @ 0000000003ff0000 (ACPI data)
64MB LOWMEM available.`,
    "a Xen guest, stray lines of others in between": `[    0.000000] Xen: [mem 0x0000000000000000-0x000000000009fbff] usable
systemd-journald[1]: Received client request
[    0.000000] Xen: [mem 0x000000000009fc00-0x000000000009ffff] reserved
last message repeated 2 times
[    0.000000] Xen: [mem 0x0000000000100000-0x0000000003feffff] usable
[    0.000000] Xen: [mem 0x0000000003ff0000-0x0000000003ffffff] ACPI data
[    0.000000] NX (Execute Disable) protection: active`,
    "with a caller column and e820: before it": `<6>[    0.000000][    T0] e820: BIOS-provided physical RAM map:
<6>[    0.000000][    T0] BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable
<6>[    0.000000][    T0] BIOS-e820: [mem 0x000000000009fc00-0x000000000009ffff] reserved
<6>[    0.000000][    T0] BIOS-e820: [mem 0x0000000000100000-0x0000000003feffff] usable
<6>[    0.000000][    T0] BIOS-e820: [mem 0x0000000003ff0000-0x0000000003ffffff] ACPI data
<6>[    0.000000][    T0] e820: update [mem 0x00000000-0x00000fff] usable ==> reserved
<6>[    0.000000][    T0] e820: remove [mem 0x000a0000-0x000fffff] usable`,
    "2.6: end exclusive": `<6>BIOS-provided physical RAM map:
<4> BIOS-e820: 0000000000000000 - 000000000009fc00 (usable)
<4> BIOS-e820: 000000000009fc00 - 00000000000a0000 (reserved)
<4> BIOS-e820: 0000000000100000 - 0000000003ff0000 (usable)
<4> BIOS-e820: 0000000003ff0000 - 0000000004000000 (ACPI data)`,
    "3.4 on: end inclusive, behind syslog": `Jan  1 00:00:01 host kernel: [    0.000000] BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable
Jan  1 00:00:01 host kernel: [    0.000000] BIOS-e820: [mem 0x000000000009fc00-0x000000000009ffff] reserved
Jan  1 00:00:01 host kernel: [    0.000000] BIOS-e820: [mem 0x0000000000100000-0x0000000003feffff] usable
Jan  1 00:00:01 host kernel: [    0.000000] BIOS-e820: [mem 0x0000000003ff0000-0x0000000003ffffff] ACPI data`,
    "newer names, gaps and sizes": `[    0.000000] BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff]  639   KB System RAM
[    0.000000] BIOS-e820: [mem 0x000000000009fc00-0x000000000009ffff]    1   KB device reserved
[    0.000000] BIOS-e820: [gap 0x00000000000a0000-0x00000000000fffff]
[    0.000000] BIOS-e820: [mem 0x0000000000100000-0x0000000003feffff]   62.9 MB System RAM
[    0.000000] BIOS-e820: [mem 0x0000000003ff0000-0x0000000003ffffff]   64   KB ACPI data\r`,
  };
  test.each(Object.entries(wordings))("%s", (_, text) => {
    expect(isDmesg(text)).toBe(true);
    expect(entriesOf(firmwareMapFromDmesg(text))).toEqual(EXPECTED);
    expect(entriesOf(firmwareMapFromDmesg(`${text}\n\n${text}`))).toEqual(EXPECTED);
  });
});

test("nodes, hot-plug ranges and MTRRs are read beside the map", () => {
  const map = firmwareMapFromDmesg(`
BIOS-e820: [mem 0x0000000000000000-0x000000007fffffff] usable
MTRR default type: uncachable
MTRR fixed ranges enabled:
  00000-9FFFF write-back
MTRR variable ranges enabled:
  0 base 0000000000 mask FF80000000 write-back
  1 base 007F000000 mask FFFF000000 uncachable
  2 disabled
ACPI: SRAT: Node 0 PXM 0 [mem 0x00000000-0x7fffffff]
ACPI: SRAT: Node 1 PXM 1 [mem 0x100000000-0x57fffffff] hotplug
SRAT: Node 2 PXM 2 600000000-640000000`);
  expect(map.mtrrDefault).toBe("uncachable");
  expect(map.mtrrs).toEqual([
    { base: 0, length: 2 ** 31, type: "write-back" },
    { base: 0x7f000000, length: 2 ** 24, type: "uncachable" },
  ]);
  expect(map.affinity.map(({ node, base, end, hotPluggable }) => [node, base, end, hotPluggable])).toEqual([
    [0, 0, 2 ** 31, false],
    [1, 2 ** 32, 0x580000000, true],
    [2, 0x600000000, 0x640000000, false],
  ]);
});

test("NUMA ranges that are printed as the node's whole so far count once", () => {
  const map = firmwareMapFromDmesg(`BIOS-e820: [mem 0x0-0xfffff] usable
SRAT: Node 0 PXM 0 0-a0000
SRAT: Node 0 PXM 0 0-c0000000
SRAT: Node 0 PXM 0 0-140000000
SRAT: Node 1 PXM 1 [140000000,240000000)
SRAT: PXM 1 -> APIC 0x04 -> Node 1`);
  expect(map.affinity.map(({ node, base, end }) => [node, base, end])).toEqual([
    [0, 0, 0xa0000],
    [0, 0xa0000, 0xc0000000],
    [0, 0xc0000000, 0x140000000],
    [1, 0x140000000, 0x240000000],
  ]);
});

test("registers that mtrr_cleanup made take the place of those it found; what is printed twice counts once", () => {
  const map = firmwareMapFromDmesg(`BIOS-e820: [mem 0x0-0xfffff] usable
MTRR default type: uncachable
  0 base 000000000 mask F80000000 write-back
original variable MTRRs
reg 0, base: 0GB, range: 2GB, type WB
reg 1, base: 2040MB, range: 8MB, type UC
total RAM covered: 2040M
New variable MTRRs
reg 0, base: 0GB, range: 1GB, type WB
reg 1, base: 1GB, range: 1GB, type WB
reg 1, base: 1GB, range: 1GB, type WB`);
  expect(map.mtrrs).toEqual([
    { base: 0, length: 2 ** 30, type: "write-back" },
    { base: 2 ** 30, length: 2 ** 30, type: "write-back" },
  ]);
});

test("the map of the last boot is read out of lines without any boot message", () => {
  const lines = (end: string): string => `host kernel: BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable
host kernel: BIOS-e820: [mem 0x0000000000100000-0x${end}] usable
host cron[77]: job`;
  expect(entriesOf(firmwareMapFromDmesg(`${lines("00000000001fffff")}\n${lines("00000000002fffff")}`))).toEqual([
    [0, 0x9fc00, 1],
    [0x100000, 0x300000, 1],
  ]);
});

test("types without a name, with brackets in it, and maps of older BIOS calls", () => {
  const text = ` BIOS-e801: 0000000000000000 - 000000000009f000 (usable)
 BIOS-e801: 0000000000100000 - 0000000001000000 (usable)
 BIOS-e801: 0000000001000000 - 0000000002000000 type 9
 BIOS-e801: 0000000002000000 - 0000000003000000 (persistent (type 12))`;
  expect(entriesOf(firmwareMapFromDmesg(text)).map(([, , type]) => type)).toEqual([1, 1, 9, 12]);
});

test("/proc/mtrr lines are read too", () => {
  const map = firmwareMapFromDmesg(`BIOS-e820: [mem 0x0-0xfffff] usable
reg00: base=0x000000000 (    0MB), size= 2048MB, count=1: write-back
reg01: base=0x0d0000000 ( 3328MB), size=  256MB: write-combining, count=1`);
  expect(map.mtrrs).toEqual([
    { base: 0, length: 2 ** 31, type: "write-back" },
    { base: 0xd0000000, length: 2 ** 28, type: "write-combining" },
  ]);
});

describe("the second map", () => {
  const firmware = `Linux version 5.10
Command line: root=/dev/sda1 memmap=8G!8G mem=14G quiet
BIOS-e820: [mem 0x0000000000000000-0x00000003ffffffff] usable`;

  test("is the one that the kernel printed", () => {
    const text = `${firmware}
user-defined physical RAM map:
user: [mem 0x0000000000000000-0x00000000ffffffff] usable
user: [mem 0x0000000100000000-0x00000001ffffffff] persistent (type 12)`;
    expect(entriesOf(firmwareMapFromDmesg(text, { list: "userEntries" }))).toEqual([
      [0, 2 ** 32, 1],
      [2 ** 32, 2 ** 33, 12],
    ]);
    expect(entriesOf(firmwareMapFromDmesg(text))).toEqual([[0, 2 ** 34, 1]]);
  });

  test("or what the command line makes of the first", () => {
    expect(entriesOf(firmwareMapFromDmesg(firmware, { list: "userEntries" }))).toEqual([
      [0, 2 ** 33, 1],
      [2 ** 33, 2 ** 34, 12],
    ]);
    expect(() => firmwareMapFromDmesg("BIOS-e820: [mem 0x0-0xfff] usable", { list: "userEntries" })).toThrow(
      "no second map",
    );
  });
});

test("a log of several boots gives the last one, and a text without a map is refused", () => {
  const text = `Linux version 1
BIOS-e820: [mem 0x0-0xfff] usable
Linux version 2
BIOS-e820: [mem 0x1000-0x2fff] usable`;
  expect(entriesOf(firmwareMapFromDmesg(text))).toEqual([[0x1000, 0x3000, 1]]);
  expect(isDmesg("hello\nworld")).toBe(false);
  expect(() => firmwareMapFromDmesg("hello")).toThrow("no line of a BIOS-e820 map");
});

test("prefixes of every logger, colours and broken-off lines do not matter", () => {
  const line = "BIOS-e820: [mem 0x0000000000001000-0x0000000000001fff] usable";
  for (const prefix of [
    "<6>[    0.000000] ",
    "[    0.000000][    T0] ",
    "Nov 22 10:00:00 host kernel: [    0.000000] ",
    "2023-11-22T10:00:00.123456+01:00 host kernel[1]: ",
    "[Wed Nov 22 10:00:00 2023] ",
    "kern  :info  : [    0.000000] ",
    "6,12,0,-;",
    "\u001b[32m[    0.000000] \u001b[0m",
  ])
    expect(entriesOf(firmwareMapFromDmesg(prefix + line))).toEqual([[0x1000, 0x2000, 1]]);
  const coloured = line.replace("BIOS-e820", "\u001b[33mBIOS-e820\u001b[0m");
  expect(isDmesg(coloured)).toBe(true);
  expect(entriesOf(firmwareMapFromDmesg(coloured))).toEqual([[0x1000, 0x2000, 1]]);
  const broken = (end: string): number | undefined =>
    firmwareMapFromDmesg(`${line}\nBIOS-e820: [mem 0x2000-0x2fff${end}`).raw[1]?.type;
  expect(["] usa", "] reserv", "] ACPI N", "] ACPI", "]", ""].map(broken)).toEqual([1, 2, 4, 2, 2, undefined]);
});

test("an unknown name counts as reserved and a numbered type keeps its number", () => {
  const text = "BIOS-e820: [mem 0x0-0xfff] mystery\nBIOS-e820: [mem 0x1000-0x1fff] type 9";
  expect(entriesOf(firmwareMapFromDmesg(text)).map(([, , type]) => type)).toEqual([2, 9]);
});

describe("memmap= words", () => {
  const ram = [{ base: 0n, length: 2n ** 32n, type: 1 }];
  const apply = (line: string): [bigint, bigint, number][] =>
    applyMemoryWords(ram, memoryWordsOf(line)).map(({ base, length, type }) => [base, length, type]);

  test("add, mark, forget, limit and retype", () => {
    expect(apply("memmap=exactmap memmap=640K@0,1M@1M")).toEqual([
      [0n, 655360n, 1],
      [2n ** 20n, 2n ** 20n, 1],
    ]);
    expect(apply("memmap=64K$0x18690000")).toEqual([
      [0n, 2n ** 32n, 1],
      [0x18690000n, 0x10000n, 2],
    ]);
    expect(apply("memmap=64K#0x18690000")[1]?.[2]).toBe(3);
    expect(apply("mem=1G")).toEqual([[0n, 2n ** 30n, 1]]);
    expect(apply("memmap=1G%1G-1+7")).toEqual([
      [0n, 2n ** 30n, 1],
      [2n ** 31n, 2n ** 31n, 1],
      [2n ** 30n, 2n ** 30n, 7],
    ]);
    expect(apply("memmap=1G%1G")).toEqual([
      [0n, 2n ** 30n, 1],
      [2n ** 31n, 2n ** 31n, 1],
    ]);
    expect(apply("memmap=1G%8G+7")).toEqual([
      [0n, 2n ** 32n, 1],
      [2n ** 33n, 2n ** 30n, 7],
    ]);
    expect(apply("memmap=1G%1G-2+7")).toEqual([[0n, 2n ** 32n, 1]]);
  });

  test("are read as the kernel reads them", () => {
    expect(apply("mem=64MB")).toEqual([[0n, 2n ** 26n, 1]]);
    expect(apply("mem=nopentium mem=0 memmap=yes")).toEqual([[0n, 2n ** 32n, 1]]);
    expect(apply("mem=0x40000000 quiet")).toEqual([[0n, 2n ** 30n, 1]]);
    expect(apply("mem=010M")).toEqual([[0n, 2n ** 23n, 1]]);
    expect(apply("mem=1g -- mem=1m")).toEqual([[0n, 2n ** 30n, 1]]);
    expect(apply('"memmap=64K$0x18690000" acpi="a b"')[1]).toEqual([0x18690000n, 0x10000n, 2]);
    expect(apply('memmap="64K$0x18690000"')[1]).toEqual([0x18690000n, 0x10000n, 2]);
    expect(apply("memmap=64K$0x18690000junk")[1]).toEqual([0x18690000n, 0x10000n, 2]);
    expect(apply("memmap=1G%1G-1+7junk")).toEqual([[0n, 2n ** 32n, 1]]);
    expect(apply("memmap=1G%1G-0+0x7")[1]).toEqual([2n ** 30n, 2n ** 30n, 7]);
    expect(apply("memmap=1G%1G-01+014")[2]).toEqual([2n ** 30n, 2n ** 30n, 12]);
    expect(apply("memmap=1G%3G-1")).toEqual([[0n, 3n * 2n ** 30n, 1]]);
    expect(apply("memmap=bogus,1M@8G")[1]).toEqual([2n ** 33n, 2n ** 20n, 1]);
    expect(apply("memmap=1M@8G memmap=exactmap memmap=2M@0")).toEqual([[0n, 2n ** 21n, 1]]);
  });

  test("what lay under a removed range does not come back", () => {
    const overlapping = [...ram, { base: 2n ** 30n, length: 2n ** 30n, type: 2 }];
    const out = applyMemoryWords(overlapping, memoryWordsOf("memmap=1G%1G-2"));
    expect(out.map(({ base, length, type }) => [base, length, type])).toEqual([
      [0n, 2n ** 30n, 1],
      [2n ** 31n, 2n ** 31n, 1],
    ]);
  });

  test("anything else is refused by name", () => {
    for (const word of ["", "1G@", "@1G", "0@0", "1Q@0", "1G@1G+2", "yes"])
      expect(() => memoryWordOf(word)).toThrow(`memmap=${word}`);
  });
});

withInputs("logs printed from the maps of real machines read back as those maps", (dir) => {
  test.each(readdirSync(join(dir, "maps")))("%s", (file) => {
    const json: unknown = JSON.parse(readFileSync(join(dir, "maps", file), "utf8"));
    const map = firmwareMapFromJson(json);
    const wide = (value: number): string => `0x${value.toString(16).padStart(16, "0")}`;
    const log = map.raw
      .map(
        ({ base, length, type }) =>
          `BIOS-e820: [mem ${wide(Number(base))}-${wide(Number(base + length) - 1)}] ${typeName(type)}`,
      )
      .concat(
        map.affinity.map(
          ({ node, base, end, hotPluggable }) =>
            `ACPI: SRAT: Node ${node} PXM ${node} [mem ${wide(base)}-${wide(end - 1)}]${hotPluggable ? " hotplug" : ""}`,
        ),
      );
    const back = firmwareMapFromDmesg(log.join("\n"));
    expect(back.entries).toEqual(map.entries);
    expect(back.affinity).toEqual(map.affinity);
  });
});
