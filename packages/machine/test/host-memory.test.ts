import { MIB } from "@pagewright/machine";
import { describe, expect, test } from "vitest";
import { ramMachine } from "./fixtures.ts";

describe("host memory committed ahead", () => {
  test("changes nothing that a machine sees", () => {
    const machine = ramMachine(4 * MIB);
    const { memory } = machine;
    memory.write(0x1000, 4, 7);
    const before = memory.stats();
    expect(memory.commitAhead(100)).toBe(100);
    expect(memory.stats()).toEqual(before);
    expect(memory.read(0x1000, 4)).toBe(7);
    expect(memory.read(0x2000, 4)).toBe(0);
    machine.check();
  });

  test("ends where the host's buffer ends", () => {
    const { memory } = ramMachine(MIB);
    memory.write(0, 4, 1);
    expect(memory.commitAhead(10_000)).toBe(memory.host.capacity - 1);
    expect(memory.commitAhead(-1)).toBe(0);
  });

  test("is there before the frames are touched", () => {
    const { memory } = ramMachine(64 * MIB);
    const before = process.memoryUsage().rss;
    memory.commitAhead(16_384);
    expect(process.memoryUsage().rss - before).toBeGreaterThan(48 * MIB);
  });
});
