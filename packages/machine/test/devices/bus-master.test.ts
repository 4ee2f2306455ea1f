import { beforeEach, expect, test } from "vitest";

import { BusMaster, writeScatterGatherList } from "../../src/devices/bus-master.ts";
import { PhysicalMemory } from "../../src/memory/physical-memory.ts";
import { ramMap } from "./ram-map.ts";

let memory: PhysicalMemory;

beforeEach(() => {
  memory = new PhysicalMemory(ramMap(8192));
});

const bytes = Uint8Array.from({ length: 6000 }, (_, i) => (i * 31) & 0xff);

test("a list in memory scatters bytes over segments and gathers them again", () => {
  const device = new BusMaster(memory, 32);
  const segments = [
    { address: 0x7000, length: 1000 },
    { address: 0x123456, length: 4096 },
    { address: 0x20ff0, length: 904 },
  ];
  expect(writeScatterGatherList(memory, 0x1000, segments)).toBe(48);
  expect(device.toMemory(0x1000, bytes)).toEqual({ bytes: 6000, descriptors: 3, truncated: 0 });
  const back = new Uint8Array(6000);
  expect(device.fromMemory(0x1000, back).bytes).toBe(6000);
  expect(back).toEqual(bytes);
  memory.check();
});

test("an address beyond the device's lines lands at the address with the upper bits cut off, and is counted", () => {
  const device = new BusMaster(memory, 32);
  const segment = { address: 2 ** 32 + 0x9000, length: 4 };
  writeScatterGatherList(memory, 0x1000, [segment]);
  expect(device.toMemory(0x1000, Uint8Array.of(1, 2, 3, 4)).truncated).toBe(1);
  expect(memory.read(0x9000, 4)).toBe(0x04030201);
  expect(memory.read(2 ** 32 + 0x9000, 4)).toBe(0);
  expect(() => device.requireReach(segment)).toThrow("32 address bits");
  expect(new BusMaster(memory, 64 - 12).reaches(segment.address, 4)).toBe(true);
});

test("a list without an end stops, and a short list moves only what it describes", () => {
  const device = new BusMaster(memory, 40, 8);
  expect(device.toMemory(0x4000, bytes)).toEqual({ bytes: 0, descriptors: 8, truncated: 0 });
  writeScatterGatherList(memory, 0x1000, [{ address: 0x7000, length: 10 }]);
  expect(device.toMemory(0x1000, bytes).bytes).toBe(10);
});

test("a width that no bus has is refused", () => {
  expect(() => new BusMaster(memory, 15)).toThrow("15");
  expect(() => new BusMaster(memory, 53)).toThrow("53");
});
