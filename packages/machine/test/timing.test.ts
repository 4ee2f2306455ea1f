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

  test("accesses that cross lines and pages, views and bulk operations are charged for the lines that they touch", () => {
    const machine = ramMachine(64 * MIB, { timing: {} });
    const cpu = cpuOf(machine);
    const tables = new Tables(machine, 1);
    tables.activate(cpu);
    for (let page = 0; page < 4; page++) {
      tables.map(page * 4096, 1024 + page * 3);
      cpu.store32(page * 4096, 0);
    }
    const lines = (run: () => unknown): number => {
      const before = machine.clock.now;
      run();
      return (machine.clock.now - before) / 82;
    };
    expect(lines(() => cpu.load32(0xffe))).toBe(2);
    expect(lines(() => cpu.store32(0xffd, 1))).toBe(2);
    expect(lines(() => cpu.load16(0xfff))).toBe(2);
    expect(lines(() => cpu.load32(0x3e))).toBe(2);
    expect(lines(() => cpu.store32(0x3d, 1))).toBe(2);
    expect(lines(() => cpu.load32(0x3a))).toBe(1);
    expect(lines(() => cpu.viewOf(0x100, 1))).toBe(1);
    expect(lines(() => cpu.compareExchange32(0x100, 0, 1))).toBe(1);
    expect(lines(() => cpu.fill(0x100, 8, 1))).toBe(1);
    expect(lines(() => cpu.fill(0x13c, 8, 1))).toBe(2);
    expect(lines(() => cpu.fill(0xfc0, 4096, 1))).toBe(64);
    expect(lines(() => cpu.copyIn(0xff8, new Uint8Array(16)))).toBe(2);
    expect(lines(() => cpu.copyOut(0, new Uint8Array(65)))).toBe(2);
    expect(lines(() => cpu.bulk.compare(0, new Uint8Array(64).fill(9)))).toBe(1);
  });

  test("with ranks, every access to memory counts for the rank of its address and waits until it is awake", () => {
    const cache = { bytes: 256 * 1024, ways: 4 };
    const machine = ramMachine(64 * MIB, { timing: { rankBytes: 16 * MIB, cache } });
    const cpu = cpuOf(machine);
    const tables = new Tables(machine, 1);
    tables.activate(cpu);
    tables.map(0, 16 * 256 * 2);
    tables.map(4096, 16 * 256 * 3);
    const power = machine.ranks?.power;
    if (power === undefined) throw new Error("the machine has no ranks");
    cpu.load32(0);
    cpu.load32(0);
    // Four tables in rank 0; of the two loads the cache answered the second.
    expect([0, 1, 2, 3].map((rank) => power.stats(rank).accesses)).toEqual([4, 0, 1, 0]);
    cpu.load32(4096);
    power.setState(3, "self-refresh");
    const before = machine.clock.now;
    cpu.load32(4096 + 64);
    expect(machine.clock.now - before).toBe(82 + 640);
    expect(power.stats(3)).toMatchObject({ state: "active", accesses: 2, transitions: 2 });
    expect(power.totalJoules()).toBeGreaterThan(0);
    power.setState(2, "off");
    expect(() => cpu.load32(64)).toThrow(/Rank 2 is off/);
    expect(() => ramMachine(MIB, { timing: { rankBytes: 3 * MIB } })).toThrow(/2\^n bytes/);
    machine.check();
  });
});
