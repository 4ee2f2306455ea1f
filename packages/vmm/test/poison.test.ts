/** A frame whose bytes are lost: every access of its page is a bus error from then on, wherever it is mapped, and of no other page. */
import { expect, test } from "vitest";

import { FaultyRam } from "@pagewright/machine";
import {
  EXECUTE,
  MemoryBacking,
  PAGE_SIZE,
  READ,
  SpaceMemory,
  USER,
  WRITE,
  type AddressSpace,
  type VirtAddr,
} from "@pagewright/vmm";

import { rigOf, spaceOf, type Rig } from "./kit/rig.ts";

const PAGES = 6;
/** The page that is lost, of 6. */
const BAD = 3;

function frameAt(space: AddressSpace, address: VirtAddr): number {
  expect(space.tables.query(address / PAGE_SIZE)).not.toBe(0);
  return space.tables.frame;
}

/** Every kind of access of every page: bytes as they were stored, and on the bad page a bus error that leaves no byte. */
function demandOnePageLost(space: AddressSpace, at: VirtAddr): void {
  const bytes = new SpaceMemory(space);
  for (let page = 0; page < PAGES; page++) {
    const isBad = page === BAD;
    const address = at + page * PAGE_SIZE;
    expect(bytes.load32(address + 40)).toBe(isBad ? -1 : page + 100);
    expect(bytes.store32(address + 40, page + 100)).toBe(!isBad);
    if (isBad) expect([bytes.fault, space.fault(address, READ + USER)]).toEqual(["bus", "bus"]);
  }
  const into = new Uint8Array(PAGES * PAGE_SIZE).fill(0xee);
  expect(bytes.copyOut(at, into)).toBe(BAD * PAGE_SIZE);
  expect(into.subarray(BAD * PAGE_SIZE).every((byte) => byte === 0xee)).toBe(true);
  expect(bytes.load32(at + BAD * PAGE_SIZE - 2)).toBe(-1);
  const residency = new Uint8Array(PAGES);
  expect(space.residency(at, PAGES * PAGE_SIZE, residency)).toBe("ok");
  expect(residency[BAD]).toBe(0);
}

function fill(space: AddressSpace, at: VirtAddr): void {
  for (let page = 0; page < PAGES; page++) new SpaceMemory(space).store32(at + page * PAGE_SIZE + 40, page + 100);
}

/** A processor's load finds two wrong bits in a page, and what the machine reports is settled. */
function loseFrame({ machine, vmm, cpu }: Rig, space: AddressSpace, address: VirtAddr): void {
  const ram = new FaultyRam(machine.memory, { ecc: true });
  const pfn = frameAt(space, address);
  ram.stick(pfn * PAGE_SIZE + 8, 1, 1);
  ram.stick(pfn * PAGE_SIZE + 8, 2, 1);
  const reported: number[] = [];
  ram.handler = { machineCheck: ({ address: word }) => void reported.push(Math.floor(word / PAGE_SIZE)) };
  space.activate(0);
  cpu.setCpl(3);
  cpu.load32(address + 8);
  expect(reported).toEqual([pfn]);
  expect(vmm.migrator.discard(pfn)).toBe("lost");
  cpu.load32(address + 8);
  cpu.store32(address + 8, 1);
  expect(reported).toEqual([pfn]);
}

test("private memory: parent, clone and later clones get a bus error on that page, and nobody reads the frame again", () => {
  const rig = rigOf();
  const { vmm, cpu } = rig;
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: PAGES * PAGE_SIZE }));
  fill(space, at);
  const clone = space.clone();
  if (clone === null) throw new Error("no clone");
  for (let page = 0; page < PAGES; page++) new SpaceMemory(clone).load32(at + page * PAGE_SIZE);
  loseFrame(rig, space, at + BAD * PAGE_SIZE);
  expect(cpu.load32(at + BAD * PAGE_SIZE)).toBe(-1);
  demandOnePageLost(space, at);
  demandOnePageLost(clone, at);
  const late = space.clone();
  if (late === null) throw new Error("no clone");
  demandOnePageLost(late, at);
  const moved = Number(
    late.remap({
      address: at,
      bytes: PAGES * PAGE_SIZE,
      newBytes: PAGES * PAGE_SIZE,
      mayMove: true,
      target: at - 64 * PAGE_SIZE,
    }),
  );
  demandOnePageLost(late, moved);
  expect(late.protect(moved, PAGES * PAGE_SIZE, READ + EXECUTE)).toBe("ok");
  expect(late.fault(moved + BAD * PAGE_SIZE, EXECUTE + USER)).toBe("bus");
  expect(space.lock(at, PAGES * PAGE_SIZE)).toBe("bus");
  expect(space.lockedPages).toBe(0);
  vmm.check();
});

