import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  combineTypes,
  encodingOf,
  firmwareMapFromDmesg,
  firmwareMapFromJson,
  firmwareMapOf,
  MIB,
  mtrrNeeds,
  MtrrManager,
  MtrrRegisters,
  Pat,
  PAT_LINUX,
  registersOf,
  reportMtrrs,
  synthesiseMtrrs,
  validateMtrrs,
} from "@pagewright/machine";
import type { FirmwareMap, MemoryType, MtrrReport, TypeNeed, VariableRange } from "@pagewright/machine";
import { effectiveType } from "@pagewright/x86-paging";
import { withInputs } from "@pagewright/tooling/inputs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

function registersFrom(ranges: readonly VariableRange[], defaultType: MemoryType): MtrrRegisters {
  const registers = new MtrrRegisters(ranges.length);
  registers.defaultType = defaultType;
  registers.setRanges(ranges);
  return registers;
}

function wrongNeeds(registers: MtrrRegisters, needs: readonly TypeNeed[]): string[] {
  return needs.flatMap((need) =>
    registers
      .typesIn(need.start, need.end)
      .filter((range) => range.type !== need.type)
      .map((range) => `${range.start} is ${range.type ?? "undefined"}, not ${need.type}`),
  );
}

/** Every block of a space of 16 pages. */
const BLOCKS = [16, 8, 4, 2, 1].flatMap((size) =>
  Array.from({ length: 16 / size }, (_, at) => ({ base: at * size * 4096, length: size * 4096 })),
);

/** The least number of registers by trying every set of up to `limit` of them. */
function leastByTrial(
  needs: readonly TypeNeed[],
  defaultType: MemoryType,
  types: readonly MemoryType[],
  limit: number,
): number {
  const all = BLOCKS.flatMap((block) => types.map((type) => ({ ...block, type })));
  const fits = (chosen: readonly VariableRange[]): boolean =>
    wrongNeeds(registersFrom(chosen, defaultType), needs).length === 0;
  const tries = (chosen: readonly VariableRange[], from: number, left: number): boolean => {
    if (left === 0) return fits(chosen);
    return all.some((one, at) => at >= from && tries([...chosen, one], at + 1, left - 1));
  };
  for (let count = 0; count <= limit; count++) if (tries([], 0, count)) return count;
  return Infinity;
}

const smallNeeds = fc
  .array(fc.constantFrom<MemoryType | null>("WB", "UC", "WB", "UC", null), { minLength: 16, maxLength: 16 })
  .map((pages) =>
    pages.flatMap((type, at): TypeNeed[] => (type === null ? [] : [{ start: at * 4096, end: at * 4096 + 4096, type }])),
  );

describe("MTRR synthesis", () => {
  test("finds as few registers as trying every set of up to two does", () => {
    fc.assert(
      fc.property(smallNeeds, (needs) => {
        for (const [defaultType, types] of [
          ["UC", ["WB"]],
          ["UC", ["WB", "UC"]],
          ["WB", ["UC"]],
        ] as const) {
          const found = synthesiseMtrrs(needs, { defaultType, types });
          if (found === null) throw new Error("there is always a set");
          expect(wrongNeeds(registersFrom(found, defaultType), needs)).toEqual([]);
          const tried = leastByTrial(needs, defaultType, types, 2);
          if (tried === Infinity) expect(found.length).toBeGreaterThan(2);
          else expect(found.length).toBe(tried);
        }
      }),
      { numRuns: 25, seed: 7 },
    );
  });

  test("says that a type between two others cannot be had by an undefined overlap", () => {
    const needs: TypeNeed[] = [
      { start: 0, end: 4096, type: "WC" },
      { start: 4096, end: 8192, type: "WB" },
    ];
    expect(synthesiseMtrrs(needs, { defaultType: "WB", types: ["UC"] })).toBeNull();
    expect(synthesiseMtrrs(needs, { defaultType: "WB", types: ["WC"] })).toHaveLength(1);
  });
});

