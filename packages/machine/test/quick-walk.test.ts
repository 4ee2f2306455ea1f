import {
  firmwareMapOf,
  GIB,
  Machine,
  MIB,
  PhysicalMap,
  PLAIN_64X4_TLB,
  ROOMY_TLB,
  SKYLAKE_TLB,
} from "@pagewright/machine";
import { expect, test } from "vitest";
import { ramMachine, Tables } from "./fixtures.ts";

/** Two pages under one page directory, seen once each, so that walks remember where the tables are kept. */
function seen() {
  const machine = ramMachine(64 * MIB, { tlb: PLAIN_64X4_TLB });
  const cpu = machine.cpus[0];
  if (cpu === undefined) throw new Error("no CPU");
  const tables = new Tables(machine, 16);
  tables.activate(cpu);
  tables.map(0x400000, 1000);
  tables.map(0x401000, 1001);
  machine.memory.write(1000 * 4096, 4, 11);
  machine.memory.write(1001 * 4096, 4, 22);
  for (let round = 0; round < 3; round++)
    for (const va of [0x400000, 0x401000]) {
      cpu.invlpg(va);
      expect(cpu.load32(va)).toBe(va === 0x400000 ? 11 : 22);
    }
  return { machine, cpu, tables };
}

test.each([ROOMY_TLB, PLAIN_64X4_TLB])("absent upper entries fault before any table was found: $name", (tlb) => {
  for (const [low, high] of [
    [0x1234, 0x5678],
    [-GIB, -GIB + 4096],
  ] as const) {
    const machine = ramMachine(64 * MIB, { tlb });
    const cpu = machine.cpus[0];
    if (cpu === undefined) throw new Error("no CPU");
    const tables = new Tables(machine, 1);
    tables.map(low, 512, 0x67, 2);
    tables.activate(cpu);
    expect(cpu.load32(low)).toBeGreaterThanOrEqual(0);
    for (const va of [GIB, 2 ** 39, 2 ** 39 + GIB, -(2 ** 39) - GIB, low + GIB / 2, high + 2 * MIB]) {
      expect([va, cpu.load32(va), cpu.fault.kind]).toEqual([va, -1, "page"]);
      expect(cpu.store32(va, 1)).toBe(false);
    }
    machine.check();
  }
});

test("an upper-level entry that changes is read again", () => {
  const { machine, cpu, tables } = seen();
  for (const level of [4, 3, 2]) {
    const entry = tables.entryAddress(0x400000, level);
    const before = machine.memory.read(entry, 4);
    machine.memory.write(entry, 4, 0);
    cpu.invlpg(0x400000);
    expect(cpu.load32(0x400000)).toBe(-1);
    machine.memory.write(entry, 4, before - (before & 0x20));
    expect(cpu.load32(0x400000)).toBe(11);
    expect(machine.memory.read(entry, 4)).toBe((before | 0x20) >>> 0);
  }
  machine.check();
});

test("tables whose frames are kept elsewhere are found there", () => {
  const { machine, cpu, tables } = seen();
  machine.memory.discard(2000);
  machine.memory.compact();
  cpu.invlpg(0x400000);
  expect(cpu.load32(0x400000)).toBe(11);
  const upper = tables.entryAddress(0x400000, 3);
  machine.memory.discard(Math.floor(upper / 4096));
  expect(machine.memory.read(upper, 4)).toBe(0);
  cpu.invlpg(0x401000);
  expect(cpu.load32(0x401000)).toBe(-1);
});

test("every entry of a walk is counted, whichever way it went", () => {
  const { cpu } = seen();
  const before = cpu.stats().walkReads;
  cpu.invlpg(0x400000);
  cpu.load32(0x400000);
  expect(cpu.stats().walkReads).toBe(before + 4);
});

test("a remembered table grants no right that its entry denies", () => {
  const { machine, cpu, tables } = seen();
  const entry = tables.entryAddress(0x400000, 3);
  machine.memory.write(entry, 4, machine.memory.read(entry, 4) - 4);
  cpu.setCpl(3);
  cpu.invlpg(0x400000);
  expect(cpu.load32(0x400000)).toBe(-1);
  expect(cpu.fault).toMatchObject({ kind: "page", error: 5 });
});

test("a store that only sets D leaves the page in the instruction TLB, and in the data TLB once", () => {
  for (const tlb of [ROOMY_TLB, PLAIN_64X4_TLB, SKYLAKE_TLB]) {
    const machine = ramMachine(64 * MIB, { tlb });
    const cpu = machine.cpus[0];
    if (cpu === undefined) throw new Error("no CPU");
    const tables = new Tables(machine, 16);
    tables.activate(cpu);
    tables.map(0x400000, 1000, 0x27);
    cpu.fetch32(0x400000);
    cpu.load32(0x400000);
    const before = cpu.stats();
    cpu.store32(0x400000, 1);
    expect(machine.memory.read(tables.entryAddress(0x400000, 1), 4) & 0x40).toBe(0x40);
    machine.check();
    cpu.fetch32(0x400000);
    cpu.load32(0x400000);
    const after = cpu.stats();
    expect([after.codeMisses, after.dataMisses]).toEqual([before.codeMisses, before.dataMisses]);
  }
});

test("frames from 2^31 on are never taken for those whose low bits they share", () => {
  const map = new PhysicalMap(
    firmwareMapOf([
      { base: 0n, length: BigInt(64 * MIB), type: 1 },
      { base: 2n ** 44n, length: BigInt(64 * MIB), type: 1 },
    ]),
  );
  const { memory } = new Machine({ map, physicalBits: 46 });
  memory.write(5 * 4096, 4, 55);
  memory.write(2 ** 44 + 5 * 4096, 4, 66);
  expect([memory.read(5 * 4096, 4), memory.read(2 ** 44 + 5 * 4096, 4)]).toEqual([55, 66]);
  expect(memory.place(2 ** 32 + 5)).not.toBe(memory.place(5));
  expect([memory.place(-1), memory.place(2 ** 32 - 1), memory.place(2 ** 31 + 5)]).toEqual([0, 0, 0]);
});

test("a host buffer whose places would not be 32-bit integers is refused", () => {
  const map = new PhysicalMap(firmwareMapOf([{ base: 0n, length: BigInt(64 * MIB), type: 1 }]));
  expect(() => new Machine({ map, hostBytes: 16 * GIB })).toThrow(/at most 8589930496 bytes/u);
});
