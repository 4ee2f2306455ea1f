/** Memory that changes under running programs: pages move, and nobody notices. */
import { Balloon, DimmSlots, FaultyRam, physicalMapFromJson, RankPower } from "@pagewright/machine";
import { Quarantine } from "@pagewright/pmm";
import { MemoryBacking, MemorySwap, USER, WRITE, type AddressSpace } from "@pagewright/vmm";
import { beforeEach, expect, test } from "vitest";

import {
  audit,
  BalloonDriver,
  createStack,
  emptyRank,
  ErrorResponse,
  ModuleHandler,
  retireFrame,
  takeOffline,
} from "../src/index.ts";
import type { Stack, StackOptions } from "../src/index.ts";

const MIB = 2 ** 20;
const PAGE = 4096;
const PAGES = 300;

let stack: Stack;
let space: AddressSpace;
let at: number;

/** A program with 300 pages on 64 MiB, on one of two processors. */
function start(options: Partial<StackOptions> = {}): void {
  const map = physicalMapFromJson({
    entries: [
      { base: 0, length: 0x9f000, type: 1 },
      { base: MIB, length: 63 * MIB, type: 1 },
    ],
  });
  stack = createStack({ map, cpus: 2, swap: [new MemorySwap(4096)], ...options });
  const made = stack.vmm.createSpace();
  const mapped = made?.map({ bytes: PAGES * PAGE });
  if (made === null || typeof mapped !== "number") throw new Error("no memory");
  space = made;
  at = mapped;
  const cpu = stack.enter(space);
  for (let page = 0; page < PAGES; page++) cpu.store32(at + page * PAGE, page + 1);
}

beforeEach(() => {
  start();
});

function frameOf(page: number): number {
  space.tables.query(at / PAGE + page);
  return space.tables.frame;
}

/** The program finds everything as it left it, on both processors, and so does the auditor. */
function sound(): void {
  for (const number of [0, 1]) {
    const cpu = stack.enter(space, number);
    for (let page = 0; page < PAGES; page++) expect(cpu.load32(at + page * PAGE)).toBe(page + 1);
  }
  expect(audit(stack).problems).toEqual([]);
}

test("a frame in use retires: its page moves, in a clone too, and the frame is never handed out again", () => {
  const clone = space.clone();
  if (clone === null) throw new Error("no clone");
  stack.enter(clone, 1).load32(at);
  stack.enter(space);
  const pfn = frameOf(7);
  expect(retireFrame(stack, pfn)).toEqual({ ok: true, moved: 1, stuck: [] });
  expect(stack.pmm.retiredFrames()).toContain(pfn);
  expect(frameOf(7)).not.toBe(pfn);
  sound();
  expect(stack.enter(clone, 1).load32(at + 7 * PAGE)).toBe(8);
  for (let frame = stack.pmm.take(); frame >= 0; frame = stack.pmm.take()) expect(frame).not.toBe(pfn);
});

test("a frame that a device is using refuses and is named, and retires when it comes back", () => {
  const transfer = stack.vmm.beginTransfer(space, at, PAGE, "to-device");
  if (typeof transfer === "string") throw new Error(transfer);
  const pfn = frameOf(0);
  expect(retireFrame(stack, pfn)).toEqual({ ok: false, moved: 0, stuck: [{ pfn, reason: "pinned" }] });
  transfer.complete();
  expect(retireFrame(stack, pfn).ok).toBe(true);
  expect(stack.pmm.retiredFrames()).toContain(pfn);
  sound();
});

test("corrected errors move a page before they cannot be corrected any more", () => {
  const ram = new FaultyRam(stack.machine.memory, { ecc: true });
  const quarantine = new Quarantine(stack.pmm, { now: () => 0 }, { limit: 3, leakPerHour: 1 });
  const response = new ErrorResponse(stack, quarantine);
  ram.handler = response;
  const pfn = frameOf(5);
  ram.stick(pfn * PAGE + 64, 3, 1);
  const cpu = stack.enter(space);
  for (let read = 0; read < 3; read++) cpu.load32(at + 5 * PAGE + 64);
  expect(ram.log.length).toBeGreaterThanOrEqual(3);
  expect(frameOf(5)).toBe(pfn);
  expect(response.settle()).toBe(1);
  expect(response.saved).toBe(1);
  expect(frameOf(5)).not.toBe(pfn);
  expect(stack.pmm.retiredFrames()).toContain(pfn);
  sound();
});

