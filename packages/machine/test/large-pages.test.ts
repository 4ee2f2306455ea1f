import { GIB, MIB, PLAIN_64X4_TLB, ROOMY_TLB, SKYLAKE_TLB, ZEN2_TLB } from "@pagewright/machine";
import { describe, expect, test } from "vitest";
import { cpuOf, ramMachine, Tables } from "./fixtures.ts";

describe.each([ZEN2_TLB, SKYLAKE_TLB, ROOMY_TLB, PLAIN_64X4_TLB])(
  "1G pages in a TLB that holds pieces: $name",
  (tlb) => {
    test.each(["fetch32", "load32"] as const)("one INVLPG drops every piece of the page: %s", (access) => {
      const machine = ramMachine(4 * GIB, { tlb });
      const cpu = cpuOf(machine);
      const tables = new Tables(machine, 1);
      tables.activate(cpu);
      for (let piece = 0; piece < 512; piece++) {
        machine.memory.write(GIB + piece * 2 * MIB, 4, 1000 + piece);
        machine.memory.write(2 * GIB + piece * 2 * MIB, 4, 2000 + piece);
      }
      tables.map(0, GIB / 4096, 7, 3);
      const all = Array.from({ length: 512 }, (_, piece) => piece);
      for (const piece of all) expect(cpu[access](piece * 2 * MIB)).toBe(1000 + piece);
      tables.map(0, (2 * GIB) / 4096, 7, 3);
      cpu.invlpg(77 * 2 * MIB + 4096);
      // The last ones first: they are those that a TLB still has.
      for (const piece of all.toReversed()) expect(cpu[access](piece * 2 * MIB)).toBe(2000 + piece);
      machine.check();
    });

    test("a piece that comes back from the second level leads to its own frames", () => {
      const machine = ramMachine(4 * GIB, { tlb });
      const cpu = cpuOf(machine);
      const tables = new Tables(machine, 1);
      tables.activate(cpu);
      for (let page = 0; page < 80; page++) tables.map(page * GIB, (GIB / 4096) * (1 + (page & 1)), 7, 3);
      for (let round = 0; round < 2; round++)
        for (let page = 0; page < 80; page++) {
          const va = page * GIB + ((page * 37) & 511) * 2 * MIB + 0x1234;
          const value = (round + 1) * 1000 + page;
          expect(cpu.store32(va, value)).toBe(true);
          expect(machine.memory.read(GIB * (1 + (page & 1)) + (va - page * GIB), 4)).toBe(value);
          expect(cpu.fetch32(va)).toBe(value);
        }
      machine.check();
      if (tlb === ZEN2_TLB) expect(cpu.stats().dataSecondHits).toBe(80);
    });
  },
);
