import { expect, test } from "vitest";

import { PAGE_SIZE, PlainMemory, SpaceMemory, UNCACHED, Vmm, type AddressSpace, type Pfn } from "@pagewright/vmm";

import { LateSwap } from "./kit/late-swap.ts";
import { rigOf, spaceOf } from "./kit/rig.ts";

const MIB = 1048576;

test("a buffer for ISA DMA lies below 16 MiB within 64 KiB", () => {
  const { vmm, pmm, cpu } = rigOf();
  const outcome = vmm.allocateDmaBuffer({ bytes: 32768, below: 16 * MIB, boundary: 65536 });
  if (!outcome.ok) throw new Error(outcome.reason);
  const { buffer } = outcome;
  expect(buffer.address + buffer.size).toBeLessThanOrEqual(16 * MIB);
  expect(Math.floor(buffer.address / 65536)).toBe(Math.floor((buffer.address + 32767) / 65536));
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 32768, object: buffer }));
  space.activate(0);
  cpu.setCpl(3);
  expect(cpu.store32(at + 4096, 77)).toBe(true);
  space.unmap(at, 32768);
  buffer.close();
  vmm.check();
  const again = vmm.allocateDmaBuffer({ bytes: 32768, below: 16 * MIB, boundary: 65536 });
  expect(again.ok && again.buffer.address).toBe(buffer.address);
  pmm.check();
});

test("an uncached buffer cannot be mapped cached", () => {
  const { vmm } = rigOf();
  const outcome = vmm.allocateDmaBuffer({ bytes: 4096, cached: false });
  if (!outcome.ok) throw new Error(outcome.reason);
  const space = spaceOf(vmm);
  expect(space.map({ bytes: 4096, object: outcome.buffer })).toBe("type-conflict");
  expect(typeof space.map({ bytes: 4096, object: outcome.buffer, type: UNCACHED })).toBe("number");
});

test("pages move out of the way, keep their bytes in all their mappings, and pinned ones are named", () => {
  const memory = new PlainMemory(64);
  const vmm = new Vmm({ frames: memory, window: memory, zeroFrame: false });
  const space = spaceOf(vmm);
  const bytes = new SpaceMemory(space);
  const at = Number(space.map({ bytes: 20 * PAGE_SIZE }));
  for (let page = 0; page < 20; page++) bytes.store32(at + page * PAGE_SIZE, page + 1);
  const clone = space.clone();
  if (clone === null) throw new Error("no clone");
  const other = new SpaceMemory(clone);
  for (let page = 0; page < 20; page++) other.load32(at + page * PAGE_SIZE);
  const frames: Pfn[] = [];
  for (let page = 0; page < 20; page++) {
    space.tables.query(at / PAGE_SIZE + page);
    frames.push(space.tables.frame);
  }
  for (const pfn of frames) expect(typeof vmm.migrator.vacate(pfn)).toBe("number");
  vmm.check();
  for (let page = 0; page < 20; page++) {
    expect(bytes.load32(at + page * PAGE_SIZE)).toBe(page + 1);
    expect(other.load32(at + page * PAGE_SIZE)).toBe(page + 1);
  }
  expect(vmm.stats.migrations).toBe(20);
  const transfer = vmm.beginTransfer(space, at, 100, "to-device");
  if (typeof transfer === "string") throw new Error(transfer);
  space.tables.query(at / PAGE_SIZE);
  expect(vmm.migrator.vacate(space.tables.frame)).toBe("pinned");
  transfer.complete();
  expect(typeof vmm.migrator.vacate(space.tables.frame)).toBe("number");
  expect(vmm.migrator.vacate(63)).toBe("not-a-page");
  vmm.check();
});

