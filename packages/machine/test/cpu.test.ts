import { MIB } from "@pagewright/machine";
import type { VirtAddr } from "@pagewright/machine";
import { describe, expect, test } from "vitest";
import { ramMachine, Tables } from "./fixtures.ts";

const HIGH: VirtAddr = -(2 ** 47);

describe.each([
  ["a plain host buffer", ArrayBuffer, false],
  ["a SharedArrayBuffer", SharedArrayBuffer, true],
])("a CPU over %s", (_, Buffer, shared) => {
  const make = () => {
    const machine = ramMachine(64 * MIB, { shared });
    expect(machine.memory.host.bytes.buffer).toBeInstanceOf(Buffer);
    const cpu = machine.cpus[0];
    if (cpu === undefined) throw new Error("no CPU");
    const tables = new Tables(machine, 16);
    tables.activate(cpu);
    return { machine, cpu, tables };
  };

  test("loads what it stored, in every size and in both halves of the address space", () => {
    const { machine, cpu, tables } = make();
    for (const base of [0x400000, HIGH]) {
      tables.map(base, 1000);
      tables.map(base + 4096, 900);
      expect(cpu.store32(base + 8, 0x89abcdef)).toBe(true);
      expect(cpu.load32(base + 8)).toBe(0x89abcdef);
      expect(cpu.load8(base + 11)).toBe(0x89);
      expect(cpu.load16(base + 10)).toBe(0x89ab);
      expect(cpu.load16(base + 9)).toBe(0xabcd);
      expect(cpu.store64(base + 4092, 0x11223344, 0x55667788)).toBe(true);
      expect(cpu.load64(base + 4092)).toBe(0x11223344);
      expect(cpu.high).toBe(0x55667788);
      expect(cpu.load32(base + 4094)).toBe(0x77881122);
      expect(machine.memory.read(900 * 4096, 4)).toBe(0x55667788);
    }
    machine.check();
  });

  test("reports a page fault with error code and CR2, and tries again when the handler says so", () => {
    const { machine, cpu, tables } = make();
    expect(cpu.load32(0x5000)).toBe(-1);
    expect(cpu.fault).toMatchObject({ kind: "page", va: 0x5000, error: 0 });
    const seen: number[] = [];
    cpu.setCpl(3);
    cpu.faultHandler = {
      pageFault(of, va, error) {
        seen.push(va, error, of.cpl);
        tables.map(va - (va & 0xfff), 77);
        return true;
      },
    };
    expect(cpu.store16(0x5ffe, 7)).toBe(true);
    expect(seen).toEqual([0x5ffe, 6, 0]);
    expect(cpu.cr2).toBe(0x5ffe);
    expect(cpu.cpl).toBe(3);
    machine.check();
  });

  test("keeps a stale translation until it is invalidated", () => {
    const { machine, cpu, tables } = make();
    tables.map(0x7000, 100);
    cpu.store32(0x7000, 1);
    tables.map(0x7000, 101);
    expect(cpu.load32(0x7000)).toBe(1);
    cpu.invlpg(0x7000);
    expect(cpu.load32(0x7000)).toBe(0);
    machine.check();
  });

  test("copies, fills and compares through translation", () => {
    const { cpu, tables } = make();
    for (let page = 0; page < 4; page++) tables.map(0x10000 + page * 4096, 200 - page);
    const bytes = Uint8Array.from({ length: 9000 }, (_, i) => i * 7);
    expect(cpu.copyIn(0x10123, bytes)).toBe(true);
    const out = new Uint8Array(9000);
    expect(cpu.copyOut(0x10123, out)).toBe(true);
    expect(out).toEqual(bytes);
    expect(cpu.bulk.compare(0x10123, bytes)).toBe(-1);
    expect(cpu.bulk.move(0x10123, 0x10200, 8000)).toBe(true);
    expect(cpu.bulk.compare(0x10200, bytes.subarray(0, 8000))).toBe(-1);
    expect(cpu.fill(0x13ff0, 32, 9)).toBe(false);
    expect(cpu.progress).toBe(16);
  });
});
