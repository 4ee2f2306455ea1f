import { beforeEach, describe, expect, test } from "vitest";

import { Framebuffer } from "../../src/devices/framebuffer.ts";
import { IoPorts } from "../../src/devices/io-ports.ts";
import { PciResources } from "../../src/devices/pci-assign.ts";
import { PciBridge } from "../../src/devices/pci-bridge.ts";
import { PciBus } from "../../src/devices/pci-bus.ts";
import { COMMAND, CONFIG } from "../../src/devices/pci-config.ts";
import { PciFunction } from "../../src/devices/pci-function.ts";
import type { BarSpec } from "../../src/devices/pci-function.ts";
import { assignPorts } from "../../src/devices/pci-ports.ts";
import { PROBE_VALUE, probeBar, probeBars, windowsFor, writeBar } from "../../src/devices/pci-probe.ts";
import { AddressClaims } from "../../src/map/claims.ts";
import type { PhysicalMap } from "../../src/map/physical-map.ts";
import { PhysicalMemory } from "../../src/memory/physical-memory.ts";
import { ramMap } from "./ram-map.ts";

const registers = { read: (offset: number, size: number) => offset + size * 0x1000, write: () => undefined };
const uart = { readPort: (port: number) => port + 5, writePort: () => undefined };
const MIB = 2 ** 20;

let map: PhysicalMap;
let memory: PhysicalMemory;
let ports: IoPorts;
let bus: PciBus;
let claims: AddressClaims;
let resources: PciResources;

beforeEach(() => {
  map = ramMap(512);
  memory = new PhysicalMemory(map);
  ports = new IoPorts();
  bus = new PciBus(map, ports);
  claims = new AddressClaims(map);
  resources = new PciResources(bus, claims);
});

const card = (name: string, ...bars: BarSpec[]): PciFunction =>
  new PciFunction({ name, vendor: 0x1234, device: 0x1111, classCode: 0x030000 }, bars);
const small: BarSpec = { kind: "memory32", size: 4096, device: registers };
const large: BarSpec = { kind: "memory64", size: 256 * MIB, prefetchable: true, device: registers };
const vast: BarSpec = { kind: "memory64", size: 16 * 2 ** 30, prefetchable: true, device: registers };

function dwords(unit: PciFunction, register: number, value: number): number {
  unit.writeConfig(register, 4, value);
  return unit.readConfig(register, 4);
}

describe("sizing", () => {
  test("all ones reads back the size and the type bits", () => {
    const unit = card("vga", small);
    expect(dwords(unit, CONFIG.bar0, 0xffffffff)).toBe(0xfffff000);
    expect(probeBars(unit)).toEqual([
      { index: 0, kind: "memory32", size: 4096, prefetchable: false, address: 0xfffff000 },
    ]);
  });

  test("OpenBSD's masked probe gives the same sizes", () => {
    for (const value of [PROBE_VALUE.allOnes, PROBE_VALUE.addressBits]) {
      const unit = card("vga", small, large, { kind: "io", size: 32, device: uart });
      expect(probeBars(unit, value).map(({ index, kind, size }) => [index, kind, size])).toEqual([
        [0, "memory32", 4096],
        [1, "memory64", 256 * MIB],
        [3, "io", 32],
      ]);
    }
  });

  test("a 64-bit BAR of 4 GiB or more is sized by its upper dword", () => {
    const unit = card("gpu", vast, { kind: "memory64", size: 2 ** 32, device: registers });
    expect(dwords(unit, 0x10, 0xffffffff)).toBe(0x0000000c);
    expect(dwords(unit, 0x14, 0xffffffff)).toBe(0xfffffffc);
    expect(dwords(unit, 0x18, 0xffffffff)).toBe(0x00000004);
    expect(dwords(unit, 0x1c, 0xffffffff)).toBe(0xffffffff);
    expect(probeBars(unit).map((bar) => bar.size)).toEqual([16 * 2 ** 30, 2 ** 32]);
  });

  test("probing restores the address and never maps the probe value", () => {
    const unit = card("nic", small);
    bus.plug(unit, 1);
    writeBar(unit, probeBar(unit, 0), 0xe0000000);
    unit.writeConfig(CONFIG.command, 2, COMMAND.memory);
    const versions = new Set<number>();
    map.onChange(() => versions.add(map.regions().filter((one) => one.owner === "nic").length));
    expect(probeBar(unit, 0).address).toBe(0xe0000000);
    expect(map.find(0xe0000000)?.owner).toBe("nic");
    expect(map.find(0xfffff000)).toBeUndefined();
    expect([...versions].every((count) => count <= 1)).toBe(true);
  });

  test("sizes that no register can express are refused", () => {
    for (const size of [0, 24, 4095, 2 ** 32]) expect(() => card("bad", { ...small, size })).toThrow(String(size));
    expect(() => card("bad", { kind: "io", size: 512, device: uart })).toThrow("512");
    expect(() => card("bad", large, large, large, small)).toThrow("memory32");
  });
});

