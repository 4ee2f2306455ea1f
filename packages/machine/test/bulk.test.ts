import { Framebuffer, LAYER, MIB, PAT_LINUX, traitsOf } from "@pagewright/machine";
import type { Cpu, Machine, MachineOptions } from "@pagewright/machine";
import { describe, expect, test } from "vitest";
import { firstDifference } from "../src/cpu/difference.ts";
import { cpuOf, ramMachine, Tables } from "./fixtures.ts";

/** A CPU with pages at 0x10000 whose frames lie neither in a row nor in order. */
function make(options: Partial<MachineOptions> = {}): { machine: Machine; cpu: Cpu; tables: Tables } {
  const machine = ramMachine(16 * MIB, options);
  const cpu = cpuOf(machine);
  const tables = new Tables(machine, 1);
  tables.activate(cpu);
  for (let page = 0; page < 4; page++) tables.map(0x10000 + page * 4096, 200 - page);
  return { machine, cpu, tables };
}

/** A screen whose first page is mapped WC at 0x100000 and UC at 0x101000. */
function makeScreen(options: Partial<MachineOptions> = {}): { screen: Framebuffer; cpu: Cpu; machine: Machine } {
  const made = make(options);
  const screen = new Framebuffer(64, 64);
  const traits = traitsOf("mmio", "screen", { device: screen });
  made.machine.map.overlay(0xd0000000, 0xd0000000 + screen.size, traits, LAYER.claim);
  made.cpu.pat.program(PAT_LINUX);
  made.tables.map(0x100000, 0xd0000, 0x0f);
  made.tables.map(0x101000, 0xd0000, 0x1f);
  return { screen, ...made };
}

describe("comparing", () => {
  test.each([
    ["by the host's comparison", undefined],
    ["in words, where the host has none", null],
  ] as const)("%s: every length and alignment gives the first place that differs", (_, compare) => {
    const bytes = Uint8Array.from({ length: 9000 }, (_value, at) => at * 13);
    for (const [from, start] of [
      [0, 0],
      [1, 0],
      [2, 3],
      [5, 1],
    ] as const)
      for (const count of [0, 1, 7, 64, 127, 128, 129, 4096, 8990]) {
        const left = new Uint8Array(from + count + 5).fill(1);
        left.set(bytes.subarray(start, start + count), from);
        expect(firstDifference(left, from, bytes, start, count, compare)).toBe(-1);
        for (const place of [0, 3, 63, 64, 127, 4095, 4096, 8191, count - 1].filter((one) => one >= 0 && one < count)) {
          left[from + place] = left[from + place]! ^ 0x80;
          if (place > 0) left[from + count - 1] = left[from + count - 1]! ^ (place === count - 1 ? 0 : 1);
          expect(firstDifference(left, from, bytes, start, count, compare), `${from} ${count} ${place}`).toBe(place);
          left.set(bytes.subarray(start, start + count), from);
        }
      }
  });

  test("pages that lie in a row are compared together, others one by one: the place is the same", () => {
    const { cpu, tables } = make();
    for (let page = 0; page < 6; page++) tables.map(0x50000 + page * 4096, page < 4 ? 300 + page : 400 - page);
    const bytes = Uint8Array.from({ length: 6 * 4096 - 300 }, (_, at) => at * 11);
    cpu.copyIn(0x50000 + 100, bytes);
    expect(cpu.bulk.compare(0x50000 + 100, bytes)).toBe(-1);
    expect(cpu.progress).toBe(bytes.length);
    for (const place of [0, 3995, 3996, 9000, 4 * 4096 - 101, 4 * 4096 - 100, 5 * 4096, bytes.length - 1]) {
      bytes[place] = bytes[place]! ^ 1;
      expect(cpu.bulk.compare(0x50000 + 100, bytes)).toBe(place);
      bytes[place] = bytes[place] ^ 1;
    }
  });

  test("every length, alignment and place of the first difference", () => {
    const { cpu } = make();
    const bytes = Uint8Array.from({ length: 600 }, (_, i) => i * 7);
    for (const va of [0x10f80, 0x10f81, 0x10f83])
      for (const start of [0, 1, 2, 3]) {
        cpu.copyIn(va, bytes);
        const same = new Uint8Array(start + bytes.length).subarray(start);
        same.set(bytes);
        for (const length of [0, 1, 3, 4, 17, 63, 64, 65, 127, 130, 600])
          expect(cpu.bulk.compare(va, same.subarray(0, length))).toBe(-1);
        for (const place of [0, 1, 2, 3, 4, 15, 16, 19, 126, 127, 128, 129, 300, 598, 599]) {
          same[place] = same[place]! ^ 0x80;
          expect(cpu.bulk.compare(va, same), `${va} ${start} ${place}`).toBe(place);
          same[place] = same[place] ^ 0x80;
        }
      }
  });

  test("a fault says how far it went", () => {
    const { cpu } = make();
    expect(cpu.bulk.compare(0x13ff0, new Uint8Array(32))).toBe(-2);
    expect(cpu.progress).toBe(16);
  });
});

