import { CR0_CD, Framebuffer, LAYER, MIB, MtrrRegisters, PAT_LINUX, traitsOf } from "@pagewright/machine";
import { describe, expect, test } from "vitest";
import { cpuOf, ramMachine, Tables } from "./fixtures.ts";

function wanted(): MtrrRegisters {
  const registers = new MtrrRegisters();
  registers.setRanges([
    { base: 0, length: 64 * MIB, type: "WB" },
    { base: 0xd0000000, length: 16 * MIB, type: "WC" },
  ]);
  return registers;
}

describe("the MTRR update sequence", () => {
  test("the whole sequence loads every CPU alike", () => {
    const machine = ramMachine(64 * MIB, { cpus: 3 });
    machine.mtrrs.loadAll(wanted());
    machine.mtrrs.requireEqual();
    expect(machine.cpus.map((cpu) => cpu.mtrrs.typeAt(0xd0000000))).toEqual(["WC", "WC", "WC"]);
    expect(machine.cpus.every((cpu) => cpu.interruptsEnabled && cpu.registers.cr0 < 2 ** 32)).toBe(true);
  });

  test("each step left out is named", () => {
    const machine = ramMachine(64 * MIB, { cpus: 2 });
    const [first, second] = [cpuOf(machine, 0), cpuOf(machine, 1)];
    const write = (): void => {
      machine.mtrrs.write(first, (own) => (own.defaultType = "WB"));
    };
    expect(write).toThrow(/interrupts are on/);
    first.interruptsEnabled = false;
    expect(write).toThrow(/caches are on/);
    first.writeCr0(first.registers.cr0 + CR0_CD);
    expect(write).toThrow(/not flushed its caches/);
    first.wbinvd();
    expect(write).toThrow(/not flushed its TLB/);
    first.flushTlb();
    expect(write).toThrow(/CPU 1 has not arrived/);
    second.writeCr0(second.registers.cr0 + CR0_CD);
    expect(write).toThrow(/clear E first/);
    machine.mtrrs.write(first, (own) => (own.enabled = false));
    write();
    expect(() => {
      first.writeCr0(first.registers.cr0 - CR0_CD);
    }).toThrow(/MTRRs are still off/);
  });
});

describe("write combining", () => {
  test("a framebuffer mapped WC by the PAT gets bursts, mapped UC single writes", () => {
    const machine = ramMachine(16 * MIB);
    const screen = new Framebuffer(64, 64);
    const traits = traitsOf("mmio", "screen", { device: screen });
    machine.map.overlay(0xd0000000, 0xd0000000 + screen.size, traits, LAYER.claim);
    const cpu = cpuOf(machine);
    cpu.pat.program(PAT_LINUX);
    const tables = new Tables(machine, 1);
    tables.activate(cpu);
    tables.map(0x100000, 0xd0000, 0x0f);
    tables.map(0x101000, 0xd0001, 0x1f);
    expect(cpu.memoryTypeOf(0x100000)).toBe("WC");
    expect(cpu.memoryTypeOf(0x101000)).toBe("UC");
    for (let word = 0; word < 64; word++) cpu.store32(0x100000 + word * 4, word);
    cpu.fence();
    expect(screen.stats()).toMatchObject({ bursts: 4, singleWrites: 0 });
    for (let word = 0; word < 64; word++) cpu.store32(0x101000 + word * 4, word);
    expect(screen.stats()).toMatchObject({ bursts: 4, singleWrites: 64 });
    expect(screen.pixels[63]).toBe(63);
    expect(cpu.load32(0x101000 + 4)).toBe(1);
  });
});
