import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { ABSENT_FRAME, diagnose } from "@pagewright/x86-paging";
import type { DiagnosisInput, Finding, ImageMemory } from "@pagewright/x86-paging";
import { withInputs } from "@pagewright/tooling/inputs";
import { describe, expect, test } from "vitest";

/** 16 MiB of memory with a small kernel that maps itself low and at −2 GiB; `edit` breaks something. */
class Boot implements ImageMemory {
  readonly bytes = new Uint32Array(0x400000);

  words(pfn: number): Uint32Array {
    return this.has(pfn) ? this.bytes : ABSENT_FRAME;
  }

  base(pfn: number): number {
    return this.has(pfn) ? pfn * 1024 : 0;
  }

  has(pfn: number): boolean {
    return pfn < 0x1000;
  }

  put(address: number, low: number, high = 0): void {
    this.bytes[address / 4] = low;
    this.bytes[address / 4 + 1] = high;
  }
}

const PML4 = 0x10000;
const PDPT_LOW = 0x11000;
const PD = 0x12000;
const PT = 0x13000;
const PDPT_HIGH = 0x14000;
const CODE = 0x100000;
const IDT = 0x104000;
const HIGH = 0xffff_ffff_8000_0000n;

function boot(edit: (memory: Boot) => void = () => undefined, registers: Partial<DiagnosisInput> = {}): Finding[] {
  const memory = new Boot();
  memory.put(PML4, PDPT_LOW + 3);
  memory.put(PML4 + 511 * 8, PDPT_HIGH + 3);
  memory.put(PDPT_LOW, PD + 3);
  memory.put(PDPT_HIGH + 510 * 8, PD + 3);
  memory.put(PD, PT + 3);
  for (let page = 0x100; page < 0x108; page++) memory.put(PT + page * 8, page * 4096 + 3);
  memory.put(CODE, 0x90909090, 0x90909090);
  for (const vector of [3, 8, 13, 14]) {
    memory.put(IDT + vector * 16, 0x00082010, 0x80108e00);
    memory.put(IDT + vector * 16 + 8, 0xffffffff, 0);
  }
  edit(memory);
  return diagnose({
    cr0: 0x80010033n,
    cr3: BigInt(PML4),
    cr4: 0x20n,
    efer: 0xd01n,
    rip: HIGH + BigInt(CODE),
    rsp: HIGH + 0x107000n,
    cs: 8n,
    idtr: { base: HIGH + BigInt(IDT), limit: 0xfff },
    gdtr: { base: HIGH + 0x103000n, limit: 0x17 },
    maxPhysicalBits: 40,
    memory,
    ...registers,
  });
}

const first = (findings: readonly Finding[]): readonly unknown[] => {
  const [finding] = findings;
  return [finding?.rule, finding?.level, finding?.index];
};

