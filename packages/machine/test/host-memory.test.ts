import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Balloon, MIB } from "@pagewright/machine";
import { describe, expect, test } from "vitest";
import { cpuOf, ramMachine, Tables } from "./fixtures.ts";

/** Has the host collect garbage now: a buffer that nobody holds any more goes back then. */
function collect(): void {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as () => void;
  gc();
}

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
    collect();
    const before = process.memoryUsage().rss;
    memory.commitAhead(16_384);
    expect(process.memoryUsage().rss - before).toBeGreaterThan(48 * MIB);
  });
});

describe("host memory given back", () => {
  const FRAMES = 24_576;
  const KEPT = 1024;

  test("a balloon's frames leave the process when memory is compacted, and a CPU goes on with the rest", async () => {
    const machine = ramMachine(96 * MIB);
    const { memory } = machine;
    const cpu = cpuOf(machine);
    const tables = new Tables(machine, 16);
    tables.activate(cpu);
    tables.map(0x7000, 100);
    for (let pfn = 32; pfn < FRAMES; pfn++) memory.write(pfn * 4096, 4, pfn);
    expect(cpu.load32(0x7000)).toBe(100);
    collect();
    const full = process.memoryUsage().rss;
    const balloon = new Balloon(memory);
    balloon.inflate(Array.from({ length: FRAMES - KEPT }, (_, at) => KEPT + at));
    const released = memory.compact();
    expect(released).toBe((FRAMES - KEPT) * 4096);
    // The host frees a buffer that was collected on a thread of its own.
    const left = (): number => {
      collect();
      return full - process.memoryUsage().rss;
    };
    await expect.poll(left, { timeout: 20_000 }).toBeGreaterThan(0.75 * released);
    expect(cpu.load32(0x7000)).toBe(100);
    expect(cpu.store32(0x7000, 5)).toBe(true);
    expect(memory.read(100 * 4096, 4)).toBe(5);
    machine.check();
  });

  test("a shared buffer cannot be replaced: the balloon's places go to other frames only", () => {
    const { memory } = ramMachine(MIB, { shared: true, hostBytes: 8 * 4096 });
    const { bytes } = memory.host;
    for (let pfn = 0; pfn < 8; pfn++) memory.write(pfn * 4096, 4, pfn + 1);
    expect(() => memory.compact()).toThrow(
      expect.objectContaining({ code: "bad-argument", message: expect.stringContaining("shared") as string }),
    );
    expect(memory.host.bytes).toBe(bytes);
    expect(memory.read(7 * 4096, 4)).toBe(8);
    new Balloon(memory).inflate([3, 4]);
    memory.write(100 * 4096, 4, 9);
    expect([memory.read(100 * 4096, 4), memory.stats().committedFrames]).toEqual([9, 8]);
  });
});
