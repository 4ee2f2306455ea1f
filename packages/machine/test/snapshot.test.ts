import {
  IoPorts,
  isMachineError,
  MIB,
  PciBus,
  PciFunction,
  printFlat,
  restoreSnapshot,
  SeededRandom,
  SKYLAKE_TLB,
  snapshotObstacle,
  Stepper,
  takeSnapshot,
  traitsOf,
} from "@pagewright/machine";
import type { Machine, MachineSnapshot, MemoryImageState } from "@pagewright/machine";
import { describe, expect, test } from "vitest";

import { cpuOf, ramMachine, Tables } from "./fixtures.ts";

function prepared(): { machine: Machine; step: (index: number) => void } {
  const machine = ramMachine(8 * MIB, { seed: 9 });
  const cpu = cpuOf(machine);
  const tables = new Tables(machine, 1);
  for (let page = 0; page < 64; page++) tables.map(page * 4096, 512 + page);
  tables.activate(cpu);
  const step = (index: number): void => {
    const va = machine.scheduler.random.below(64) * 4096 + (index & 1023) * 4;
    cpu.store32(va, cpu.load32(va) + index);
  };
  return { machine, step };
}

function framesOf(snapshot: MachineSnapshot): ReadonlyMap<number, Uint8Array> {
  return (snapshot.parts.get("memory") as MemoryImageState).frames;
}

function sumOf(machine: Machine): number {
  const bytes = new Uint8Array(64 * 4096);
  machine.memory.readBytes(512 * 4096, bytes);
  return bytes.reduce((sum, byte, at) => (sum * 31 + byte * (at + 1)) % 1_000_003, 7);
}

