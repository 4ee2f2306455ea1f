import { AddressClaims, firmwareMapOf, MIB, PhysicalMap, printFlat, printTree, traitsOf } from "@pagewright/machine";
import type { MapNode } from "@pagewright/machine";
import { expect, test } from "vitest";

const node = (name: string, offset: number, size: number, more: Partial<MapNode>): MapNode => ({
  name,
  offset,
  size,
  priority: 0,
  traits: null,
  alias: null,
  children: [],
  ...more,
});

/** Firmware's RAM on two nodes, a place for a module, a bridge with two devices in it, a ROM shown twice, a bad frame. */
function board(): PhysicalMap {
  const affinity = [0, 1, 1].map((at, i) => ({
    node: at,
    base: i * 16 * MIB,
    end: (i + 1) * 16 * MIB,
    hotPluggable: i === 2,
    nonVolatile: false,
  }));
  const map = new PhysicalMap(firmwareMapOf([{ base: 0n, length: BigInt(32 * MIB), type: 1 }], { affinity }));
  map.add(
    node("bridge", 0xe0000000, MIB, {
      priority: 5,
      children: [
        node("screen", 0, 0x80000, {
          traits: traitsOf("mmio", "screen", { cacheability: "write-combining" }),
          children: [node("cursor", 0x1000, 0x1000, { traits: traitsOf("mmio", "cursor") })],
        }),
        node("nic", 0x7f000, 0x2000, { priority: 1, traits: traitsOf("mmio", "nic") }),
      ],
    }),
  );
  const rom = map.overlay(0xf0000, 0x100000, traitsOf("rom", "bios"));
  map.add(node("reset vector", 0xffff8000, 0x8000, { alias: { target: rom, from: 0x8000, home: 0xf0000 } }));
  map.markFaulty([{ start: 0x1800, end: 0x1801 }]);
  new AddressClaims(map).claim(0xfec00000, 0x1000, { owner: "ioapic" });
  return map;
}

test("the tree shows who was added where, containers and aliases too, with priorities", () => {
  expect(printTree(board())).toBe(`0000000000000000-0000000000ffffff (prio 0, ram): firmware: usable
0000000001000000-0000000001ffffff (prio 0, ram): firmware: usable
0000000002000000-0000000002ffffff (prio -1, absent): firmware: absent
00000000e0000000-00000000e00fffff (prio 5, container): bridge
  00000000e0000000-00000000e007ffff (prio 0, mmio): screen
    00000000e0001000-00000000e0001fff (prio 0, mmio): cursor
  00000000e007f000-00000000e0080fff (prio 1, mmio): nic
00000000000f0000-00000000000fffff (prio 20, rom): bios: rom
00000000ffff8000-00000000ffffffff (prio 0, alias of bios: rom from 8000): reset vector
0000000001800000-0000000001800fff (prio 30, faulty): bad memory: unusable
00000000fec00000-00000000fec00fff (prio 10, mmio): ioapic: mmio`);
});

test("the flat view shows what is seen, whose it is, where an alias looks, and what may be unplugged", () => {
  expect(printFlat(board())).toBe(`0000000000000000-00000000000effff  ram         node 0   firmware
00000000000f0000-00000000000fffff  rom                  bios  non-volatile
0000000000100000-0000000000ffffff  ram         node 0   firmware
0000000001000000-00000000017fffff  ram         node 1   firmware
0000000001800000-0000000001800fff  faulty      node 1   bad memory
0000000001801000-0000000001ffffff  ram         node 1   firmware
0000000002000000-0000000002ffffff  absent      node 1   firmware  hot-pluggable
00000000e0000000-00000000e0000fff  mmio                 screen  write-combining
00000000e0001000-00000000e0001fff  mmio                 cursor
00000000e0002000-00000000e007efff  mmio                 screen  write-combining
00000000e007f000-00000000e0080fff  mmio                 nic
00000000fec00000-00000000fec00fff  mmio                 ioapic
00000000ffff8000-00000000ffffffff  rom                  bios  shows 00000000000f8000  non-volatile`);
});
