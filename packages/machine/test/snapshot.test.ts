import { MIB, restoreSnapshot, Stepper, takeSnapshot, traitsOf } from "@pagewright/machine";
import type { Machine } from "@pagewright/machine";
import { describe, expect, test } from "vitest";
import { cpuOf, ramMachine, Tables } from "./fixtures.ts";

function prepared(): { machine: Machine; step: (index: number) => void } {
  const machine = ramMachine(8 * MIB, { seed: 9 });
  const cpu = cpuOf(machine);
  const tables = new Tables(machine, 1);
  for (let page = 0; page < 64; page++) tables.map(page * 4096, 512 + page);
  tables.activate(cpu);
  const step = (index: number): void => {
    const va = machine.scheduler.random.below(64) * 4096 + (index & 1023) * 4;
    cpu.store32(va, cpu.load32(va) + index);
  };
  return { machine, step };
}

function sumOf(machine: Machine): number {
  const bytes = new Uint8Array(64 * 4096);
  machine.memory.readBytes(512 * 4096, bytes);
  return bytes.reduce((sum, byte, at) => (sum * 31 + byte * (at + 1)) % 1_000_003, 7);
}

describe("snapshots", () => {
  test("a restored machine runs on as it did", () => {
    const { machine, step } = prepared();
    for (let i = 0; i < 500; i++) step(i);
    const snapshot = takeSnapshot(machine);
    for (let i = 500; i < 900; i++) step(i);
    const first = sumOf(machine);
    restoreSnapshot(machine, snapshot);
    machine.check();
    for (let i = 500; i < 900; i++) step(i);
    expect(sumOf(machine)).toBe(first);
  });

  test("frames that did not change are kept once", () => {
    const { machine, step } = prepared();
    for (let i = 0; i < 1000; i++) step(i);
    const before = takeSnapshot(machine);
    step(1000);
    const after = takeSnapshot(machine, before);
    const shared = [...after.frames].filter(([pfn, bytes]) => before.frames.get(pfn) === bytes).length;
    expect(shared).toBe(after.frames.size - 1);
  });

  test("stale translations come back with the machine", () => {
    const machine = ramMachine(4 * MIB);
    const cpu = cpuOf(machine);
    const tables = new Tables(machine, 1);
    tables.activate(cpu);
    tables.map(0x5000, 100);
    cpu.store32(0x5000, 1);
    tables.map(0x5000, 101);
    const snapshot = takeSnapshot(machine);
    cpu.invlpg(0x5000);
    expect(cpu.load32(0x5000)).toBe(0);
    restoreSnapshot(machine, snapshot);
    expect(cpu.load32(0x5000)).toBe(1);
  });

  test("stepping backwards leads through the same states", () => {
    const { machine, step } = prepared();
    const stepper = new Stepper(machine, step, 50);
    const states: number[] = [];
    for (let i = 0; i <= 300; i += 30) {
      stepper.goTo(i);
      states.push(sumOf(machine));
    }
    for (let i = 300; i >= 0; i -= 30) {
      stepper.goTo(i);
      expect(sumOf(machine)).toBe(states[i / 30]);
    }
    stepper.goTo(100);
    stepper.back(7);
    expect(stepper.position).toBe(93);
    stepper.back(1000);
    expect(stepper.position).toBe(0);
  });

  test("a snapshot of another map is refused", () => {
    const { machine } = prepared();
    const snapshot = takeSnapshot(machine);
    machine.map.overlay(16 * MIB, 17 * MIB, traitsOf("ram", "DIMM"));
    expect(() => {
      restoreSnapshot(machine, snapshot);
    }).toThrow(/not those of the snapshot/);
  });
});
