import {
  AddressClaims,
  Balloon,
  BlockDevice,
  BlockMemoryDevice,
  BusMaster,
  DimmSlots,
  FaultyRam,
  firmwareMapOf,
  Framebuffer,
  frameRangesOf,
  GIB,
  IoPorts,
  IsaDma,
  isMachineError,
  LastLevelCache,
  Machine,
  MARCH_C_MINUS,
  MarchTest,
  MemoryMedium,
  MIB,
  MtrrManager,
  MtrrRegisters,
  PciBridge,
  PciBus,
  PciFunction,
  PhysicalMap,
  programIsaDma,
  RankPower,
  Scrubber,
  SeededRandom,
  VirtualClock,
  WriteCombiner,
} from "@pagewright/machine";
import type { MachineErrorCode } from "@pagewright/machine";
import { beforeEach, describe, expect, test } from "vitest";
import { cpuOf } from "./fixtures.ts";

let machine: Machine;
let claims: AddressClaims;
let ports: IoPorts;

beforeEach(() => {
  const map = new PhysicalMap(
    firmwareMapOf([
      { base: 0n, length: BigInt(16 * MIB), type: 1 },
      { base: 0xfee00000n, length: 0x1000n, type: 2 },
    ]),
  );
  machine = new Machine({ map, cpus: 2 });
  claims = new AddressClaims(map);
  ports = new IoPorts();
});