describe("a small kernel, broken in one way at a time", () => {
  test("unbroken, nothing is found", () => {
    expect(boot()).toEqual([]);
  });

  const cases: readonly (readonly [string, (memory: Boot) => void, Partial<DiagnosisInput>, readonly unknown[]])[] = [
    ["paging off", () => undefined, { cr0: 0x11n }, ["paging-off", undefined, undefined]],
    [
      "an address that is not canonical",
      () => undefined,
      { rip: 0x8000_0000_0000n },
      ["code-address-not-canonical", undefined, undefined],
    ],
    ["CR3 beyond memory", () => undefined, { cr3: 0x7000_0000n }, ["cr3-beyond-memory", undefined, undefined]],
    ["CR3 at an empty frame", () => undefined, { cr3: 0x20000n }, ["cr3-points-to-empty-table", undefined, undefined]],
    [
      "CR3 at the page directory",
      () => undefined,
      { cr3: BigInt(PD), rip: BigInt(CODE), rsp: 0x107000n },
      ["cr3-points-to-pd", undefined, undefined],
    ],
    [
      "PAE not set",
      () => undefined,
      { cr4: 0n, efer: 0n, rip: BigInt(CODE), rsp: 0x107000n },
      ["pae-off", undefined, undefined],
    ],
    [
      "a PDPT entry shifted right",
      (memory) => memory.put(PDPT_HIGH + 510 * 8, PD / 2 + 3),
      {},
      ["pdpte-frame-misshifted", 3, 510],
    ],
    [
      "a PML4 entry that refers to the PML4",
      (memory) => memory.put(PML4 + 511 * 8, PML4 + 3),
      {},
      ["pml4-entry-points-to-itself", 4, 511],
    ],
    [
      "a PD entry that refers to the PDPT above it",
      (memory) => memory.put(PD, PDPT_HIGH + 3),
      {},
      ["pd-entry-points-to-ancestor", 2, 0],
    ],
    ["a PD entry without P", (memory) => memory.put(PD, PT + 2), {}, ["pde-not-present", 2, 0]],
    ["a table beyond memory", (memory) => memory.put(PD, 0x7000_0003), {}, ["table-beyond-memory", 2, 0]],
    [
      "PS in a PML4 entry",
      (memory) => memory.put(PML4 + 511 * 8, PDPT_HIGH + 0x83),
      {},
      ["page-size-bit-reserved", 4, 511],
    ],
    [
      "the code page not executable",
      (memory) => memory.put(PT + 0x100 * 8, CODE + 3, 0x80000000),
      {},
      ["code-page-no-execute", 1, 256],
    ],
    [
      "NX in an upper entry",
      (memory) => memory.put(PDPT_HIGH + 510 * 8, PD + 3, 0x80000000),
      {},
      ["upper-entry-no-execute", 3, 510],
    ],
    ["a read-only stack page", (memory) => memory.put(PT + 0x106 * 8, 0x106001), {}, ["stack-page-read-only", 1, 262]],
    [
      "a user stack under SMAP",
      (memory) => {
        for (const [address, value] of [
          [PML4 + 511 * 8, PDPT_HIGH + 7],
          [PDPT_HIGH + 510 * 8, PD + 7],
          [PD, PT + 7],
          [PT + 0x106 * 8, 0x106007],
        ] as const)
          memory.put(address, value);
      },
      { cr4: 0x200020n },
      ["smap-user-stack-page", 1, 262],
    ],
    [
      "code mapped to an empty frame",
      (memory) => memory.put(PT + 0x100 * 8, 0x200003),
      {},
      ["code-page-empty", 1, 256],
    ],
    ["a handler that is not mapped", (memory) => memory.put(PT + 0x102 * 8, 0), {}, ["handler-page-unmapped", 1, 258]],
    ["no IDT", () => undefined, { idtr: { base: 0n, limit: 0 } }, ["idt-missing", undefined, undefined]],
    [
      "an IDT of zeros",
      (memory) => memory.bytes.fill(0, IDT / 4, IDT / 4 + 1024),
      {},
      ["idt-empty", undefined, undefined],
    ],
    [
      "IDTR.base with its upper half lost",
      () => undefined,
      { idtr: { base: BigInt(IDT) + 0x8000_0000n, limit: 0xfff } },
      ["idtr-base-wrong", undefined, undefined],
    ],
  ];
  test.each(cases)("%s", (_name, edit, registers, expected) => {
    expect(first(boot(edit, registers))).toEqual(expected);
  });

  test("memory of random words never makes it throw", () => {
    let seed = 5;
    const word = (): number => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0);
    for (let round = 0; round < 20; round++) {
      const findings = boot((memory) => memory.bytes.forEach((_, i) => (memory.bytes[i] = word())), {
        cr4: BigInt(word()),
        efer: BigInt(word()),
        cr3: BigInt(word() & 0xffffff),
      });
      expect(Array.isArray(findings)).toBe(true);
    }
  });
});

withInputs("recorded boots that go wrong", (inputs) => {
  const hexOf = (value: unknown): bigint => BigInt(value as string);
  for (const name of readdirSync(join(inputs, "broken-boots"))) {
    if (name.endsWith(".md")) continue;
    test(`${name}: the first finding is the cause`, () => {
      const dir = join(inputs, "broken-boots", name);
      const registers = JSON.parse(readFileSync(join(dir, "registers.json"), "utf8")) as Record<string, unknown>;
      const truth = JSON.parse(readFileSync(join(dir, "truth.json"), "utf8")) as {
        cause: string;
        level?: number;
        entry?: { pa: string; value: string };
      };
      const bytes = gunzipSync(readFileSync(join(dir, "memory.raw.gz")));
      const memory = new Boot();
      memory.bytes.forEach((_, i) => (memory.bytes[i] = bytes.readUInt32LE(4 * i)));
      const table = (value: unknown): { base: bigint; limit: number } => {
        const { base, limit } = value as { base: string; limit: string };
        return { base: BigInt(base), limit: Number(limit) };
      };
      const [finding] = diagnose({
        cr0: hexOf(registers["cr0"]),
        cr2: hexOf(registers["cr2"]),
        cr3: hexOf(registers["cr3"]),
        cr4: hexOf(registers["cr4"]),
        efer: hexOf(registers["efer"]),
        rip: hexOf(registers["rip"]),
        rsp: hexOf(registers["rsp"]),
        cs: hexOf(registers["cs"]),
        idtr: table(registers["idtr"]),
        gdtr: table(registers["gdtr"]),
        maxPhysicalBits: Number(registers["maxphyaddr"]),
        memory,
      });
      expect(finding?.rule ?? "none").toBe(truth.cause);
      expect(finding?.level).toBe(truth.level);
      if (truth.entry !== undefined)
        expect([finding?.entryAddress, finding?.value]).toEqual([BigInt(truth.entry.pa), BigInt(truth.entry.value)]);
    });
  }
});