test("a device fills a program's pages through its list, through stand-ins where it cannot reach them", () => {
  const memory = new PlainMemory(64);
  const vmm = new Vmm({ frames: memory, window: memory, special: memory });
  for (let low = 0; low < 8; low++) expect(memory.take()).toBe(low);
  const space = spaceOf(vmm);
  const bytes = new SpaceMemory(space);
  const at = Number(space.map({ bytes: 4 * PAGE_SIZE }));
  for (let page = 0; page < 4; page++) bytes.store32(at + page * PAGE_SIZE + 100, 42);
  for (let low = 0; low < 8; low++) memory.give(low);
  const transfer = vmm.beginTransfer(space, at + 200, 2 * PAGE_SIZE, "from-device", { below: 8 * PAGE_SIZE });
  if (typeof transfer === "string") throw new Error(transfer);
  expect(transfer.bounced).toBe(3);
  for (const { address, bytes: length } of transfer.segments) {
    expect(address + length).toBeLessThanOrEqual(8 * PAGE_SIZE);
    for (let done = 0; done < length;) {
      const offset = (address + done) % PAGE_SIZE;
      const part = Math.min(length - done, PAGE_SIZE - offset);
      memory.write(Math.floor((address + done) / PAGE_SIZE), offset, new Uint8Array(part).fill(0xee));
      done += part;
    }
  }
  transfer.complete();
  transfer.complete();
  expect(bytes.load32(at + 100)).toBe(42);
  expect(bytes.load8(at + 199)).toBe(0);
  expect(bytes.load8(at + 200)).toBe(0xee);
  expect(bytes.load8(at + 200 + 2 * PAGE_SIZE - 1)).toBe(0xee);
  expect(bytes.load8(at + 200 + 2 * PAGE_SIZE)).toBe(0);
  vmm.check();
});

test("no segment is longer than the device takes, and the list covers the buffer byte by byte", () => {
  const memory = new PlainMemory(64);
  const vmm = new Vmm({ frames: memory, window: memory });
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 8 * PAGE_SIZE }));
  for (const longest of [512, 1000, PAGE_SIZE, 3 * PAGE_SIZE]) {
    const transfer = vmm.beginTransfer(space, at + 100, 5 * PAGE_SIZE, "from-device", { longest });
    if (typeof transfer === "string") throw new Error(transfer);
    let address = at + 100;
    for (const segment of transfer.segments) {
      expect(segment.bytes).toBeLessThanOrEqual(longest);
      for (let byte = 0; byte < segment.bytes; byte++, address++) {
        space.tables.query(Math.floor(address / PAGE_SIZE));
        expect(segment.address + byte).toBe(space.tables.frame * PAGE_SIZE + (address & (PAGE_SIZE - 1)));
      }
    }
    expect(address).toBe(at + 100 + 5 * PAGE_SIZE);
    transfer.complete();
  }
  vmm.check();
});

test("a program that unmaps a buffer in a transfer gives the frames back only when the device is done", () => {
  const memory = new PlainMemory(16);
  const vmm = new Vmm({ frames: memory, window: memory });
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: PAGE_SIZE }));
  const transfer = vmm.beginTransfer(space, at, PAGE_SIZE, "from-device");
  if (typeof transfer === "string") throw new Error(transfer);
  const free = memory.freeFrames;
  space.unmap(at, PAGE_SIZE);
  vmm.check();
  expect(memory.freeFrames).toBe(free);
  transfer.complete();
  expect(memory.freeFrames).toBe(free + 1);
  vmm.check();
});

/** What the device of these tests reaches: more than the zone below 16 MiB that is kept for devices. */
const REACH = 24 * MIB;

/** A space on a machine of 32 MiB, and which of its pages hold their number. */
interface Full extends ReturnType<typeof rigOf> {
  readonly space: AddressSpace;
  readonly at: number;
  readonly pages: readonly number[];
}

/** The frame of a page. */
function frameOf({ space, at }: Full, page: number): Pfn {
  space.tables.query(at / PAGE_SIZE + page);
  return space.tables.frame;
}

/** Memory in which every frame is in use but 64 that the device does not reach: what is kept for devices is theirs, all else is a program's. */
function full(): Full {
  const rig = rigOf({}, 32);
  const { vmm, pmm, cpu } = rig;
  const space = spaceOf(vmm);
  space.activate(0);
  cpu.setCpl(3);
  const count = pmm.freeFrames - 40; // For tables.
  const at = Number(space.map({ bytes: count * PAGE_SIZE }));
  for (let page = 0; page < count; page++) expect(cpu.store32(at + page * PAGE_SIZE, page + 1)).toBe(true);
  for (let bytes = 8 * MIB; bytes >= PAGE_SIZE;) if (!vmm.allocateDmaBuffer({ bytes, below: 16 * MIB }).ok) bytes /= 2;
  while (pmm.take() >= 0) continue;
  const of = { ...rig, space, at, pages: [] };
  const pages = Array.from({ length: count }, (_, page) => page);
  const far = pages.filter((page) => frameOf(of, page) * PAGE_SIZE >= REACH).slice(0, 64);
  for (const page of far) space.unmap(at + page * PAGE_SIZE, PAGE_SIZE);
  expect([far.length, pmm.freeFrames]).toEqual([64, 64]);
  return { ...of, pages: pages.filter((page) => !far.includes(page)) };
}