/** What is done, the code of the error, and what its message must name: both parties where there are two. */
const MISUSES: readonly (readonly [
  what: string,
  run: () => unknown,
  code: MachineErrorCode,
  names: readonly string[],
])[] = [
  [
    "a copy beyond the map",
    () => machine.memory.readBytes(2 ** 52 - 2, new Uint8Array(4)),
    "beyond-map",
    ["4 bytes", "52-bit"],
  ],
  ["a read beyond the map", () => machine.memory.read(2 ** 52, 4), "beyond-map", ["4 bytes", "0x0010", "52-bit"]],
  [
    "a write far beyond the map",
    () => {
      machine.memory.write(2 ** 60, 2, 1);
    },
    "beyond-map",
    ["2 bytes", "0x1000000000000000", "52-bit"],
  ],
  ["a read below the map", () => machine.memory.read(-4, 4), "beyond-map", ["4 bytes", "-4", "52-bit"]],
  [
    "an exchange over the border of two words",
    () => cpuOf(machine).compareExchange64(0x1ffc, 0, 0, 1, 2),
    "unaligned",
    ["CPU 0", "8 bytes", "0x0000000000001ffc"],
  ],
  [
    "a root table inside a frame",
    () => cpuOf(machine).useTable(0x1008),
    "unaligned",
    ["CPU 0", "0x0000000000001008", "ram of firmware"],
  ],
  ["a root table in a hole", () => cpuOf(machine, 1).useTable(GIB), "beyond-map", ["CPU 1", "a hole"]],
  [
    "a claim over a claim",
    () => {
      claims.claim(0xe0000000, 0x1000, { owner: "nic" });
      claims.claim(0xe0000800, 0x1000, { owner: "disk" });
    },
    "double-claim",
    ["disk", "nic"],
  ],
  ["a claim over RAM", () => claims.claim(8 * MIB, 0x1000, { owner: "nic" }), "overlap", ["nic", "firmware", "ram"]],
  [
    "a claim over what firmware reserved",
    () => claims.claim(0xfee00000, 64, { owner: "nic" }),
    "overlap",
    ["nic", "reserved"],
  ],
  ["a claim where no room is", () => claims.allocate({ size: 8 * GIB }, { owner: "nic" }), "no-address-space", ["nic"]],
  ["a wish of no alignment", () => claims.find({ size: 4096, alignment: 48 }), "bad-argument", ["48"]],
  [
    "a DIMM over RAM",
    () => new DimmSlots(machine.map, machine.memory).insert("DIMM A1", 0, 128 * MIB),
    "overlap",
    ["DIMM A1", "firmware"],
  ],
  [
    "a DIMM between granules",
    () => new DimmSlots(machine.map, machine.memory).insert("DIMM A1", 4096, 128 * MIB),
    "unaligned",
    ["DIMM A1", "128 MiB"],
  ],
  [
    "a memory device over RAM",
    () => new BlockMemoryDevice(machine.map, machine.memory, { start: 0, bytes: 4 * MIB, blockBytes: 2 * MIB }),
    "overlap",
    ["firmware"],
  ],
  [
    "a balloon with a frame that is no RAM",
    () => new Balloon(machine.memory).inflate([1, 0xfee00]),
    "beyond-map",
    ["0xfee00", "reserved of firmware"],
  ],
  ["a balloon with a frame twice", () => new Balloon(machine.memory).inflate([5, 5]), "double-claim", ["0x5"]],
  [
    "ports of another device",
    () => {
      ports.claim(0x3f8, 8, "uart", { readPort: () => 0, writePort: () => undefined });
      ports.claim(0x3ff, 1, "thief", { readPort: () => 0, writePort: () => undefined });
    },
    "double-claim",
    ["thief", "uart", "0x3ff"],
  ],
  [
    "two functions in one place",
    () => {
      const bus = new PciBus(machine.map, ports);
      bus.plug(new PciBridge("left"), 3);
      bus.plug(new PciBridge("right"), 3);
    },
    "double-claim",
    ["left", "right"],
  ],
  [
    "a slot that no bus has",
    () => new PciBus(machine.map, ports).plug(new PciBridge("bridge"), 32),
    "bad-argument",
    ["bridge", "32"],
  ],
  [
    "a function behind nothing",
    () => new PciBus(machine.map, ports).plug(new PciBridge("inner"), 1, 0, new PciBridge("outer")),
    "bad-argument",
    ["inner", "outer"],
  ],
  [
    "a BAR of no power of two",
    () =>
      new PciFunction({ name: "nic", vendor: 1, device: 1, classCode: 0 }, [
        { kind: "memory32", size: 48, device: new Framebuffer(1, 1) },
      ]),
    "bad-argument",
    ["nic", "48"],
  ],
  [
    "the cascade channel",
    () => new IsaDma(machine.memory, ports).transfer(4, new Uint8Array(2)),
    "bad-argument",
    ["channel 4"],
  ],
  [
    "a channel that is not there",
    () => programIsaDma(ports, 9, 0, 1, "device-to-memory"),
    "bad-argument",
    ["channel 9"],
  ],
  ["a bus master with too few lines", () => new BusMaster(machine.memory, 8), "bad-argument", ["8"]],
  [
    "a segment out of reach",
    () => new BusMaster(machine.memory, 32).requireReach({ address: 4 * GIB, length: 1 }),
    "device-misuse",
    ["32 address bits"],
  ],
  [
    "half a block",
    () => new BlockDevice(new MemoryMedium(1024), { now: 0 }).submit("write", 0, new Uint8Array(100)),
    "bad-argument",
    ["100 bytes"],
  ],
  [
    "a disk without a queue",
    () => new BlockDevice(new MemoryMedium(1024), { now: 0 }, { queueDepth: 0 }),
    "bad-argument",
    ["request"],
  ],
  ["a fault in a hole", () => new FaultyRam(machine.memory, { ecc: true }).flip(GIB, 0), "bad-argument", ["no memory"]],
  ["bit 8 of a byte", () => new FaultyRam(machine.memory, { ecc: true }).stick(0, 8, 1), "bad-argument", ["bit 8"]],
  [
    "a row of no bytes",
    () => new FaultyRam(machine.memory, { ecc: true }).failRow(0, 0, 1, 1),
    "bad-argument",
    ["0 bytes"],
  ],
  [
    "a scrubber of half words",
    () => new Scrubber(new FaultyRam(machine.memory, { ecc: true }), 4, 12),
    "bad-argument",
    ["4", "12"],
  ],
  [
    "a memory test of no words",
    () => new MarchTest(machine.memory, MARCH_C_MINUS, 0, 2),
    "bad-argument",
    ["whole words"],
  ],
  ["a rank that is not there", () => new RankPower(2, { now: 0 }).access(2), "bad-argument", ["rank 2", "2"]],
  ["an interrupt for nobody", () => machine.interrupts.send(0, 7, 40), "bad-argument", ["CPU 7", "2"]],
  ["an exception as an interrupt", () => machine.interrupts.send(0, 1, 14), "bad-argument", ["14"]],
  ["a task for nobody", () => machine.scheduler.spawn(9, [][Symbol.iterator]()), "bad-argument", ["CPU 9"]],
  ["time that goes back", () => new VirtualClock(1).advance(-1), "bad-argument", ["-1"]],
  ["a cache of three sets", () => new LastLevelCache({ bytes: 3 * 64, ways: 1 }), "bad-argument", ["192 bytes"]],
  [
    "no line buffers",
    () => new WriteCombiner({ burst: () => undefined, single: () => undefined }, 0),
    "bad-argument",
    ["0"],
  ],
  [
    "ranks of no power of two",
    () => frameRangesOf(machine.map.regions(), { rankBytes: 3 * MIB }),
    "bad-argument",
    ["3145728"],
  ],
  [
    "a register that covers no block",
    () => new MtrrRegisters(1).setVariable(0, { base: MIB, length: 2 * MIB, type: "WB" }),
    "mtrr-misuse",
    ["0x100000", "0x200000"],
  ],
  [
    "two owners of one type",
    () => {
      const manager = new MtrrManager(new MtrrRegisters(8), []);
      manager.add(0xe0000000, 0xe0100000, "WC", "first");
      manager.add(0xe0080000, 0xe0180000, "WC", "second");
    },
    "mtrr-misuse",
    ["first", "second"],
  ],
  ["a seed that is no whole number", () => new SeededRandom(0.5), "bad-argument", ["0.5"]],
  ["a machine without a CPU", () => new Machine({ map: machine.map, cpus: 0 }), "bad-argument", ["0"]],
  ["addresses of 64 bits", () => new Machine({ map: machine.map, physicalBits: 64 }), "bad-argument", ["64"]],
  [
    "distances that are no square",
    () => new Machine({ map: machine.map, timing: { distances: [[10, 20], [20]] } }),
    "bad-argument",
    ["Node 1"],
  ],
  ["two parts of one name", () => machine.attach("map", new SeededRandom(1)), "double-claim", ["map"]],
];

describe("misuse is refused by a typed error that names who is in conflict, and changes nothing of the machine", () => {
  test.each(MISUSES)("%s", (_, run, code, names) => {
    let caught: unknown = null;
    try {
      run();
    } catch (error) {
      caught = error;
    }
    if (!isMachineError(caught)) throw new Error(`no MachineError but ${String(caught)}`);
    expect(caught.code).toBe(code);
    for (const name of names) expect(caught.message).toContain(name);
    machine.check();
    expect(machine.map.regions()[0]).toMatchObject({ start: 0, end: 16 * MIB, kind: "ram" });
  });
});