describe("MTRRs at run time", () => {
  const base: TypeNeed[] = [
    { start: MIB, end: 512 * MIB, type: "WB" },
    { start: 512 * MIB, end: 4096 * MIB, type: "UC" },
  ];

  test("a write-combining range is added and removed again", () => {
    const registers = new MtrrRegisters(4);
    const manager = new MtrrManager(registers, base);
    const outcome = manager.add(0xd0000000, 0xd0800000, "WC", "framebuffer");
    if (!outcome.ok) throw new Error(outcome.reason);
    expect(registers.typeAt(0xd0400000)).toBe("WC");
    manager.check();
    manager.remove(outcome.claim);
    expect(registers.typeAt(0xd0400000)).toBe("UC");
    manager.check();
  });

  test("what does not fit is refused with what is lost and how the PAT makes up for it", () => {
    const manager = new MtrrManager(new MtrrRegisters(2), base);
    const refused = manager.add(0xd0000000, 0xd0003000, "WC", "framebuffer");
    expect(refused).toMatchObject({ ok: false, reason: "too-many-registers", needed: 3, available: 2, patType: "WC" });
    expect(refused).toMatchObject({ typeNow: [{ start: 0xd0000000, end: 0xd0003000, type: "UC" }] });
    const cached = manager.add(0xd0000000, 0xd0003000, "WB", "cache");
    expect(cached).toMatchObject({ ok: false, patType: null });
    const across = manager.add(512 * MIB - 4096, 512 * MIB + 4096, "WT", "both sides");
    expect(across).toMatchObject({
      ok: false,
      typeNow: [
        { start: 512 * MIB - 4096, end: 512 * MIB, type: "WB" },
        { start: 512 * MIB, end: 512 * MIB + 4096, type: "UC" },
      ],
      patType: null,
    });
    manager.check();
  });

  test("two owners of one range are both named", () => {
    const manager = new MtrrManager(new MtrrRegisters(8), base);
    manager.add(0xd0000000, 0xd0800000, "WC", "first");
    expect(() => manager.add(0xd0000000, 0xd0001000, "UC", "second")).toThrow(/second wants .* first has/);
  });

  // Intel SDM volume 3A, table 11-7 of edition 253668-032: the rows of one MTRR type, with its PAT types in the manual's order.
  test.each<[mtrr: MemoryType, effective: readonly (readonly [pat: MemoryType, type: MemoryType])[]]>([
    [
      "UC",
      [
        ["UC", "UC"],
        ["UC-", "UC"],
        ["WC", "WC"],
        ["WT", "UC"],
        ["WB", "UC"],
        ["WP", "UC"],
      ],
    ],
    [
      "WC",
      [
        ["UC", "UC"],
        ["UC-", "WC"],
        ["WC", "WC"],
        ["WT", "UC"],
        ["WB", "WC"],
        ["WP", "UC"],
      ],
    ],
    [
      "WT",
      [
        ["UC", "UC"],
        ["UC-", "UC"],
        ["WC", "WC"],
        ["WT", "WT"],
        ["WB", "WT"],
        ["WP", "WP"],
      ],
    ],
    [
      "WB",
      [
        ["UC", "UC"],
        ["UC-", "UC"],
        ["WC", "WC"],
        ["WT", "WT"],
        ["WB", "WB"],
        ["WP", "WP"],
      ],
    ],
    [
      "WP",
      [
        ["UC", "UC"],
        ["UC-", "WC"],
        ["WC", "WC"],
        ["WT", "WT"],
        ["WB", "WP"],
        ["WP", "WP"],
      ],
    ],
  ])("an MTRR of %s and every PAT type together give what the manual's table says", (mtrr, effective) => {
    for (const [pat, type] of effective) {
      expect([pat, combineTypes(pat, mtrr)]).toEqual([pat, type]);
      expect([pat, effectiveType(encodingOf(mtrr), encodingOf(pat)).type]).toEqual([pat, encodingOf(type)]);
    }
  });

  test("the PAT holds what was programmed, and refuses reserved encodings", () => {
    const pat = new Pat();
    expect(pat.readMsr()).toEqual([0x00070406, 0x00070406]);
    pat.program(PAT_LINUX);
    const [low, high] = pat.readMsr();
    pat.writeMsr(low, high);
    expect(pat.types).toEqual(PAT_LINUX);
    expect(() => {
      pat.writeMsr(2, 0);
    }).toThrow(/reserved/);
  });

  test("fixed registers rule below 1 MiB, UC wins where variable ones overlap", () => {
    const registers = new MtrrRegisters(4);
    registers.setRanges([
      { base: 0, length: 1024 * MIB, type: "WB" },
      { base: 512 * MIB, length: 512 * MIB, type: "UC" },
      { base: 256 * MIB, length: 256 * MIB, type: "WT" },
      { base: 768 * MIB, length: 256 * MIB, type: "WC" },
    ]);
    registers.fixedEnabled = true;
    registers.setFixed(0, 0xa0000, "WB");
    registers.setFixed(0xc0000, 0x100000, "WP");
    expect(registers.typesIn(0, 1024 * MIB).map(({ start, type }) => [start, type])).toEqual([
      [0, "WB"],
      [0xa0000, "UC"],
      [0xc0000, "WP"],
      [MIB, "WB"],
      [256 * MIB, "WT"],
      [512 * MIB, "UC"],
    ]);
    expect(() => {
      registers.setVariable(0, { base: 4096, length: 8192, type: "WB" });
    }).toThrow(/aligned power-of-two/);
  });
});

interface Reference {
  readonly mtrr: MtrrReport;
  readonly realMtrr?: object;
}

const SETS = [
  ["defaultUC_WBonly", "UC"],
  ["defaultUC_WBandUC", "UC"],
  ["defaultWB_UCholes", "WB"],
] as const;