test("an error that cannot be corrected costs a stored page its content, but not one that has a copy", () => {
  const file = stack.vmm.openFile(new MemoryBacking(4 * PAGE));
  const there = Number(space.map({ bytes: 4 * PAGE, object: file, shared: true }));
  const cpu = stack.enter(space);
  cpu.store32(there, 77);
  expect(space.sync(there, PAGE)).toBe("ok");
  cpu.store32(there + PAGE, 78);
  const ram = new FaultyRam(stack.machine.memory, { ecc: true });
  const response = new ErrorResponse(stack, new Quarantine(stack.pmm, { now: () => 0 }, { limit: 3, leakPerHour: 1 }));
  ram.handler = response;
  const fail = (address: number): void => {
    space.tables.query(address / PAGE);
    const { frame } = space.tables;
    ram.flip(frame * PAGE + 8, 1);
    ram.flip(frame * PAGE + 8, 2);
    cpu.load32(address + 8);
    expect(response.settle()).toBe(1);
  };
  fail(there);
  expect([response.saved, response.lost]).toEqual([1, 0]);
  expect(cpu.load32(there)).toBe(77);
  fail(there + PAGE);
  fail(at + 9 * PAGE);
  expect([response.saved, response.lost]).toEqual([1, 2]);
  expect(cpu.load32(there + PAGE)).toBe(-1);
  expect(stack.lastFault).toBe("bus");
  expect(cpu.load32(at + 9 * PAGE)).toBe(-1);
  expect(stack.lastFault).toBe("bus");
  expect([space.sync(there, 2 * PAGE), space.sync(there, 2 * PAGE)]).toEqual(["failed", "ok"]);
  expect(audit(stack).problems).toEqual([]);
  space.destroy();
  file.close();
  expect(audit(stack).problems).toEqual([]);
});

test("until an error is settled, the page is not evicted, copied or moved, and its frame goes to nobody", () => {
  const ram = new FaultyRam(stack.machine.memory, { ecc: true });
  const response = new ErrorResponse(stack, new Quarantine(stack.pmm, { now: () => 0 }, { limit: 3, leakPerHour: 1 }));
  ram.handler = response;
  const clone = space.clone();
  if (clone === null) throw new Error("no clone");
  const spoil = (page: number): number => {
    const pfn = frameOf(page);
    for (const bit of [1, 2]) ram.flip(pfn * PAGE + 8, bit);
    return pfn;
  };
  // Nobody has seen these errors: copying for a writer, saving and moving find them.
  const copied = spoil(3);
  expect(stack.enter(clone, 1).store32(at + 3 * PAGE, 9)).toBe(false);
  expect(stack.lastFault).toBe("bus");
  clone.destroy();
  stack.enter(space);
  const saved = spoil(4);
  expect(space.advise(at + 4 * PAGE, PAGE, "page-out")).toBe("ok");
  const moved = spoil(5);
  expect(stack.vmm.migrator.vacate(moved)).toBe("suspect");
  expect([3, 4, 5].map(frameOf)).toEqual([copied, saved, moved]);
  expect(audit(stack).problems).toEqual([]);
  // One of the pages ends by itself: its frame is not handed out before the error is settled, nor after.
  expect(space.unmap(at + 5 * PAGE, PAGE)).toBe("ok");
  expect(stack.pmm.retiredFrames()).toContain(moved);
  expect(response.settle()).toBe(3);
  expect([response.saved, response.lost]).toEqual([0, 2]);
  for (const page of [3, 4])
    expect([stack.enter(space).load32(at + page * PAGE), stack.lastFault]).toEqual([-1, "bus"]);
  for (const pfn of [copied, saved, moved]) expect(stack.pmm.retiredFrames()).toContain(pfn);
  expect(audit(stack).problems).toEqual([]);
});

test("a range goes offline: all pages leave it, in all their mappings", () => {
  const clone = space.clone();
  if (clone === null) throw new Error("no clone");
  for (let page = 0; page < PAGES; page++) stack.enter(clone, 1).load32(at + page * PAGE);
  stack.enter(space);
  const first = frameOf(150);
  const span = { start: Math.floor(first / 512) * 512, end: Math.floor(first / 512) * 512 + 512 };
  const outcome = takeOffline(stack, span);
  expect(outcome).toMatchObject({ ok: true, stuck: [] });
  expect(outcome.moved).toBeGreaterThan(100);
  for (let page = 0; page < PAGES; page++) expect(frameOf(page) >= span.end || frameOf(page) < span.start).toBe(true);
  sound();
  expect(stack.enter(clone, 1).load32(at + 150 * PAGE)).toBe(151);
});

test("a range with page tables in it refuses and names them, and nothing has changed", () => {
  const before = stack.pmm.freeFrames;
  const { root } = space.tables;
  const start = Math.floor(root / 512) * 512;
  const outcome = takeOffline(stack, { start, end: start + 512 });
  expect(outcome).toMatchObject({ ok: false, moved: 0 });
  expect(outcome.stuck).toContainEqual({ pfn: root, reason: "not-a-page" });
  expect(stack.pmm.freeFrames).toBe(before);
  sound();
});

