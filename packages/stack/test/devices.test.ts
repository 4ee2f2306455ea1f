/** Devices on a whole stack: memory types from MTRRs and PAT, buffers, and real transfers. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { withInputs } from "@pagewright/tooling/inputs";
import {
  AddressClaims,
  BusMaster,
  Framebuffer,
  IoPorts,
  IsaDma,
  MtrrRegisters,
  physicalMapFromJson,
} from "@pagewright/machine";
import {
  SpaceMemory,
  UNCACHED,
  UNCACHED_MINUS,
  WRITE_BACK,
  WRITE_COMBINING,
  WRITE_THROUGH,
  type AddressSpace,
  type MemoryType,
} from "@pagewright/vmm";
import { describe, expect, test } from "vitest";

import { audit, createStack, firmwareMtrrs, IsaChannel, openIsaChannel, receiveInto, sendFrom } from "../src/index.ts";
import type { Stack } from "../src/index.ts";

const MIB = 2 ** 20;
const PAGE = 4096;

function stackOf(mtrrs?: MtrrRegisters): Stack {
  const map = physicalMapFromJson({
    entries: [
      { base: 0, length: 0x9f000, type: 1 },
      { base: MIB, length: 63 * MIB, type: 1 },
    ],
  });
  return createStack({ map, ...(mtrrs === undefined ? {} : { mtrrs }) });
}

function spaceOf({ vmm }: Stack): AddressSpace {
  const space = vmm.createSpace();
  if (space === null) throw new Error("no space");
  return space;
}

function bytesOf(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (at * seed + seed) & 255);
}

/** A screen in the physical address space. */
function screenOn(stack: Stack): { screen: Framebuffer; start: number; frames: number } {
  const screen = new Framebuffer(64, 32);
  const claim = new AddressClaims(stack.machine.map).allocate(
    { size: screen.size, alignment: PAGE, below: 2 ** 32 },
    { owner: "screen", device: screen },
  );
  return { screen, start: claim.start / PAGE, frames: screen.size / PAGE };
}