/** Pages whose frame the device reaches. */
function within(of: Full): number[] {
  return of.pages.filter((page) => frameOf(of, page) * PAGE_SIZE < REACH);
}

function expectContents({ cpu, at, pages }: Full): void {
  for (const page of pages) if (cpu.load32(at + page * PAGE_SIZE) !== page + 1) expect(page).toBe("as it was");
}

const WISH = { bytes: 65536, alignment: 65536, below: REACH, boundary: 65536 };

test("where all memory that a device reaches is in use, pages move out of its way, and programs see nothing of it", () => {
  const of = full();
  const { vmm, pmm } = of;
  expect(within(of).length).toBeGreaterThan(1000);
  const outcome = vmm.allocateDmaBuffer(WISH);
  if (!outcome.ok) throw new Error(outcome.reason);
  expect([outcome.moved, vmm.stats.migrations, pmm.freeFrames]).toEqual([16, 16, 48]);
  const { buffer } = outcome;
  expect([buffer.address & 65535, buffer.address + buffer.size <= REACH]).toEqual([0, true]);
  for (const page of of.pages) {
    const frame = frameOf(of, page);
    if (frame >= buffer.start && frame < buffer.start + buffer.frames) expect(page).toBe("out of the way");
  }
  expectContents(of);
  vmm.check();
  buffer.close();
  pmm.check();
});

test("pages that a transfer has pinned do not move: the buffer is refused, they are named, and everything is as before", () => {
  const of = full();
  const { vmm, pmm, space, at } = of;
  const near = within(of);
  const transfers = near.map((page) => vmm.beginTransfer(space, at + page * PAGE_SIZE, PAGE_SIZE, "to-device"));
  const frames = near.map((page) => frameOf(of, page));
  const pinned = new Set(frames);
  const refused = vmm.allocateDmaBuffer(WISH);
  if (refused.ok) throw new Error("granted");
  expect(refused.stuck.length).toBeGreaterThan(0);
  for (const { pfn, reason } of refused.stuck) expect([pinned.has(pfn), reason]).toEqual([true, "pinned"]);
  expect([pmm.freeFrames, near.map((page) => frameOf(of, page))]).toEqual([64, frames]);
  expectContents(of);
  for (const transfer of transfers) if (typeof transfer !== "string") transfer.complete();
  expect(vmm.allocateDmaBuffer(WISH)).toMatchObject({ ok: true, moved: 16 });
  expectContents(of);
  vmm.check();
});

test("shared memory is not sealed against stores while a device may store to it, though nobody maps it any more", () => {
  const { vmm } = rigOf();
  const object = vmm.createAnonymous(4 * PAGE_SIZE, true);
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 4 * PAGE_SIZE, object, shared: true }));
  const transfer = vmm.beginTransfer(space, at + PAGE_SIZE, PAGE_SIZE, "from-device");
  if (typeof transfer === "string") throw new Error(transfer);
  space.unmap(at, 4 * PAGE_SIZE);
  expect([object.addSeals(["write"]), object.isWritable]).toEqual(["busy", true]);
  transfer.complete();
  expect([object.addSeals(["write"]), object.isWritable]).toEqual(["ok", false]);
  vmm.check();
});

test("a page that was leaving when a device took it is copied for a clone at once", async () => {
  const memory = new PlainMemory(64);
  const swap = new LateSwap(64);
  const vmm = new Vmm({ frames: memory, window: memory, swap: [swap], readAhead: 0 });
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: PAGE_SIZE }));
  new SpaceMemory(space).store32(at, 1);
  swap.held = true;
  vmm.reclaim(1); // The page waits in its frame for the store's answer.
  const transfer = vmm.beginTransfer(space, at, PAGE_SIZE, "from-device");
  if (typeof transfer === "string") throw new Error(transfer);
  const clone = space.clone();
  if (clone === null) throw new Error("no clone");
  memory.write((transfer.segments[0]?.address ?? -1) / PAGE_SIZE, 0, Uint8Array.of(2, 0, 0, 0)); // The device stores.
  transfer.complete();
  expect([new SpaceMemory(space).load32(at), new SpaceMemory(clone).load32(at)]).toEqual([2, 1]);
  swap.open();
  await vmm.settled();
  expect([new SpaceMemory(space).load32(at), new SpaceMemory(clone).load32(at)]).toEqual([2, 1]);
  vmm.check();
});
