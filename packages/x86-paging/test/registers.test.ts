import {
  CR0,
  CR3,
  CR4,
  decodeInvpcid,
  decodeRegister,
  EFER,
  effectiveType,
  encodeInvpcid,
  encodeRegister,
  explainInvpcid,
  explainRegister,
  loadPdptes,
  MEMORY_TYPE_TABLE,
  MEMORY_UC,
  MEMORY_UC_MINUS,
  MEMORY_WB,
  MEMORY_WC,
  MEMORY_WP,
  MEMORY_WT,
  MODE_32_BIT,
  MODE_32_BIT_NO_PSE,
  MODE_4_LEVEL,
  MODE_5_LEVEL,
  MODE_PAE,
  modeOfRegisters,
  MODE_UNPAGED,
  nestedType,
  overlappingType,
  PAGE_FAULT_ERROR,
  PAT,
  PAT_AT_RESET,
  patType,
  PagingError,
  PKRS,
  PKRU,
  reservedBits,
  stateOfRegisters,
  TRANSLATED,
  Walk,
  walk,
} from "@pagewright/x86-paging";
import type { Register } from "@pagewright/x86-paging";
import { describe, expect, test } from "vitest";
import { Random, SparseMemory } from "./support/memory.ts";

const ALL: readonly Register<string>[] = [CR0, CR3, CR4, EFER, PKRU, PKRS, PAT, PAGE_FAULT_ERROR];

describe("registers", () => {
  test.each(ALL.map((register) => [register.name, register] as const))(
    "%s: decode and encode are inverse where no reserved bit is set",
    (_name, register) => {
      const random = new Random(3);
      for (let i = 0; i < 200; i++) {
        const value = BigInt.asUintN(register.bits, random.long());
        const known = value & ~reservedBits(register, value);
        expect(encodeRegister(register, decodeRegister(register, value))).toBe(known);
      }
    },
  );

  test("fields of a register do not overlap and lie within its bits", () => {
    for (const register of ALL) {
      const seen = new Set<number>();
      for (const field of register.fields) {
        for (let bit = field.at; bit < field.at + field.width; bit++) {
          expect(seen.has(bit), `${register.name}.${field.name}`).toBe(false);
          expect(bit).toBeLessThan(register.bits);
          seen.add(bit);
        }
      }
    }
  });

  test("a value that does not fit its field is the caller's mistake", () => {
    expect(() => encodeRegister(CR3, { PCID: 4096 })).toThrow(PagingError);
  });

  test("explanations name what is on, what its absence means, and reserved bits", () => {
    const text = explainRegister(CR0, 0x8000_0011n)
      .map((line) => line.text)
      .join("\n");
    expect(text).toContain("paging is on");
    expect(text).toContain("WP is 0");
    expect(explainRegister(CR4, 1n << 15n).at(-1)).toEqual({
      name: "reserved",
      bits: "15",
      value: 1n,
      text: "bit 15 is reserved and should be 0",
    });
    expect(explainRegister(PAGE_FAULT_ERROR, 0x8045n).map((line) => line.name)).toEqual(["P", "W", "U", "SS", "SGX"]);
  });

  test("INVPCID descriptors go both ways; reserved bits and types are refused as the processor does", () => {
    const descriptor = { type: 0, pcid: 5, address: 0xffff_8000_0000_0000n } as const;
    expect(decodeInvpcid(0, ...encodeInvpcid(descriptor))).toEqual(descriptor);
    expect(explainInvpcid(descriptor)).toContain("PCID 5");
    expect(() => decodeInvpcid(1, 0x1000n, 0n)).toThrow(PagingError);
    expect(() => decodeInvpcid(4, 0n, 0n)).toThrow(PagingError);
    expect(() => encodeInvpcid({ type: 1, pcid: 4096, address: 0n })).toThrow(PagingError);
  });

  test("control bits select the mode", () => {
    const mode = (cr0: number, cr4: number, efer: number): unknown => modeOfRegisters({ cr0, cr3: 0, cr4, efer });
    expect(mode(1, 0x20, 0x100)).toBe(MODE_UNPAGED);
    expect(mode(0x80000001, 0, 0)).toBe(MODE_32_BIT_NO_PSE);
    expect(mode(0x80000001, 0x10, 0)).toBe(MODE_32_BIT);
    expect(mode(0x80000001, 0x20, 0)).toBe(MODE_PAE);
    expect(mode(0x80000001, 0x20, 0x100)).toBe(MODE_4_LEVEL);
    expect(mode(0x80000001, 0x1020, 0x100)).toBe(MODE_5_LEVEL);
  });

  test("loading CR3 under PAE loads four entries from a 32-byte aligned table and refuses reserved bits", () => {
    const memory = new SparseMemory();
    memory.write(0x1020n, 0x5001n);
    memory.write(0x1038n, 0x6001n);
    memory.write(0x5000n, 0x7083n & ~0x7000n);
    const registers = { cr0: 0x80000001, cr3: 0x1020, cr4: 0x20, efer: 0 };
    const state = stateOfRegisters(registers, memory);
    expect([...state.rootEntries]).toEqual([0x5001, 0, 0, 0, 0, 0, 0x6001, 0]);
    expect(walk(state, memory, 0x123456, 0, 0, new Walk())).toBe(TRANSLATED);
    memory.write(0x1028n, 0x3n);
    expect(loadPdptes(state, memory, 0x1020)).toBe(1);
    expect([...state.rootEntries]).toEqual([0x5001, 0, 0, 0, 0, 0, 0x6001, 0]);
  });

  test("with LAM a tag in a data address is ignored, in a fetch it is not", () => {
    const memory = new SparseMemory();
    for (const [address, value] of [
      [0x1000n, 0x2007n],
      [0x2000n, 0x3007n],
      [0x3000n, 0x4007n],
      [0x4000n, 0x9007n],
    ] as const)
      memory.write(address, value);
    const state = stateOfRegisters({ cr0: 0x80000001, cr3: 0x1000n | (1n << 61n), cr4: 0x20, efer: 0x900 }, memory);
    const into = new Walk();
    expect(walk(state, memory, 0x123, 0x7e000000, 4, into)).toBe(TRANSLATED);
    expect([into.pfn, into.addressHigh]).toEqual([9, 0]);
    expect(walk(state, memory, 0x123, 0x7e000000, 6, into)).toBe(-2);
    expect(walk(state, memory, 0x123, 0x7f000000, 4, into)).toBe(-2);
  });
});