describe("decoding", () => {
  test("a window answers only while its command bit is on, and moves with its BAR", () => {
    const unit = card("nic", small);
    bus.plug(unit, 1);
    const bar = probeBar(unit, 0);
    writeBar(unit, bar, 0xe0000000);
    expect(memory.read(0xe0000010, 4)).toBe(0xffffffff);
    unit.writeConfig(CONFIG.command, 2, COMMAND.memory);
    expect(memory.read(0xe0000010, 4)).toBe(0x4010);
    writeBar(unit, bar, 0xe0100000);
    expect(memory.read(0xe0000010, 4)).toBe(0xffffffff);
    expect(memory.read(0xe0100010, 4)).toBe(0x4010);
  });

  test("a BAR at 0 and a window that would wrap do not answer", () => {
    const unit = card("nic", small);
    bus.plug(unit, 1);
    unit.writeConfig(CONFIG.command, 2, COMMAND.memory);
    expect(map.find(0)?.owner).toBe("firmware");
    unit.writeConfig(0x10, 4, 0xfffff000);
    expect(map.find(0xfffff000)).toBeUndefined();
    expect(() => {
      writeBar(unit, probeBar(unit, 0), 0);
    }).toThrow("0x0");
    expect(() => {
      writeBar(unit, probeBar(unit, 0), 2 ** 32);
    }).toThrow("0x100000000");
    expect(() => {
      writeBar(unit, probeBar(unit, 0), 0xe0000800);
    }).toThrow("cannot start");
  });

  test("I/O windows answer in port space", () => {
    const unit = card("uart", { kind: "io", size: 8, device: uart });
    bus.plug(unit, 2);
    writeBar(unit, probeBar(unit, 0), 0x3f8);
    unit.writeConfig(CONFIG.command, 2, COMMAND.io);
    expect(ports.read(0x3fa, 1)).toBe(7);
    unit.writeConfig(CONFIG.command, 2, 0);
    expect(ports.read(0x3fa, 1)).toBe(0xff);
  });

  test("configuration space is reached through ports 0xCF8/0xCFC and through memory", () => {
    bus.plug(card("nic", small), 3);
    ports.write(0xcf8, 4, 0x80000000 + 3 * 2048);
    expect(ports.read(0xcfc, 4)).toBe(0x11111234);
    expect(ports.read(0xcfe, 2)).toBe(0x1111);
    ports.write(0xcf8, 4, 0x80000000 + 4 * 2048);
    expect(ports.read(0xcfc, 4)).toBe(0xffffffff);
    claims.claim(0xb0000000, 256 * MIB, { owner: "ecam", device: bus.ecam });
    expect(memory.read(0xb0000000 + 3 * 0x8000, 4)).toBe(0x11111234);
    expect(memory.read(0xb0000000 + 3 * 0x8000 + 0x100, 4)).toBe(0xffffffff);
  });
});