withInputs("minimal MTRR sets of all shared maps", (dir) => {
  const reference = JSON.parse(readFileSync(join(dir, "maps-reference.json"), "utf8")) as Record<string, Reference>;
  for (const [key, expected] of Object.entries(reference))
    test(`${key}: counts equal the reference, sets give every interval its type`, () => {
      const [name, user] = key.split("#");
      const json: unknown = JSON.parse(readFileSync(join(dir, "maps", `${name ?? ""}.json`), "utf8"));
      const map: FirmwareMap = firmwareMapFromJson(json, { list: user === undefined ? "entries" : "userEntries" });
      const report = reportMtrrs(map);
      for (const strictness of ["lenient", "strict"] as const) {
        const needs = mtrrNeeds(map, strictness);
        for (const [set, defaultType] of SETS) {
          const found = report[strictness][set];
          expect(found.count).toBe(expected.mtrr[strictness][set].count);
          const ranges = found.registers.map((one) => ({
            base: Number(one.base),
            length: Number(one.length),
            type: one.type,
          }));
          expect(wrongNeeds(registersFrom(ranges, defaultType), needs)).toEqual([]);
        }
      }
      if (expected.realMtrr === undefined) expect(validateMtrrs(map)).toBeNull();
      else expect(validateMtrrs(map)).toMatchObject(expected.realMtrr);
      registersOf(map).check();
    });
});

describe("what a map needs of MTRRs", () => {
  const FRAME = 4096;
  /** Entries around 1 MiB, some of them inside frames; end of memory far below 4 GiB. */
  const entries = fc.array(
    fc.record({
      base: fc.nat(96).map((at) => MIB - 32 * FRAME + at * (FRAME / 2)),
      length: fc.integer({ min: 1, max: 24 }).map((count) => count * (FRAME / 2)),
      type: fc.constantFrom(1, 2, 3, 4, 5, 7),
    }),
    { minLength: 1, maxLength: 8 },
  );

  test("property: page by page, WB where memory is, UC where nothing is (lenient) or no memory is (strict)", () => {
    fc.assert(
      fc.property(entries, fc.constantFrom("lenient" as const, "strict" as const), (raw, strictness) => {
        const map = firmwareMapOf(
          raw.map(({ base, length, type }) => ({ base: BigInt(base), length: BigInt(length), type })),
        );
        const needs = mtrrNeeds(map, strictness);
        for (let page = MIB; page < MIB + 128 * FRAME; page += FRAME) {
          const touching = map.entries.filter((one) => one.base < page + FRAME && one.end > page);
          const isMemory = touching.some(({ type }) => type === 1 || type === 3 || type === 4);
          const isFree = strictness === "strict" ? !isMemory : touching.length === 0;
          const need = needs.find((one) => one.start <= page && one.end >= page + FRAME);
          expect(need?.type ?? null).toBe(isMemory ? "WB" : isFree ? "UC" : null);
        }
        expect(needs.every((need) => need.start >= MIB)).toBe(true);
        expect(needs.at(-1)?.end).toBe(4096 * MIB);
      }),
    );
  });
});

withInputs("MTRRs of more real machines", (dir) => {
  interface Sample {
    readonly name: string;
    readonly default: string | null;
    readonly regs: readonly (readonly [base: string, size: string, type: string])[];
  }
  const samples = JSON.parse(readFileSync(join(dir, "mtrr-samples.json"), "utf8")) as Sample[];
  const SIZES: Readonly<Record<string, number>> = { K: 1024, M: MIB };

  test.each(samples)("$name: read from /proc/mtrr, and each address has the type that its registers give", (sample) => {
    const log = sample.regs.map(
      ([base, size, type], at) => `reg0${at}: base=${base} (    0MB), size= ${size}B, count=1: ${type}`,
    );
    const first = sample.default === null ? [] : [`MTRR default type: ${sample.default}`];
    const map = firmwareMapFromDmesg(["BIOS-e820: [mem 0x0-0x3fffffff] usable", ...first, ...log].join("\n"));
    const expected = sample.regs.map(([base, size, type]) => ({
      base: Number(base),
      length: Number(size.slice(0, -1)) * (SIZES[size.slice(-1)] ?? NaN),
      type,
    }));
    expect(map.mtrrs).toEqual(expected);
    const registers = registersOf(map);
    registers.check();
    const edges = expected.flatMap(({ base, length }) => [base - 4096, base, base + length - 4096, base + length]);
    for (const at of edges.filter((edge) => edge >= MIB)) {
      const over = expected.filter(({ base, length }) => at >= base && at < base + length).map(({ type }) => type);
      const type = over.includes("uncachable") ? "UC" : over.includes("write-back") ? "WB" : null;
      const other = over.includes("write-combining") ? "WC" : sample.default === "write-back" ? "WB" : "UC";
      expect(registers.typeAt(at)).toBe(type ?? other);
      expect(registers.typesIn(at, at + 4096)).toEqual([{ start: at, end: at + 4096, type: type ?? other }]);
    }
    expect(validateMtrrs(map)?.registers).toBe(expected.length);
  });
});