describe("mapping a device yields the type that MTRRs and PAT come to", () => {
  const types: [wanted: MemoryType, effective: MemoryType, name: string][] = [
    [WRITE_BACK, UNCACHED, "UC"],
    [WRITE_THROUGH, UNCACHED, "UC"],
    [WRITE_COMBINING, WRITE_COMBINING, "WC"],
    [UNCACHED_MINUS, UNCACHED, "UC"],
    [UNCACHED, UNCACHED, "UC"],
  ];
  test.each(types)("type %i over uncached registers is %i, %s", (wanted, effective, name) => {
    const stack = stackOf();
    const { start, frames } = screenOn(stack);
    const space = spaceOf(stack);
    const object = stack.vmm.openDevice(start, frames);
    const at = Number(space.map({ bytes: frames * PAGE, object, type: wanted }));
    const cpu = stack.enter(space);
    expect(cpu.store32(at, 1)).toBe(true);
    expect(cpu.memoryTypeOf(at)).toBe(name);
    expect(space.memoryType(at)).toBe(effective);
    expect(audit(stack).problems).toEqual([]);
  });

  test("ordinary memory is cached", () => {
    const stack = stackOf();
    const space = spaceOf(stack);
    const at = Number(space.map({ bytes: PAGE }));
    expect(space.memoryType(at)).toBe(null);
    const cpu = stack.enter(space);
    cpu.store32(at, 1);
    expect([space.memoryType(at), cpu.memoryTypeOf(at)]).toEqual([WRITE_BACK, "WB"]);
    space.setMemoryType(at, PAGE, UNCACHED);
    expect(cpu.load32(at)).toBe(1);
    expect([space.memoryType(at), cpu.memoryTypeOf(at)]).toEqual([UNCACHED, "UC"]);
  });

  const ordinary: [registers: "WB" | "WT" | "UC", wanted: MemoryType, effective: MemoryType, name: string][] = [
    ["WB", WRITE_BACK, WRITE_BACK, "WB"],
    ["WB", WRITE_THROUGH, WRITE_THROUGH, "WT"],
    ["WB", WRITE_COMBINING, WRITE_COMBINING, "WC"],
    ["WB", UNCACHED_MINUS, UNCACHED, "UC"],
    ["WB", UNCACHED, UNCACHED, "UC"],
    ["WT", WRITE_BACK, WRITE_THROUGH, "WT"],
    ["WT", WRITE_THROUGH, WRITE_THROUGH, "WT"],
    ["WT", WRITE_COMBINING, WRITE_COMBINING, "WC"],
    ["WT", UNCACHED, UNCACHED, "UC"],
    ["UC", WRITE_BACK, UNCACHED, "UC"],
    ["UC", WRITE_THROUGH, UNCACHED, "UC"],
    ["UC", WRITE_COMBINING, WRITE_COMBINING, "WC"],
    ["UC", UNCACHED, UNCACHED, "UC"],
  ];
  test.each(ordinary)(
    "memory that the registers say is %s, changed to %i, is %i, %s",
    (registers, wanted, effective, name) => {
      const mtrrs = new MtrrRegisters();
      mtrrs.setRanges([{ base: 0, length: 64 * MIB, type: registers }]);
      const stack = stackOf(mtrrs);
      const [one, two] = [spaceOf(stack), spaceOf(stack)];
      const own = Number(one.map({ bytes: 2 * PAGE }));
      const object = stack.vmm.createAnonymous(PAGE);
      const shared = Number(one.map({ bytes: PAGE, object, shared: true }));
      const alias = Number(two.map({ bytes: PAGE, object, shared: true }));
      const cpu = stack.enter(one);
      for (const at of [own, own + PAGE, shared]) expect(cpu.store32(at, 5)).toBe(true);
      expect([one.setMemoryType(own, PAGE, wanted), one.setMemoryType(shared, PAGE, wanted)]).toEqual(["ok", "ok"]);
      for (const at of [own, shared]) {
        expect(cpu.load32(at)).toBe(5);
        expect([one.memoryType(at), cpu.memoryTypeOf(at)]).toEqual([effective, name]);
      }
      expect(cpu.memoryTypeOf(own + PAGE)).toBe(registers); // Its neighbour is what it was.
      expect(stack.enter(two).load32(alias)).toBe(5);
      expect(stack.enter(two).memoryTypeOf(alias)).toBe(name); // And so is every alias.
      expect(audit(stack).problems).toEqual([]);
    },
  );

  test("a second mapping with another type is refused, of the same frames only", () => {
    const stack = stackOf();
    const { start, frames } = screenOn(stack);
    const [one, two] = [spaceOf(stack), spaceOf(stack)];
    const object = stack.vmm.openDevice(start, frames);
    const again = stack.vmm.openDevice(start + 1, 1);
    expect(typeof one.map({ bytes: PAGE, object, type: WRITE_COMBINING })).toBe("number");
    expect(two.map({ bytes: PAGE, object, type: UNCACHED })).toBe("type-conflict");
    expect(typeof two.map({ bytes: PAGE, object, offset: PAGE, type: UNCACHED })).toBe("number");
    expect(two.map({ bytes: PAGE, object: again, type: WRITE_COMBINING })).toBe("type-conflict");
    expect(typeof two.map({ bytes: PAGE, object: again, type: UNCACHED })).toBe("number");
    stack.vmm.check();
  });

  test("a range with two types in the registers, or none, is refused", () => {
    const mtrrs = new MtrrRegisters();
    mtrrs.setRanges([
      { base: 0, length: 64 * MIB, type: "WB" },
      { base: 2 ** 31, length: PAGE, type: "WT" },
      { base: 2 ** 31 + 4 * PAGE, length: PAGE, type: "WC" },
      { base: 2 ** 31 + 4 * PAGE, length: PAGE, type: "WB" },
    ]);
    const stack = stackOf(mtrrs);
    const space = spaceOf(stack);
    const object = stack.vmm.openDevice(2 ** 19, 5);
    expect(space.map({ bytes: 2 * PAGE, object })).toBe("type-conflict");
    expect(space.map({ bytes: PAGE, offset: 4 * PAGE, object })).toBe("type-conflict");
    expect(typeof space.map({ bytes: 2 * PAGE, object, type: UNCACHED })).toBe("number");
    expect(typeof space.map({ bytes: PAGE, offset: 2 * PAGE, object })).toBe("number");
  });

  test("a window onto a page's frame must have the page's type", () => {
    const stack = stackOf();
    const space = spaceOf(stack);
    const at = Number(space.map({ bytes: PAGE }));
    stack.enter(space).store32(at, 1);
    space.tables.query(at / PAGE);
    const object = stack.vmm.openDevice(space.tables.frame, 1);
    expect(space.map({ bytes: PAGE, object, type: UNCACHED })).toBe("type-conflict");
    space.setMemoryType(at, PAGE, UNCACHED);
    stack.enter(space).load32(at);
    expect(typeof space.map({ bytes: PAGE, object, type: UNCACHED })).toBe("number");
  });
});

test("a framebuffer is mapped write-combined and drawn to in bursts of a line", () => {
  const stack = stackOf();
  const { screen, start, frames } = screenOn(stack);
  const space = spaceOf(stack);
  const object = stack.vmm.openDevice(start, frames);
  const at = Number(space.map({ bytes: frames * PAGE, object, type: WRITE_COMBINING }));
  const cpu = stack.enter(space);
  for (let pixel = 0; pixel < 64 * 32; pixel++) cpu.store32(at + pixel * 4, pixel);
  cpu.fence();
  expect(screen.stats()).toMatchObject({ bursts: (64 * 32) / 16, singleWrites: 0 });
  expect(screen.pixels[1234]).toBe(1234);
});

