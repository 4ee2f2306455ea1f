import {
  CR0_PG,
  CR0_PE,
  CR4_LA57,
  CR4_PAE,
  CR4_PSE,
  EFER_LME,
  EFER_NXE,
  LONG_MODE,
  MIB,
  RESET_STATE,
} from "@pagewright/machine";
import { ACCESS_READ } from "@pagewright/x86-paging";
import { describe, expect, test } from "vitest";
import { cpuOf, ramMachine, Tables } from "./fixtures.ts";

describe("paging modes through a CPU", () => {
  test("after reset an address is its own translation", () => {
    const machine = ramMachine(4 * MIB, { registers: RESET_STATE });
    const cpu = cpuOf(machine);
    expect(cpu.store32(0x1234, 5)).toBe(true);
    expect(machine.memory.read(0x1234, 4)).toBe(5);
  });

  test("32-bit paging with a 4M page and a 4K page", () => {
    const machine = ramMachine(16 * MIB);
    const { memory } = machine;
    const cpu = cpuOf(machine);
    memory.write(0x1000, 4, 0x800087);
    memory.write(0x1004, 4, 0x2007);
    memory.write(0x2000, 4, 0x5007);
    cpu.loadRegisters({ ...RESET_STATE, cr0: CR0_PG + CR0_PE, cr4: CR4_PSE, cr3Low: 0x1000 });
    expect(cpu.store32(0x234567 - 3, 7)).toBe(true);
    expect(memory.read(0x800000 + 0x234564, 4)).toBe(7);
    expect(cpu.store32(0x400010, 8)).toBe(true);
    expect(memory.read(0x5010, 4)).toBe(8);
    expect(cpu.load32(0x401000)).toBe(-1);
  });

  test("PAE paging loads its four pointers with CR3", () => {
    const machine = ramMachine(16 * MIB);
    const { memory } = machine;
    const cpu = cpuOf(machine);
    memory.write(0x1020, 4, 0x2001);
    memory.write(0x2000, 4, 0x3007);
    memory.write(0x3008, 4, 0x7007);
    cpu.loadRegisters({ ...RESET_STATE, cr0: CR0_PG + CR0_PE, cr4: CR4_PAE, efer: EFER_NXE, cr3Low: 0x1020 });
    memory.write(0x1020, 4, 0);
    expect(cpu.store32(0x1004, 9)).toBe(true);
    expect(memory.read(0x7004, 4)).toBe(9);
    expect(cpu.load32(0x40000000)).toBe(-1);
  });

  test("5-level addresses beyond 2^53 are reached by page number, non-canonical ones are #GP", () => {
    const machine = ramMachine(16 * MIB);
    const cpu = cpuOf(machine);
    const page = 2 ** 43 + 5;
    for (let level = 5, table = 1; level >= 1; level--, table++) {
      const index = Math.floor(page / 2 ** (9 * (level - 1))) & 511;
      machine.memory.write(table * 4096 + index * 8, 4, (level === 1 ? 100 : table + 1) * 4096 + 7);
    }
    cpu.loadRegisters({ ...LONG_MODE, cr4: CR4_PAE + CR4_LA57, efer: LONG_MODE.efer, cr3Low: 0x1000 });
    expect(LONG_MODE.efer).toBeGreaterThanOrEqual(EFER_LME);
    expect(cpu.storeAt(page, 8, 4, 3)).toBe(true);
    expect(cpu.loadAt(page, 8, 4, ACCESS_READ)).toBe(3);
    expect(cpu.loadAt(2 ** 44, 0, 4, ACCESS_READ)).toBe(-1);
    expect(cpu.fault.kind).toBe("protection");
  });

  test("1G and 2M pages are hit in every 4K piece, and left by one INVLPG", () => {
    const machine = ramMachine(3 * 1024 * MIB, { hostBytes: 16 * MIB });
    const cpu = cpuOf(machine);
    const tables = new Tables(machine, 1);
    tables.activate(cpu);
    tables.map(0x40000000, 0x40000, 7, 3);
    tables.map(0x200000, 0x800, 7, 2);
    for (const offset of [0, 4096, 0x1ff000]) {
      expect(cpu.store32(0x40000000 + offset, 1)).toBe(true);
      expect(cpu.store32(0x200000 + offset, 2)).toBe(true);
    }
    expect(cpu.stats().dataMisses).toBe(2);
    tables.map(0x200000, 0xa00, 7, 2);
    cpu.invlpg(0x2ff000);
    expect(cpu.load32(0x200000)).toBe(0);
    machine.check();
  });
});