describe("memory types", () => {
  test("the PAT after reset is WB WT UC- UC, twice", () => {
    expect(Array.from({ length: 8 }, (_, i) => patType(i, PAT_AT_RESET))).toEqual([6, 4, 7, 0, 6, 4, 7, 0]);
  });

  test("the table is the manual's, all 30 cells", () => {
    // SDM 3A, "Effective Page-Level Memory Types for Pentium III and More Recent Processor Families"; 7 stands for UC−.
    const pats = [MEMORY_UC, MEMORY_UC_MINUS, MEMORY_WC, MEMORY_WT, MEMORY_WB, MEMORY_WP];
    const manual = new Map([
      [MEMORY_UC, "UC UC WC UC UC UC"],
      [MEMORY_WC, "UC WC WC UC WC UC"],
      [MEMORY_WT, "UC UC WC WT WT WP"],
      [MEMORY_WB, "UC UC WC WT WB WP"],
      [MEMORY_WP, "UC WC WC WT WP WP"],
    ]);
    const names = new Map([
      [MEMORY_UC, "UC"],
      [MEMORY_WC, "WC"],
      [MEMORY_WT, "WT"],
      [MEMORY_WB, "WB"],
      [MEMORY_WP, "WP"],
    ]);
    for (const [mtrr, row] of manual)
      expect(pats.map((pat) => names.get(effectiveType(mtrr, pat).type)).join(" "), `MTRR ${names.get(mtrr)}`).toBe(
        row,
      );
    expect(MEMORY_TYPE_TABLE.length).toBe(30);
  });

  test("the manual's corner cases", () => {
    expect(effectiveType(MEMORY_WC, MEMORY_UC_MINUS).type).toBe(MEMORY_WC);
    expect(effectiveType(MEMORY_UC, MEMORY_WC).type).toBe(MEMORY_WC);
    expect(effectiveType(MEMORY_WC, MEMORY_WT).type).toBe(MEMORY_UC);
    expect(effectiveType(MEMORY_WP, MEMORY_UC_MINUS).type).toBe(MEMORY_WC);
    expect(effectiveType(MEMORY_WB, 2).type).toBe(-1);
    expect(effectiveType(3, MEMORY_WB).type).toBe(-1);
  });

  test("overlapping MTRRs: UC wins, WT wins over WB, the rest is undefined", () => {
    expect(overlappingType([MEMORY_WB, MEMORY_UC]).type).toBe(MEMORY_UC);
    expect(overlappingType([MEMORY_WB, MEMORY_WT]).type).toBe(MEMORY_WT);
    expect(overlappingType([MEMORY_WB, MEMORY_WB]).type).toBe(MEMORY_WB);
    expect(overlappingType([MEMORY_WB, MEMORY_WC]).type).toBe(-1);
    expect(overlappingType([]).type).toBe(-1);
  });

  test("under EPT the entry's type takes the place of the MTRRs", () => {
    expect(nestedType(MEMORY_WB, false, MEMORY_WC).type).toBe(MEMORY_WC);
    expect(nestedType(MEMORY_WB, true, MEMORY_UC).type).toBe(MEMORY_WB);
    expect(nestedType(MEMORY_UC, false, MEMORY_WB).type).toBe(MEMORY_UC);
    expect(nestedType(MEMORY_WB, false, -1).type).toBe(MEMORY_WB);
    expect(nestedType(MEMORY_WB, true, MEMORY_WB, true).type).toBe(MEMORY_UC);
    expect(nestedType(MEMORY_WP, false, MEMORY_WP).type).toBe(MEMORY_WP);
  });
});