describe("snapshots", () => {
  test("a restored machine runs on as it did", () => {
    const { machine, step } = prepared();
    for (let i = 0; i < 500; i++) step(i);
    const snapshot = takeSnapshot(machine);
    for (let i = 500; i < 900; i++) step(i);
    const first = sumOf(machine);
    restoreSnapshot(machine, snapshot);
    machine.check();
    for (let i = 500; i < 900; i++) step(i);
    expect(sumOf(machine)).toBe(first);
  });

  test("frames that did not change are kept once", () => {
    const { machine, step } = prepared();
    for (let i = 0; i < 1000; i++) step(i);
    const before = takeSnapshot(machine);
    step(1000);
    const after = takeSnapshot(machine, before);
    const shared = [...framesOf(after)].filter(([pfn, bytes]) => framesOf(before).get(pfn) === bytes).length;
    expect(shared).toBe(framesOf(after).size - 1);
  });

  test("stale translations come back with the machine", () => {
    const machine = ramMachine(4 * MIB);
    const cpu = cpuOf(machine);
    const tables = new Tables(machine, 1);
    tables.activate(cpu);
    tables.map(0x5000, 100);
    cpu.store32(0x5000, 1);
    tables.map(0x5000, 101);
    const snapshot = takeSnapshot(machine);
    cpu.invlpg(0x5000);
    expect(cpu.load32(0x5000)).toBe(0);
    restoreSnapshot(machine, snapshot);
    expect(cpu.load32(0x5000)).toBe(1);
  });

  test("stepping backwards leads through the same states", () => {
    const { machine, step } = prepared();
    const stepper = new Stepper(machine, step, 50);
    const states: number[] = [];
    for (let i = 0; i <= 300; i += 30) {
      stepper.goTo(i);
      states.push(sumOf(machine));
    }
    for (let i = 300; i >= 0; i -= 30) {
      stepper.goTo(i);
      expect(sumOf(machine)).toBe(states[i / 30]);
    }
    stepper.goTo(100);
    stepper.back(7);
    expect(stepper.position).toBe(93);
    stepper.back(1000);
    expect(stepper.position).toBe(0);
  });

  test("a generator that has not ended cannot be saved: the snapshot is refused, stepping backwards spawns it again", () => {
    const machine = ramMachine(MIB, { cpus: 2, seed: 4 });
    function* adder(): Generator<undefined> {
      for (let i = 0; i < 30; i++) {
        machine.memory.write(0x8000, 4, machine.memory.read(0x8000, 4) * 3 + machine.scheduler.current + i);
        yield;
      }
    }
    const states: number[] = [];
    const stepper = new Stepper(
      machine,
      (index) => {
        if (index % 100 === 20) for (const cpu of machine.cpus) machine.scheduler.spawn(cpu.id, adder());
        machine.scheduler.step();
      },
      10,
    );
    const state = (): number => machine.memory.read(0x8000, 4);
    for (let position = 0; position <= 300; position++) {
      stepper.goTo(position);
      states.push(state());
    }
    stepper.goTo(50);
    expect(snapshotObstacle(machine)).toMatch(/position cannot be copied/);
    expect(() => takeSnapshot(machine)).toThrow(/No snapshot can be taken now/);
    for (let position = 300; position >= 0; position -= 7) {
      stepper.goTo(position);
      expect(state()).toBe(states[position]);
    }
    expect(new Set(states).size).toBeGreaterThan(150);
  });

  test("a machine in the middle of a CPU's code is neither saved nor restored", () => {
    const machine = ramMachine(MIB);
    const snapshot = takeSnapshot(machine);
    machine.scheduler.as(0, () => {
      expect(() => takeSnapshot(machine)).toThrow(/CPU 0 is in the middle of its code/);
      expect(() => {
        restoreSnapshot(machine, snapshot);
      }).toThrow(/CPU 0 is in the middle of its code/);
    });
  });

  test("what the map holds and nobody knows is refused before anything changes", () => {
    const device = { read: () => 0, write: () => undefined };
    const machine = ramMachine(MIB);
    machine.map.overlay(16 * MIB, 17 * MIB, traitsOf("mmio", "uart", { device }));
    const snapshot = takeSnapshot(machine);
    const other = ramMachine(MIB);
    expect(() => {
      restoreSnapshot(other, snapshot);
    }).toThrow(/the snapshot has the device uart; here are none/);
    other.map.devices.add(device, "uart");
    restoreSnapshot(other, snapshot);
    expect(other.memory.read(16 * MIB, 4)).toBe(0);
  });

  test("non-volatile frames touched after the snapshot read as they did before, power cycle or not", () => {
    const saved = new Map<number, Uint8Array>([[2, new Uint8Array(4096).fill(5)]]);
    const nonVolatile = {
      load: (pfn: number, into: Uint8Array) => {
        into.set(saved.get(pfn) ?? []);
      },
      save: (pfn: number, from: Uint8Array) => void saved.set(pfn, from.slice()),
    };
    const machine = ramMachine(MIB, { nonVolatile });
    machine.map.overlay(0x1000, 0x4000, traitsOf("persistent", "NVDIMM"));
    machine.memory.write(0x1000, 4, 1);
    const snapshot = takeSnapshot(machine);
    machine.memory.write(0x1000, 4, 2);
    machine.memory.write(0x2000, 4, 2);
    machine.powerCycle();
    expect(machine.memory.read(0x2000, 4)).toBe(2);
    restoreSnapshot(machine, snapshot);
    expect(machine.memory.read(0x1000, 4)).toBe(1);
    expect(machine.memory.read(0x2000, 4)).toBe(0x05050505);
  });

  test("a PCI function's ports come back, whether the port space is a part or not", () => {
    for (const attached of [true, false]) {
      const machine = ramMachine(MIB);
      const ports = new IoPorts();
      if (attached) machine.attach("ports", ports);
      const bus = machine.attach("pci", new PciBus(machine.map, ports));
      const device = { readPort: (port: number) => port, writePort: () => undefined };
      const uart = new PciFunction({ name: "uart", vendor: 1, device: 1, classCode: 0x070000 }, [
        { kind: "io", size: 8, device },
      ]);
      bus.plug(uart, 1);
      uart.writeConfig(0x10, 4, 0xc000);
      uart.writeConfig(0x04, 2, 1);
      const snapshot = takeSnapshot(machine);
      uart.writeConfig(0x10, 4, 0xd000);
      expect([ports.read(0xc003, 1), ports.read(0xd003, 1)]).toEqual([0xff, 3]);
      restoreSnapshot(machine, snapshot);
      expect([ports.read(0xc003, 1), ports.read(0xd003, 1)]).toEqual([3, 0xff]);
      bus.check();
      ports.check();
      uart.writeConfig(0x04, 2, 0);
      expect(ports.read(0xc003, 1)).toBe(0xff);
    }
  });

  test("a machine with other PCI functions is refused, and nothing of it changes", () => {
    const made = (name: string, slot: number, size: number) => {
      const machine = ramMachine(MIB);
      const bus = machine.attach("pci", new PciBus(machine.map, new IoPorts()));
      const bar = { kind: "memory32", size, device: { read: () => 0, write: () => undefined } } as const;
      const unit = new PciFunction({ name, vendor: 1, device: 1, classCode: 0x020000 }, [bar]);
      bus.plug(unit, slot);
      unit.writeConfig(0x10, 4, 0xe000_0000);
      unit.writeConfig(0x04, 2, 2);
      machine.memory.write(0x1000, 4, slot);
      return machine;
    };
    const snapshot = takeSnapshot(made("nic", 3, 4096));
    restoreSnapshot(made("nic", 3, 4096), snapshot);
    for (const [name, slot, size] of [
      ["nic", 4, 4096],
      ["nic", 3, 8192],
      ["vga", 3, 4096],
    ] as const) {
      const other = made(name, slot, size);
      const before = printFlat(other.map);
      expect(() => {
        restoreSnapshot(other, snapshot);
      }).toThrow(
        name === "vga"
          ? /The part map differs: the snapshot has the device nic BAR 0; here are .*vga BAR 0/u
          : /The part pci differs: PCI function 0 is nic .* in the snapshot it is nic \(1:1\) at 3\.0 of bus 0 with BARs 0:memory32\/4096/u,
      );
      expect([printFlat(other.map), other.memory.read(0x1000, 4)]).toEqual([before, slot]);
      other.check();
    }
  });

  test("the map comes back with the machine", () => {
    const { machine } = prepared();
    const snapshot = takeSnapshot(machine);
    const before = printFlat(machine.map);
    const node = machine.map.overlay(16 * MIB, 17 * MIB, traitsOf("ram", "DIMM"));
    machine.memory.write(16 * MIB, 4, 7);
    const after = takeSnapshot(machine);
    restoreSnapshot(machine, snapshot);
    expect(printFlat(machine.map)).toBe(before);
    expect(machine.memory.read(16 * MIB, 4)).toBe(0xffffffff);
    restoreSnapshot(machine, after);
    expect(machine.memory.read(16 * MIB, 4)).toBe(7);
    expect(machine.map.remove(node)).toBe(true);
    expect(printFlat(machine.map)).toBe(before);
    machine.check();
  });

  test("a snapshot of a machine that is built otherwise is refused", () => {
    const snapshot = takeSnapshot(ramMachine(MIB));
    const refusal = (machine: Machine): string => {
      try {
        restoreSnapshot(machine, snapshot);
      } catch (error) {
        return isMachineError(error) ? error.code : "";
      }
      return "restored";
    };
    expect(refusal(ramMachine(MIB))).toBe("restored");
    expect(refusal(ramMachine(MIB, { cpus: 2 }))).toBe("snapshot-mismatch");
    expect(refusal(ramMachine(MIB, { tlb: SKYLAKE_TLB }))).toBe("snapshot-mismatch");
    const other = ramMachine(MIB);
    other.attach("dice", new SeededRandom(1));
    expect(refusal(other)).toBe("snapshot-mismatch");
  });
});