describe("bridges", () => {
  function behind(): { bridge: PciBridge; unit: PciFunction } {
    const bridge = new PciBridge("bridge");
    const unit = card("gpu", small, large);
    bus.plug(bridge, 1);
    bridge.writeConfig(CONFIG.busNumbers, 4, 0x010100);
    bus.plug(unit, 0, 0, bridge);
    bridge.writeConfig(CONFIG.command, 2, COMMAND.memory);
    bridge.openWindow("memory", 0xe0000000, 0xe0200000);
    bridge.openWindow("prefetchable", 0x8_0000_0000, 0x8_4000_0000);
    return { bridge, unit };
  }

  test("a BAR outside every window is deaf; inside it answers", () => {
    const { bridge, unit } = behind();
    unit.writeConfig(CONFIG.command, 2, COMMAND.memory);
    writeBar(unit, probeBar(unit, 0), 0xe0300000);
    expect(map.find(0xe0300000)).toBeUndefined();
    writeBar(unit, probeBar(unit, 0), 0xe0100000);
    expect(map.find(0xe0100000)?.owner).toBe("gpu");
    bridge.writeConfig(CONFIG.command, 2, 0);
    expect(map.find(0xe0100000)).toBeUndefined();
  });

  test("assignment puts prefetchable BARs into either window, others only into the plain one", () => {
    const { bridge, unit } = behind();
    const [a, b] = resources.assignAll();
    expect([a?.claim?.start, b?.claim?.start]).toEqual([0x8_0000_0000, 0xe0000000]);
    expect(windowsFor(probeBar(unit, 0), [bridge])).toEqual([{ start: 0xe0000000, end: 0xe0200000 }]);
    expect(map.find(0x8_0000_0000)?.owner).toBe("gpu");
    expect(bus.at({ bus: 1, slot: 0, fn: 0 })?.unit).toBe(unit);
    claims.check();
  });

  test("a non-prefetchable BAR is refused a place in a prefetchable window and stays where it was", () => {
    behind();
    const [, small32] = resources.assignAll();
    if (small32 === undefined) throw new Error("two BARs were assigned");
    expect(() => resources.move(small32.node, small32.bar, 0x8_0000_0000)).toThrow("non-prefetchable");
    expect(map.find(0xe0000000)?.owner).toBe("gpu");
    claims.check();
  });
});

describe("assignment", () => {
  test("holes below 4 GiB are shared without overlap, largest BAR first, and misfits get none", () => {
    const first = bus.plug(card("one", small, large), 1);
    bus.plug(card("two", { kind: "memory32", size: 2 ** 31, device: registers }), 2);
    bus.plug(card("three", { kind: "memory32", size: 2 ** 31, device: registers }), 3);
    const out = resources.assignAll();
    expect(out.map((one) => one.claim === null)).toEqual([false, true, false, false]);
    const claimed = out.flatMap((one) => (one.claim === null ? [] : [one.claim])).toSorted((a, b) => a.start - b.start);
    claimed.forEach((claim, i) => expect(claim.end).toBeLessThanOrEqual(claimed[i + 1]?.start ?? Infinity));
    expect(first.unit.readConfig(CONFIG.command, 2)).toBe(COMMAND.memory);
    claims.check();
  });

  test("moving a BAR over RAM or another device names both, and it stays", () => {
    bus.plug(card("one", small), 1);
    bus.plug(card("two", small), 2);
    const [one, two] = resources.assignAll();
    if (!one?.claim || !two?.claim) throw new Error("both have a place");
    const target = two.claim.start;
    expect(() => resources.move(one.node, one.bar, target)).toThrow(/one claims .* two has/);
    expect(() => resources.move(one.node, one.bar, 16 * MIB)).toThrow(/one claims .* firmware has ram/);
    expect(map.find(one.claim.start)?.owner).toBe("one");
    expect(resources.move(one.node, one.bar, 0xd0000000).start).toBe(0xd0000000);
    expect(memory.read(0xd0000004, 4)).toBe(0x4004);
    claims.check();
    map.check();
  });

  test("a framebuffer behind a BAR is drawn to through the map", () => {
    const screen = new Framebuffer(64, 64);
    bus.plug(card("vga", { kind: "memory32", size: 16384, prefetchable: true, device: screen }), 1);
    const [bar] = resources.assignAll();
    memory.write((bar?.claim?.start ?? 0) + 8, 4, 0x00ff00);
    expect(screen.pixels[2]).toBe(0x00ff00);
  });
});