test("a fault handler that fills pages itself does not disturb the operation that faulted", () => {
  const { cpu, tables } = make();
  for (let page = 0; page < 4; page++) tables.map(0x40000 + page * 4096, 300 + page);
  tables.map(0x41000, 0, 0);
  cpu.faultHandler = {
    pageFault: (): boolean => {
      tables.map(0x41000, 301);
      return cpu.fill(0x10000, 3 * 4096, 0xee);
    },
  };
  expect(cpu.fill(0x40000, 4 * 4096, 0x55)).toBe(true);
  expect(cpu.bulk.compare(0x40000, new Uint8Array(4 * 4096).fill(0x55))).toBe(-1);
});

describe("a screen in bulk", () => {
  test("fills and copies of write-combining pages leave as bursts, those of uncached ones as words", () => {
    const { screen, cpu } = makeScreen();
    expect(cpu.fill(0x100000, 256, 0x7f)).toBe(true);
    expect(screen.stats()).toEqual({ singleWrites: 0, bursts: 4, reads: 0 });
    expect(cpu.copyIn(0x100100, new Uint8Array(128).fill(3))).toBe(true);
    expect(screen.stats()).toEqual({ singleWrites: 0, bursts: 6, reads: 0 });
    expect([screen.pixels[63], screen.pixels[64]]).toEqual([0x7f7f7f7f, 0x03030303]);
    expect(cpu.fill(0x101001, 256, 9)).toBe(true);
    expect(screen.stats()).toEqual({ singleWrites: 63 + 4, bursts: 6, reads: 0 });
  });

  test("what gathers leaves before a read, and before an uncached store", () => {
    const { screen, cpu } = makeScreen();
    cpu.fill(0x100000, 16, 5);
    expect(screen.pixels[0]).toBe(0);
    expect(cpu.bulk.compare(0x101000, new Uint8Array(16).fill(5))).toBe(-1);
    cpu.fill(0x100000, 16, 6);
    expect(cpu.fill(0x101008, 4, 8)).toBe(true);
    expect([...screen.pixels.subarray(0, 4)]).toEqual([0x06060606, 0x06060606, 0x08080808, 0x06060606]);
  });

  test("stores of odd alignment gather too", () => {
    const { screen, cpu } = makeScreen();
    for (let at = 2; at < 66; at += 4) cpu.store32(0x100000 + at, 0x01010101);
    expect(screen.stats()).toEqual({ singleWrites: 0, bursts: 0, reads: 0 });
    cpu.store16(0x100000, 0x0202);
    expect(screen.stats()).toEqual({ singleWrites: 0, bursts: 1, reads: 0 });
    expect(screen.pixels[0]).toBe(0x01010202);
  });

  test("on the virtual clock a burst costs one transaction, an uncached fill one for each word", () => {
    const { cpu, machine } = makeScreen({ timing: { costs: { uncached: 500 } } });
    const cost = (va: number): number => {
      cpu.load32(va);
      const before = machine.clock.now;
      cpu.fill(va, 256, 1);
      return machine.clock.now - before;
    };
    cpu.store32(0x100000, 1);
    cpu.store32(0x101000, 1);
    cpu.fence();
    expect(cost(0x100000)).toBe(4 * 500);
    expect(cost(0x101000)).toBe(64 * 500);
  });
});