test("a module is plugged in, filled, emptied and pulled out, while the program goes on", () => {
  const first = (512 * MIB) / PAGE;
  start({ pmm: { spareFrames: (128 * MIB) / PAGE, nodes: [1] } });
  const slots = new DimmSlots(stack.machine.map, stack.machine.memory);
  const handler = new ModuleHandler(stack);
  slots.handler = handler;
  const dimm = slots.insert("slot 0", 512 * MIB, 128 * MIB, 1);
  expect(stack.pmm.totalFrames).toBeGreaterThan((128 * MIB) / PAGE);
  const wish = { order: 0, node: 1, colour: -1, movable: 1 };
  for (let page = 0; page < PAGES; page++)
    expect(stack.vmm.migrator.vacate(frameOf(page), wish)).toBeGreaterThanOrEqual(first);
  sound();
  const transfer = stack.vmm.beginTransfer(space, at, PAGE, "to-device");
  if (typeof transfer === "string") throw new Error(transfer);
  expect(slots.remove(dimm)).toBe(false);
  expect(handler.stuck).toEqual([{ pfn: frameOf(0), reason: "pinned" }]);
  transfer.complete();
  sound();
  expect(slots.remove(dimm)).toBe(true);
  for (let page = 0; page < PAGES; page++) expect(frameOf(page)).toBeLessThan(first);
  sound();
});

test("a module that is pulled out without being asked costs the pages in it their content, and no more", () => {
  start({ pmm: { spareFrames: (128 * MIB) / PAGE, nodes: [1] } });
  const slots = new DimmSlots(stack.machine.map, stack.machine.memory);
  slots.handler = new ModuleHandler(stack);
  const dimm = slots.insert("slot 0", 512 * MIB, 128 * MIB, 1);
  stack.vmm.migrator.vacate(frameOf(3), { order: 0, node: 1, colour: -1, movable: 1 });
  slots.surpriseRemove(dimm);
  const cpu = stack.enter(space);
  expect(cpu.load32(at + 3 * PAGE)).toBe(-1);
  expect(stack.lastFault).toBe("bus");
  expect(cpu.load32(at + 4 * PAGE)).toBe(5);
  expect(audit(stack).problems).toEqual([]);
});

test("pages that are strewn over ranks are brought together, and the ranks that become empty sleep: less energy for the same trace", () => {
  const joules = (consolidate: boolean): number => {
    start({ rankBytes: 16 * MIB });
    const rankOf = (page: number): number => Math.floor((frameOf(page) * PAGE) / (16 * MIB));
    strew();
    const before = new Set(Array.from({ length: PAGES }, (_, page) => rankOf(page)));
    expect(before.size).toBe(3);
    const power = new RankPower(4, stack.machine.clock);
    let moved = 0;
    // The kernel's own frames stay where they are: the rank that has them is not emptied.
    if (consolidate) for (const { rank } of stack.pmm.ranks()) moved += emptyRank(stack, rank).moved;
    for (const { rank, isIdle } of stack.pmm.ranks()) if (isIdle) power.setState(rank, "self-refresh");
    const after = new Set(Array.from({ length: PAGES }, (_, page) => rankOf(page)));
    expect([after.size, moved > 0]).toEqual(consolidate ? [1, true] : [3, false]);
    // Every page in turn, 100 ns apart, ten times over.
    const cpu = stack.enter(space);
    for (let load = 0; load < PAGES * 10; load++) {
      cpu.load32(at + (load % PAGES) * PAGE);
      stack.machine.clock.spend(0, 100 + power.access(rankOf(load % PAGES)));
    }
    sound();
    return power.totalJoules();
  };
  const full = joules(false);
  expect(joules(true) / full).toBeLessThan(0.85);
});

/** Gives the program's pages new frames, a third of them in each of three ranks: others fill the rest of a rank in between, and leave. */
function strew(): void {
  space.advise(at, PAGES * PAGE, "dont-need");
  const cpu = stack.enter(space);
  const ballast: AddressSpace[] = [];
  for (let page = 0; page < PAGES; page++) {
    cpu.store32(at + page * PAGE, page + 1);
    if (page % 100 !== 99) continue;
    const other = stack.vmm.createSpace();
    if (other === null) throw new Error("no space");
    const from = Number(other.map({ bytes: 3900 * PAGE }));
    if (page < PAGES - 1) for (let at = 0; at < 3900; at++) other.fault(from + at * PAGE, WRITE + USER);
    ballast.push(other);
  }
  for (const other of ballast) other.destroy();
}

test("a balloon takes frames, pages make room for it, and both come back", () => {
  start({ residentLimit: 1000 });
  const balloon = new Balloon(stack.machine.memory);
  const driver = new BalloonDriver(stack, balloon);
  const free = stack.pmm.freeFrames;
  expect(driver.resize(free + 200)).toBe(free + 200);
  expect(stack.vmm.residentPages).toBeLessThanOrEqual(100);
  expect(audit(stack).problems).toEqual([]);
  expect(balloon.frames).toBe(free + 200);
  sound();
  expect(driver.resize(0)).toBe(0);
  sound();
  balloon.check();
  expect(stack.pmm.freeFrames).toBeGreaterThan(free - 300);
});
