/** Which changes of control registers drop translations and cached upper entries, and which only change what is allowed. */
import * as bits from "@pagewright/machine";
import { CR0_PG, CR0_WP, LONG_MODE, MIB } from "@pagewright/machine";
import type { Cpu } from "@pagewright/machine";
import { describe, expect, test } from "vitest";
import { cpuOf, ramMachine, Tables } from "./fixtures.ts";

const GLOBAL = 0x100;
const ALL = { own: true, global: true, upper: true };
const NOTHING = { own: false, global: false, upper: false };

/** What the CPU holds of a page of its PCID, of a global page, and of the entries above them. */
function held(cpu: Cpu): typeof ALL {
  const pages = new Set<number>();
  cpu.mmu.tlb.forEach((vpn) => pages.add(vpn));
  return { own: pages.has(5), global: pages.has(6), upper: cpu.mmu.structures.find(5, 0) > 0 };
}

/** A CPU that holds all of that under any CR4: it has loaded the pages under the usual one. */
function warm(cr4: number): Cpu {
  const machine = ramMachine(8 * MIB);
  const tables = new Tables(machine, 1);
  const cpu = cpuOf(machine);
  tables.activate(cpu);
  tables.map(0x5000, 100);
  tables.map(0x6000, 101, 7 + GLOBAL);
  cpu.load32(0x5000);
  cpu.load32(0x6000);
  const { tlb, structures } = cpu.mmu;
  const [translations, upper] = [tlb.save(), structures.save()];
  cpu.writeCr4(cr4);
  tlb.restore(translations);
  structures.restore(upper);
  expect(held(cpu)).toEqual(ALL);
  return cpu;
}

describe("a write of CR4", () => {
  // Source: SDM 3A, Operations that Invalidate TLBs and Paging-Structure Caches. PSE and LA57: as for PAE, another paging mode.
  test.each([
    ["CR4_PSE", true, true],
    ["CR4_PAE", true, true],
    ["CR4_PGE", true, true],
    ["CR4_LA57", true, true],
    ["CR4_PCIDE", false, true],
    ["CR4_SMEP", true, false],
    ["CR4_SMAP", false, false],
    ["CR4_PKE", false, false],
    ["CR4_PKS", false, false],
  ] as const)("that sets %s drops everything: %s; that clears it: %s", (name, setting, clearing) => {
    const bit = bits[name];
    const clear = LONG_MODE.cr4 - (Math.floor(LONG_MODE.cr4 / bit) % 2) * bit;
    const change = (from: number, to: number): typeof ALL => {
      const cpu = warm(from);
      cpu.writeCr4(to);
      return held(cpu);
    };
    expect(change(clear, clear + bit)).toEqual(setting ? NOTHING : ALL);
    expect(change(clear + bit, clear)).toEqual(clearing ? NOTHING : ALL);
    expect(change(clear + bit, clear + bit)).toEqual(ALL);
  });
});

describe("a write of CR0", () => {
  test("that changes PG drops everything, both ways", () => {
    const cpu = warm(LONG_MODE.cr4);
    const { tlb, structures } = cpu.mmu;
    const [translations, upper] = [tlb.save(), structures.save()];
    cpu.writeCr0(LONG_MODE.cr0 - CR0_PG);
    expect(held(cpu)).toEqual(NOTHING);
    tlb.restore(translations);
    structures.restore(upper);
    cpu.writeCr0(LONG_MODE.cr0);
    expect(held(cpu)).toEqual(NOTHING);
  });

  test("that changes WP drops nothing, and is obeyed by the next access", () => {
    const machine = ramMachine(8 * MIB);
    const tables = new Tables(machine, 1);
    const cpu = cpuOf(machine);
    tables.activate(cpu);
    tables.map(0x5000, 100, 0x65);
    cpu.load32(0x5000);
    cpu.writeCr0(LONG_MODE.cr0 - CR0_WP);
    expect(held(cpu).own).toBe(true);
    expect(cpu.store32(0x5000, 1)).toBe(true);
    cpu.writeCr0(LONG_MODE.cr0);
    expect(held(cpu).own).toBe(true);
    expect(cpu.store32(0x5000, 2)).toBe(false);
  });
});
