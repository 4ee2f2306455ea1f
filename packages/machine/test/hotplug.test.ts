import {
  ACCESS_NJ,
  Balloon,
  BlockMemoryDevice,
  DimmSlots,
  firmwareMapOf,
  Machine,
  MIB,
  PhysicalMap,
  RANK_WATTS,
  RankPower,
  WAKE_NS,
} from "@pagewright/machine";
import type { Dimm } from "@pagewright/machine";
import { describe, expect, test } from "vitest";
import { ramMachine } from "./fixtures.ts";

describe("memory modules", () => {
  const make = (): { machine: Machine; slots: DimmSlots } => {
    const machine = ramMachine(128 * MIB);
    return { machine, slots: new DimmSlots(machine.map, machine.memory) };
  };

  test("an inserted module is RAM of its node, and reads as ones when it is gone", () => {
    const { machine, slots } = make();
    const told: string[] = [];
    slots.handler = {
      inserted: (dimm) => void told.push(`inserted ${dimm.name}`),
      mayRemove: () => told.length > 2,
      lost: (dimm) => void told.push(`lost ${dimm.name}`),
    };
    const dimm = slots.insert("DIMM 1", 256 * MIB, 128 * MIB, 1);
    expect(machine.map.frameRanges()).toMatchObject([
      { start: 0, node: 0, hotPluggable: false },
      { start: 65536, end: 98304, node: 1, hotPluggable: true },
    ]);
    machine.memory.write(256 * MIB, 4, 5);
    expect(slots.remove(dimm)).toBe(false);
    told.push("freed", "freed");
    expect(slots.remove(dimm)).toBe(true);
    expect(machine.memory.read(256 * MIB, 4)).toBe(0xffffffff);
    const again: Dimm = slots.insert("DIMM 1", 256 * MIB, 128 * MIB, 1);
    expect(machine.memory.read(256 * MIB, 4)).toBe(0);
    slots.check();
    slots.surpriseRemove(again);
    expect(told.at(-1)).toBe("lost DIMM 1");
    machine.check();
  });

  test("a module over RAM is refused, naming both", () => {
    const { slots } = make();
    expect(() => slots.insert("DIMM 2", 0, 128 * MIB)).toThrow(/DIMM 2 .* overlaps ram of firmware/);
    expect(() => slots.insert("DIMM 2", 256 * MIB + 4096, 128 * MIB)).toThrow(/multiple of 128 MiB/);
  });
});

describe("a hypervisor that wants memory back", () => {
  test("a balloon's frames lose their bytes, and the host gets their places back", () => {
    const machine = ramMachine(64 * MIB);
    const { memory } = machine;
    for (let pfn = 0; pfn < 4096; pfn++) memory.write(pfn * 4096, 4, pfn + 1);
    const balloon = new Balloon(memory);
    const frames = Array.from({ length: 3000 }, (_, i) => i + 1000);
    balloon.inflate(frames);
    expect(memory.stats().touchedFrames).toBe(1096);
    expect(memory.compact()).toBe(3000 * 4096);
    expect(memory.read(999 * 4096, 4)).toBe(1000);
    expect(memory.read(4000 * 4096, 4)).toBe(4001);
    expect(() => {
      balloon.inflate([1000]);
    }).toThrow(/in the balloon already/);
    expect(() => {
      balloon.inflate([50, 51, 50]);
    }).toThrow(/Frame 0x32 is in the balloon already/);
    expect(balloon.holds(51)).toBe(false);
    balloon.check();
    memory.write(1000 * 4096, 4, 1);
    expect(() => {
      balloon.check();
    }).toThrow(/nobody uses frame 0x3e8/);
    memory.discard(1000);
    balloon.deflate([1000, 1001]);
    expect(memory.read(1000 * 4096, 4)).toBe(0);
    expect(() => {
      balloon.deflate([1000]);
    }).toThrow(/not in the balloon/);
    machine.check();
  });

  test("a memory device plugs as many blocks as the hypervisor wishes", () => {
    const machine = ramMachine(64 * MIB);
    const device = new BlockMemoryDevice(machine.map, machine.memory, {
      start: 128 * MIB,
      bytes: 64 * MIB,
      blockBytes: 2 * MIB,
    });
    expect(device.plug(0)).toBe(false);
    device.requestedBytes = 4 * MIB;
    expect([device.plug(0), device.plug(5), device.plug(6)]).toEqual([true, true, false]);
    machine.memory.write(138 * MIB, 4, 3);
    expect(machine.map.frameRanges()).toHaveLength(3);
    device.check();
    expect(device.unplug(5)).toBe(true);
    expect(device.unplug(5)).toBe(false);
    expect(machine.memory.read(138 * MIB, 4)).toBe(0xffffffff);
    expect(
      () => new BlockMemoryDevice(machine.map, machine.memory, { start: 0, bytes: 4 * MIB, blockBytes: 2 * MIB }),
    ).toThrow(/overlaps ram/);
    device.check();
  });

  test("hot-plug places of a firmware map are absent: in the map, but nobody answers", () => {
    const raw = [{ base: 0n, length: BigInt(64 * MIB), type: 1 }];
    const affinity = [
      { node: 0, base: 0, end: 64 * MIB, hotPluggable: false, nonVolatile: false },
      { node: 0, base: 4096 * MIB, end: 8192 * MIB, hotPluggable: true, nonVolatile: false },
    ];
    const machine = new Machine({ map: new PhysicalMap(firmwareMapOf(raw, { affinity })) });
    expect(machine.map.find(4096 * MIB)?.kind).toBe("absent");
    expect(machine.memory.read(4096 * MIB, 4)).toBe(0xffffffff);
    const slots = new DimmSlots(machine.map, machine.memory);
    slots.insert("DIMM", 4096 * MIB, 128 * MIB);
    expect(machine.memory.read(4096 * MIB, 4)).toBe(0);
  });
});

describe("power of ranks", () => {
  test("energy is watts times virtual time plus accesses; waking costs what the state says", () => {
    const clock = { now: 0 };
    const power = new RankPower(2, clock);
    clock.now = 1e9;
    expect(power.stats(0).joules).toBeCloseTo(RANK_WATTS.active);
    power.setState(1, "self-refresh");
    clock.now = 2e9;
    expect(power.access(1)).toBe(640);
    expect(power.stats(1)).toMatchObject({ state: "active", accesses: 1, transitions: 2 });
    const slept = RANK_WATTS.active + RANK_WATTS["self-refresh"] + ACCESS_NJ / 1e9;
    expect(power.stats(1).joules).toBeCloseTo(slept, 12);
    power.setState(0, "off");
    expect(() => power.access(0)).toThrow(/is off/);
    expect(power.totalJoules()).toBeCloseTo(2 * RANK_WATTS.active + slept, 12);
    power.check();
  });

  test("the deeper the sleep, the less power and the longer the way back", () => {
    const states = ["active", "power-down", "self-refresh", "off"] as const;
    const milliwatts = states.map((state) => Math.round(RANK_WATTS[state] * 1000));
    expect(milliwatts).toEqual([502, 329, 288, 0]);
    expect(states.map((state) => WAKE_NS[state])).toEqual([0, 6, 640, 700_000]);
    expect(ACCESS_NJ).toBeCloseTo(6.4, 1);
  });
});