test("what drops the page ends the bus errors: the range reads as zero then, in this space alone", () => {
  const rig = rigOf();
  const { vmm } = rig;
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: PAGES * PAGE_SIZE }));
  fill(space, at);
  const clone = space.clone();
  if (clone === null) throw new Error("no clone");
  loseFrame(rig, space, at + BAD * PAGE_SIZE);
  expect(space.advise(at + BAD * PAGE_SIZE, PAGE_SIZE, "dont-need")).toBe("ok");
  expect(new SpaceMemory(space).load32(at + BAD * PAGE_SIZE + 40)).toBe(0);
  demandOnePageLost(clone, at);
  vmm.check();
});

test("a shared object: all spaces that map the page, by any offset, until its page is punched out", () => {
  const rig = rigOf();
  const { vmm } = rig;
  const [one, two] = [spaceOf(vmm), spaceOf(vmm)];
  const object = vmm.createAnonymous((PAGES + 1) * PAGE_SIZE);
  const at = Number(one.map({ bytes: PAGES * PAGE_SIZE, object, offset: PAGE_SIZE, shared: true }));
  const there = Number(two.map({ bytes: (PAGES + 1) * PAGE_SIZE, object, shared: true }));
  fill(one, at);
  for (let page = 0; page < PAGES; page++) new SpaceMemory(two).load32(there + (page + 1) * PAGE_SIZE);
  loseFrame(rig, one, at + BAD * PAGE_SIZE);
  demandOnePageLost(one, at);
  demandOnePageLost(two, there + PAGE_SIZE);
  expect(one.advise(at + BAD * PAGE_SIZE, PAGE_SIZE, "remove")).toBe("ok");
  expect(new SpaceMemory(two).load32(there + (BAD + 1) * PAGE_SIZE + 40)).toBe(0);
  vmm.check();
});

test("a file: a clean page is read again, a dirty one is lost and reported by sync once, and a private copy is its owner's loss", () => {
  const rig = rigOf();
  const { vmm } = rig;
  const backing = new MemoryBacking(PAGES * PAGE_SIZE);
  const file = vmm.openFile(backing);
  const [one, two] = [spaceOf(vmm), spaceOf(vmm)];
  const at = Number(one.map({ bytes: PAGES * PAGE_SIZE, object: file, shared: true }));
  const copy = Number(two.map({ bytes: PAGES * PAGE_SIZE, object: file }));
  fill(one, at);
  expect(one.sync(at, PAGES * PAGE_SIZE)).toBe("ok");
  fill(two, copy);
  loseFrame(rig, two, copy + BAD * PAGE_SIZE);
  demandOnePageLost(two, copy);
  for (let page = 0; page < PAGES; page++)
    expect(new SpaceMemory(one).load32(at + page * PAGE_SIZE + 40)).toBe(page + 100);
  expect(one.sync(at, PAGES * PAGE_SIZE)).toBe("ok");
  expect(vmm.migrator.discard(frameAt(one, at))).toBe("recovered");
  expect(new SpaceMemory(one).load32(at + 40)).toBe(100);
  new SpaceMemory(one).store32(at + BAD * PAGE_SIZE + 40, BAD + 100);
  loseFrame(rig, one, at + BAD * PAGE_SIZE);
  demandOnePageLost(one, at);
  expect([one.sync(at, PAGES * PAGE_SIZE), one.sync(at, PAGES * PAGE_SIZE)]).toEqual(["failed", "ok"]);
  vmm.check();
});

test("one page of a 2M page: the 511 others stay, and the leaf is gone", () => {
  const rig = rigOf();
  const { vmm } = rig;
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 512 * PAGE_SIZE, pageSize: 2097152 }));
  for (let page = 0; page < 512; page++) expect(space.fault(at + page * PAGE_SIZE, WRITE + USER)).not.toBe("bus");
  fill(space, at);
  loseFrame(rig, space, at + BAD * PAGE_SIZE);
  demandOnePageLost(space, at);
  for (let page = PAGES; page < 512; page++) expect(new SpaceMemory(space).load32(at + page * PAGE_SIZE)).toBe(0);
  vmm.check();
});
