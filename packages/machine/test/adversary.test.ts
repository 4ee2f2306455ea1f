import { MIB } from "@pagewright/machine";
import type { AdversaryOptions, Machine } from "@pagewright/machine";
import { describe, expect, test } from "vitest";
import { cpuOf, ramMachine, Tables } from "./fixtures.ts";

function hostile(options: AdversaryOptions = {}): { machine: Machine; tables: Tables } {
  const machine = ramMachine(8 * MIB, { adversary: options, seed: 11 });
  const tables = new Tables(machine, 1);
  tables.activate(cpuOf(machine));
  return { machine, tables };
}

describe("an adversarial CPU", () => {
  test("names the access and the change when a remapping was not flushed", () => {
    const { machine, tables } = hostile();
    const cpu = cpuOf(machine);
    const entry = tables.map(0x5000, 100);
    cpu.store32(0x5000, 1);
    tables.map(0x5000, 101);
    expect(() => cpu.load32(0x5000)).toThrow(
      new RegExp(
        `read of page 0x0000000000005000 .* frame 0x64; .* level-1 entry at 0x${entry.toString(16).padStart(16, "0")} was changed from 0x64067 to 0x65007`,
      ),
    );
  });

  test("catches a removed right, an unmapped page and a dirty bit cleared without a flush", () => {
    const { machine, tables } = hostile({ onStale: "collect", speculation: 0 });
    const cpu = cpuOf(machine);
    const wrong = (change: () => void, access: () => void): string | undefined => {
      tables.map(0x5000, 100);
      cpu.invlpg(0x5000);
      cpu.store32(0x5000, 1);
      change();
      access();
      return machine.adversaries[0]?.reports.at(-1)?.wrong;
    };
    const store = (): void => void cpu.store32(0x5000, 2);
    expect(wrong(() => tables.map(0x5000, 100, 0x65), store)).toBe("rights");
    expect(wrong(() => tables.map(0x5000, 0, 0), store)).toBe("rights");
    expect(wrong(() => tables.map(0x5000, 100, 0x27), store)).toBe("dirty");
    expect(machine.adversaries[0]?.reports.at(-1)?.change).toMatchObject({ level: 1 });
  });

  test("is silent about an operating system that flushes", () => {
    const { machine, tables } = hostile({ speculation: 1 });
    const cpu = cpuOf(machine);
    for (let round = 0; round < 200; round++) {
      const page = (round % 7) * 4096;
      tables.map(page, 100 + round);
      cpu.invlpg(page);
      expect(cpu.store32(page, round)).toBe(true);
      expect(cpu.load32(page)).toBe(round);
    }
    expect(machine.adversaries[0]?.reports).toEqual([]);
    machine.check();
  });

  test("catches a flush that comes before the change, because it looks at pages in between", () => {
    const { machine, tables } = hostile({ speculation: 1 });
    const cpu = cpuOf(machine);
    tables.map(0x5000, 100);
    cpu.store32(0x5000, 1);
    cpu.invlpg(0x5000);
    for (let i = 0; i < 20; i++) machine.adversaries[0]?.speculate(4);
    tables.map(0x5000, 101);
    expect(() => cpu.load32(0x5000)).toThrow(/stale translation/);
  });

  test("marks a stale use as flushed when the shootdown comes afterwards", () => {
    const { machine, tables } = hostile({ onStale: "collect" });
    const cpu = cpuOf(machine);
    tables.map(0x5000, 100);
    tables.map(0x6000, 102);
    cpu.store32(0x5000, 1);
    cpu.store32(0x6000, 1);
    tables.map(0x5000, 101);
    tables.map(0x6000, 103);
    cpu.load32(0x5000);
    cpu.load32(0x6000);
    cpu.invlpg(0x5000);
    expect(machine.adversaries[0]?.reports.length).toBe(2);
    expect(machine.adversaries[0]?.forgotten().map((report) => report.page)).toEqual([0x6000]);
  });
});
