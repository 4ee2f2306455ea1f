import {
  firmwareMapOf,
  LastLevelCache,
  Machine,
  MIB,
  PhysicalMap,
  SKYLAKE_TLB,
  uniformDistances,
} from "@pagewright/machine";
import { describe, expect, test } from "vitest";
import { cpuOf, ramMachine, Tables } from "./fixtures.ts";

describe("costs on the virtual clock", () => {
  test("pages of one colour push each other out, pages of different colours do not", () => {
    const run = (stride: number): number => {
      const machine = ramMachine(64 * MIB, { timing: { cache: { bytes: 256 * 1024, ways: 4 } } });
      const cpu = cpuOf(machine);
      const tables = new Tables(machine, 1);
      tables.activate(cpu);
      for (let page = 0; page < 8; page++) tables.map(page * 4096, 1024 + page * stride);
      for (let round = 0; round < 50; round++)
        for (let page = 0; page < 8; page++) for (let line = 0; line < 8; line++) cpu.load32(page * 4096 + line * 64);
      machine.check();
      return machine.clock.now;
    };
    expect(new LastLevelCache({ bytes: 256 * 1024, ways: 4 }).colours).toBe(16);
    expect(run(16)).toBeGreaterThan(2 * run(1));
  });

  test("memory of another node costs as its distance says", () => {
    const affinity = [0, 1].map((node) => ({
      node,
      base: node * 32 * MIB,
      end: (node + 1) * 32 * MIB,
      hotPluggable: false,
      nonVolatile: false,
    }));
    const map = new PhysicalMap(firmwareMapOf([{ base: 0n, length: BigInt(64 * MIB), type: 1 }], { affinity }));
    const timing = { distances: uniformDistances(2, 30), cpuNodes: [0, 1] };
    const machine = new Machine({ map, cpus: 2, timing });
    const tables = new Tables(machine, 1);
    tables.map(0, 100);
    for (const cpu of machine.cpus) {
      tables.activate(cpu);
      cpu.load32(0);
      const before = machine.clock.times[cpu.id] ?? 0;
      cpu.load32(0);
      expect((machine.clock.times[cpu.id] ?? 0) - before).toBe(cpu.id === 0 ? 82 : 246);
    }
    expect(machine.meters[1]?.stats().remoteAccesses).toBeGreaterThan(0);
  });

  test("a second-level TLB hit, a fault and an invalidation are charged", () => {
    const machine = ramMachine(64 * MIB, { tlb: SKYLAKE_TLB, timing: {} });
    const cpu = cpuOf(machine);
    const tables = new Tables(machine, 1);
    tables.activate(cpu);
    for (let page = 0; page < 80; page++) {
      tables.map(page * 4096, 1024 + page);
      cpu.load32(page * 4096);
    }
    const cost = (run: () => void): number => {
      const before = machine.clock.now;
      run();
      return machine.clock.now - before;
    };
    expect(cost(() => cpu.load32(0))).toBe(82 + 2.25);
    expect(cost(() => cpu.load32(0))).toBe(82);
    expect(
      cost(() => {
        cpu.invlpg(0);
      }),
    ).toBe(65);
    expect(cost(() => cpu.load32(2 ** 40))).toBeGreaterThanOrEqual(262.5);
    expect(cpu.stats().dataSecondHits).toBe(1);
  });
});