describe("assignment of ports", () => {
  const io = (size: number): BarSpec => ({ kind: "io", size, device: uart });

  test("I/O BARs get ports of their own, largest first, clear of what is taken; memory BARs are left alone", () => {
    ports.claim(0x1000, 1, "board", uart);
    const one = card("one", io(16), small, io(32));
    const two = card("two", io(256));
    bus.plug(one, 1);
    bus.plug(two, 2);
    expect(assignPorts(bus, ports).map(({ bar, port }) => [bar.index, port])).toEqual([
      [0, 0x1100],
      [2, 0x1020],
      [0, 0x1010],
    ]);
    expect([0x1010, 0x1020, 0x103f, 0x1100].map((port) => ports.rangeAt(port)?.owner)).toEqual([
      "one",
      "one",
      "one",
      "two",
    ]);
    expect(ports.read(0x1104, 1)).toBe(9);
    expect(one.readConfig(CONFIG.command, 2)).toBe(COMMAND.io);
    const again = assignPorts(bus, ports).map(({ port }) => port);
    expect(again).toEqual([0x1100, 0x1020, 0x1010]);
    expect(resources.assignAll().map(({ bar }) => bar.kind)).toEqual(["memory32"]);
    expect(one.readConfig(CONFIG.command, 2)).toBe(COMMAND.io | COMMAND.memory);
    ports.check();
  });

  test("behind a bridge they come from its I/O window; what does not fit stays silent", () => {
    const bridge = new PciBridge("bridge");
    bus.plug(bridge, 1);
    bridge.writeConfig(CONFIG.busNumbers, 4, 0x010100);
    const unit = card("uart", io(8));
    bus.plug(unit, 0, 0, bridge);
    expect(assignPorts(bus, ports).map(({ port }) => port)).toEqual([-1]);
    bridge.writeConfig(CONFIG.command, 2, COMMAND.io);
    bridge.openWindow("io", 0xc000, 0xd000);
    expect(assignPorts(bus, ports).map(({ port }) => port)).toEqual([0xc000]);
    expect(ports.rangeAt(0xc007)?.owner).toBe("uart");
    ports.claim(0xc008, 0xff8, "board", uart);
    bus.plug(card("late", io(4), io(4)), 1, 0, bridge);
    expect(assignPorts(bus, ports).map(({ port }) => port)).toEqual([0xc000, -1, -1]);
    expect(bus.nodes[2]?.unit.readConfig(CONFIG.command, 2)).toBe(0);
    bridge.openWindow("io", 0xe000, 0xf000);
    expect(assignPorts(bus, ports).map(({ port }) => port)).toEqual([0xe000, 0xe008, 0xe00c]);
    ports.check();
  });

  test("an I/O BAR cannot be moved into the map", () => {
    const node = bus.plug(card("uart", io(8)), 1);
    expect(() => resources.move(node, probeBar(node.unit, 0), 0xe0000000)).toThrow(/uart: BAR 0 holds I\/O ports/);
    expect(claims.claims).toEqual([]);
  });
});

describe("claims", () => {
  test("find keeps clear of memory and of other claims, at either end", () => {
    expect(claims.find({ size: MIB })).toBe(512 * MIB);
    expect(claims.find({ size: 256 * MIB, place: "highest" })).toBe(0xf0000000);
    claims.claim(512 * MIB, MIB, { owner: "a" });
    expect(claims.find({ size: MIB })).toBe(513 * MIB);
    expect(claims.find({ size: 4 * 2 ** 30 })).toBe(-1);
    expect(() => claims.allocate({ size: 4 * 2 ** 30 }, { owner: "b" })).toThrow("No room");
    expect(() => claims.find({ size: 4096, alignment: 3 })).toThrow("alignment 3");
  });

  test("a released window is free again, and releasing it twice is refused", () => {
    const claim = claims.claim(0xe0000000, MIB, { owner: "a" });
    claims.release(claim);
    expect(map.find(0xe0000000)).toBeUndefined();
    expect(() => {
      claims.release(claim);
    }).toThrow("not claimed");
    claims.check();
  });

  test("ports belong to one device", () => {
    expect(() => {
      ports.claim(0xcfc, 1, "thief", uart);
    }).toThrow(/thief claims port 0xcfc, which pci has/);
  });
});
