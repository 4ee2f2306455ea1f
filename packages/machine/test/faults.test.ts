import { FaultyRam, LAYER, MachineError, MARCH_C_MINUS, MarchTest, MIB, Scrubber, traitsOf } from "@pagewright/machine";
import type { MachineCheck } from "@pagewright/machine";
import { describe, expect, test } from "vitest";
import { cpuOf, ramMachine, Tables } from "./fixtures.ts";

describe("faulty RAM", () => {
  test("a stuck bit shows through the CPU, also where the short way was open before", () => {
    const machine = ramMachine(4 * MIB);
    const cpu = cpuOf(machine);
    const tables = new Tables(machine, 1);
    tables.activate(cpu);
    tables.map(0, 100);
    cpu.store32(0x10, 0);
    const ram = new FaultyRam(machine.memory, { ecc: false });
    ram.stick(100 * 4096 + 0x11, 3, 1);
    expect(cpu.load32(0x10)).toBe(0x800);
    expect(cpu.load8(0x11)).toBe(8);
    cpu.store32(0x10, 0xffffffff);
    expect(cpu.load32(0x10)).toBe(0xffffffff);
    expect(ram.faultyFrames()).toEqual([100]);
    ram.check();
    ram.repair(0, 4 * MIB);
    ram.check();
    cpu.store32(0x10, 0);
    expect(cpu.load32(0x10)).toBe(0);
    machine.check();
  });

  test("ECC corrects one bit and reports two, with address and syndrome", () => {
    const machine = ramMachine(4 * MIB);
    const { memory } = machine;
    const ram = new FaultyRam(memory, { ecc: true });
    const seen: MachineCheck[] = [];
    ram.handler = { machineCheck: (check) => void seen.push(check) };
    memory.write(0x2008, 4, 0x1234);
    ram.flip(0x2008, 0);
    expect(memory.read(0x2008, 4)).toBe(0x1234);
    ram.flip(0x2009, 1);
    expect(memory.read(0x2008, 4)).toBe(0x1234 ^ 0x201);
    expect(seen.map(({ address, corrected }) => [address, corrected])).toEqual([
      [0x2008, true],
      [0x2008, false],
    ]);
    expect(seen[0]?.syndrome).toBe(0x83);
    memory.write(0x2008, 4, 5);
    expect(memory.read(0x2008, 4)).toBe(5);
  });

  test("a scrubber puts single errors right before a second one comes", () => {
    const machine = ramMachine(4 * MIB);
    const ram = new FaultyRam(machine.memory, { ecc: true });
    const scrubber = new Scrubber(ram, 0, MIB);
    for (let bit = 0; bit < 8; bit++) {
      ram.flip(0x8000, bit);
      scrubber.step(MIB / 8);
    }
    expect(machine.memory.read(0x8000, 1)).toBe(0);
    scrubber.check();
    expect(scrubber.rounds).toBe(8);
    expect(ram.log.every((check) => check.corrected)).toBe(true);
  });

  test("a failing row is found by march C−", () => {
    const machine = ramMachine(MIB);
    const ram = new FaultyRam(machine.memory, { ecc: false });
    ram.failRow(0x4000, 256, 17, 0);
    const { memory } = machine;
    const march = new MarchTest(memory, MARCH_C_MINUS, 0x4000, 0x5000);
    while (!march.isDone) march.step(100);
    expect(march.faults.length).toBeGreaterThan(0);
    expect(march.faults.every((fault) => fault.address >= 0x4000 && fault.address < 0x4100)).toBe(true);
  });
});

describe("physical memory", () => {
  test("holes read as all ones and are counted, ROM ignores writes, RAM does not survive a power cycle", () => {
    const machine = ramMachine(MIB);
    const { map, memory } = machine;
    map.overlay(0xf0000, 0x100000, traitsOf("rom", "BIOS"), LAYER.overlay);
    map.overlay(4 * MIB, 8 * MIB, traitsOf("persistent", "NVDIMM"), LAYER.overlay);
    memory.program(0xf0000, Uint8Array.of(1, 2, 3, 4));
    memory.write(0xf0000, 4, 9);
    memory.write(0x1000, 4, 7);
    memory.write(5 * MIB, 4, 8);
    expect(memory.read(0xf0000, 4)).toBe(0x04030201);
    expect(memory.read(2 * MIB, 4)).toBe(0xffffffff);
    memory.write(2 * MIB, 4, 1);
    expect(memory.stats()).toMatchObject({ holeReads: 1, holeWrites: 1, romWrites: 1 });
    machine.powerCycle();
    expect([memory.read(0x1000, 4), memory.read(5 * MIB, 4), memory.read(0xf0000, 4)]).toEqual([0, 8, 0x04030201]);
    machine.check();
  });

  test("regions that meet within a frame keep their bytes apart", () => {
    const machine = ramMachine(MIB + 0x400);
    const { memory } = machine;
    memory.write(MIB + 0x3fc, 4, 0x01020304);
    expect(memory.read(MIB + 0x3fc, 4)).toBe(0x01020304);
    expect(memory.read(MIB + 0x400, 4)).toBe(0xffffffff);
    expect(() => {
      memory.readBytes(2 ** 52 - 4, new Uint8Array(8));
    }).toThrow(MachineError);
  });

  test("an alias shows the bytes of its target", () => {
    const machine = ramMachine(MIB);
    const { map, memory } = machine;
    const target = {
      name: "low",
      offset: 0,
      size: MIB,
      priority: 0,
      traits: traitsOf("ram", "alias"),
      alias: null,
      children: [],
    };
    map.add({
      name: "mirror",
      offset: 16 * MIB,
      size: 0x10000,
      priority: 0,
      traits: null,
      alias: { target, from: 0x8000, home: 0 },
      children: [],
    });
    memory.write(0x8010, 4, 77);
    expect(memory.read(16 * MIB + 0x10, 4)).toBe(77);
    map.check();
  });
});