describe("the registers that firmware leaves", () => {
  test("make memory write-back and all else uncached", () => {
    const { mtrrs } = stackOf().machine.cpus[0] ?? { mtrrs: new MtrrRegisters() };
    const types = [0, 0x9e000, 0xa0000, 0xf0000, MIB, 64 * MIB - 1, 64 * MIB, 2 ** 32 + 1].map((at) =>
      mtrrs.typeAt(at),
    );
    expect(types).toEqual(["WB", "WB", "UC", "UC", "WB", "WB", "UC", "UC"]);
  });

  withInputs("maps of real machines", (dir) => {
    for (const file of readdirSync(join(dir, "maps")).filter((name) => name.endsWith(".json")))
      test(`${file}: all memory can be cached`, () => {
        const map = physicalMapFromJson(JSON.parse(readFileSync(join(dir, "maps", file), "utf8")));
        const registers = firmwareMtrrs(map);
        registers.check();
        for (const { start, end } of map.frameRanges())
          for (const { type } of registers.typesIn(Math.max(start * PAGE, MIB), Math.max(end * PAGE, MIB)))
            expect(type).toBe("WB");
      });
  });
});

describe("devices transfer into programs' memory:", () => {
  const disk = bytesOf(40_000, 13);

  test("a bus master that reaches everything, without stand-ins, both ways", () => {
    const stack = stackOf();
    const space = spaceOf(stack);
    const at = Number(space.map({ bytes: 64 * 1024 }));
    const device = new BusMaster(stack.machine.memory, 32);
    expect(receiveInto(stack, device, space, at + 100, disk)).toMatchObject({ bytes: 40_000, bounced: 0 });
    const found = new Uint8Array(40_000);
    new SpaceMemory(space).copyOut(at + 100, found);
    expect(found).toEqual(disk);
    expect(sendFrom(stack, device, space, at + 100, found.fill(0))).toMatchObject({ bytes: 40_000, bounced: 0 });
    expect(found).toEqual(disk);
    expect(audit(stack).problems).toEqual([]);
  });

  test("one with few address lines, through stand-ins that are nobody else's before and after", () => {
    const stack = stackOf();
    const space = spaceOf(stack);
    const at = Number(space.map({ bytes: 64 * 1024 }));
    const device = new BusMaster(stack.machine.memory, 24);
    const transfer = receiveInto(stack, device, space, at + 100, disk);
    expect(transfer).toMatchObject({ bytes: 40_000 });
    expect(typeof transfer === "string" ? 0 : transfer.bounced).toBeGreaterThan(0);
    const found = new Uint8Array(40_000);
    sendFrom(stack, device, space, at + 100, found);
    expect(found).toEqual(disk);
    expect(audit(stack).problems).toEqual([]);
    const running = stack.vmm.beginTransfer(space, at, 8 * PAGE, "from-device", { below: 2 ** 24 });
    if (typeof running === "string") throw new Error(running);
    expect(running.bounced).toBe(8);
    expect(audit(stack).problems).toEqual([]);
    running.cancel();
    new SpaceMemory(space).copyOut(at + 100, found.fill(0));
    expect(found).toEqual(disk);
    expect(audit(stack).problems).toEqual([]);
  });

  test("a floppy behind the ISA controller, below 16 MiB and within 64 KiB", () => {
    const stack = stackOf();
    const space = spaceOf(stack);
    const at = Number(space.map({ bytes: 64 * 1024 }));
    const ports = new IoPorts();
    const controller = new IsaDma(stack.machine.memory, ports);
    const channel = openIsaChannel(stack, { ports, controller }, 2, 18 * 512);
    if (!(channel instanceof IsaChannel)) throw new Error(channel.reason);
    const { buffer } = channel;
    expect(buffer.address + buffer.size).toBeLessThanOrEqual(16 * MIB);
    const track = bytesOf(18 * 512, 7);
    expect(channel.receiveInto(space, at + 8, track)).toBe(track.length);
    const found = new Uint8Array(track.length);
    expect(channel.sendFrom(space, at + 8, found)).toBe(track.length);
    expect(found).toEqual(track);
    expect(controller.wraps).toBe(0);
    expect(() => channel.receiveInto(space, at, new Uint8Array(2 ** 16))).toThrow("buffer");
    expect(audit(stack).problems).toEqual([]);
    channel.close();
    expect(audit(stack).problems).toEqual([]);
  });

  test("memory that the program may not store to is refused, and nothing is pinned", () => {
    const stack = stackOf();
    const space = spaceOf(stack);
    const device = new BusMaster(stack.machine.memory, 24);
    const at = Number(space.map({ bytes: 2 * PAGE }));
    space.protect(at + PAGE, PAGE, 1);
    expect(receiveInto(stack, device, space, at, disk.subarray(0, 2 * PAGE))).toBe("rights");
    expect(audit(stack).problems).toEqual([]);
    space.destroy();
    expect(audit(stack).problems).toEqual([]);
  });
});
