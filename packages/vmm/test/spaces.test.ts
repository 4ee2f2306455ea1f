import { describe, expect, test } from "vitest";

import {
  EXECUTE,
  MemoryBacking,
  MemorySwap,
  PAGE_SIZE,
  PlainMemory,
  READ,
  STACK_GAP,
  SeededRandom,
  SpaceMemory,
  UNCACHED,
  USER,
  Vmm,
  WRITE,
  WRITE_BACK,
  WRITE_COMBINING,
  typeOf,
  type AddressSpace,
  type MemoryTypes,
  type VmmOptions,
} from "@pagewright/vmm";

import { rigOf, spaceOf } from "./kit/rig.ts";

function small(
  options: Partial<VmmOptions> = {},
  frames = 128,
): { vmm: Vmm; space: AddressSpace; bytes: SpaceMemory; memory: PlainMemory } {
  const memory = new PlainMemory(frames);
  const vmm = new Vmm({ frames: memory, window: memory, ...options });
  const space = spaceOf(vmm);
  return { vmm, space, bytes: new SpaceMemory(space), memory };
}

test("makeUsable fills only what is missing, and makeUnusable frees it all", () => {
  const { vmm, space, bytes, memory } = small({ zeroFrame: false });
  const at = 1000 * PAGE_SIZE;
  expect(space.makeUsable(at, 8 * PAGE_SIZE, READ + WRITE)).toBe("ok");
  expect(vmm.residentPages).toBe(8);
  bytes.store32(at, 5);
  const faults = vmm.stats.minorFaults;
  expect(space.makeUsable(at, 8 * PAGE_SIZE, READ + WRITE)).toBe("ok");
  expect(vmm.stats.minorFaults).toBe(faults);
  expect(space.makeUsable(at - 4 * PAGE_SIZE, 16 * PAGE_SIZE, READ + WRITE)).toBe("ok");
  expect(vmm.stats.minorFaults).toBe(faults + 8);
  expect(bytes.load32(at)).toBe(5);
  expect(space.regions.count).toBe(1);
  expect(space.makeUnusable(at - 4 * PAGE_SIZE, 16 * PAGE_SIZE)).toBe("ok");
  expect(space.makeUnusable(at - 4 * PAGE_SIZE, 16 * PAGE_SIZE)).toBe("ok");
  expect(memory.freeFrames).toBe(128);
  vmm.check();
});

test("a stack grows down onto its guard gap and no further", () => {
  const { vmm, space, bytes } = small();
  const below = 2000;
  const top = below + STACK_GAP + 40;
  space.map({ address: (below - 1) * PAGE_SIZE, bytes: PAGE_SIZE, placement: "fixed" });
  space.map({ address: (top - 4) * PAGE_SIZE, bytes: 4 * PAGE_SIZE, placement: "fixed", growsDown: true });
  expect(bytes.store32((top - 5) * PAGE_SIZE, 1)).toBe(true);
  expect(bytes.store32((below + STACK_GAP) * PAGE_SIZE, 2)).toBe(true);
  expect(bytes.store32((below + STACK_GAP - 1) * PAGE_SIZE, 3)).toBe(false);
  expect(bytes.fault).toBe("unmapped");
  vmm.check();
});

describe("write and execute on one page", () => {
  const both = READ + WRITE + EXECUTE;

  test("are refused by map, protect and makeUsable where the policy is enforced, and nothing changes", () => {
    const { vmm, space, bytes } = small({ writeExecute: "enforce" });
    expect(space.map({ bytes: PAGE_SIZE, rights: both })).toBe("write-execute");
    expect(space.map({ bytes: PAGE_SIZE, rights: WRITE + EXECUTE })).toBe("write-execute");
    const at = Number(space.map({ bytes: 4 * PAGE_SIZE, rights: READ + WRITE }));
    bytes.store32(at, 7);
    expect(space.protect(at, 4 * PAGE_SIZE, both)).toBe("write-execute");
    expect(space.makeUsable(at - 2 * PAGE_SIZE, 2 * PAGE_SIZE, both)).toBe("write-execute");
    expect(space.makeUsable(at - 2 * PAGE_SIZE, 4 * PAGE_SIZE, both)).toBe("write-execute");
    const found = space.regions.within(space.low, space.high).map(({ start, pages, rights }) => [start, pages, rights]);
    expect(found).toEqual([[at / PAGE_SIZE, 4, READ + WRITE + USER]]);
    expect([bytes.store32(at, 8), space.fault(at, EXECUTE + USER)]).toEqual([true, "no-execute"]);
    expect(vmm.writeExecuteWarnings).toBe(0);
    vmm.check();
  });

  test("may follow each other: what was written is executed once it can be written no more", () => {
    const { space, bytes } = small({ writeExecute: "enforce" });
    const at = Number(space.map({ bytes: PAGE_SIZE, rights: READ + WRITE }));
    bytes.store32(at, 0xc3);
    expect(space.protect(at, PAGE_SIZE, READ + EXECUTE)).toBe("ok");
    expect(["minor", "spurious"]).toContain(space.fault(at, EXECUTE + USER));
    expect([space.fault(at, WRITE + USER), bytes.load32(at)]).toEqual(["no-write", 0xc3]);
  });

  test("are counted by map, protect and makeUsable where the policy is to warn, and allowed", () => {
    const { vmm, space } = small({ writeExecute: "warn" });
    const at = Number(space.map({ bytes: PAGE_SIZE, rights: both }));
    expect(vmm.writeExecuteWarnings).toBe(1);
    expect(space.protect(at, PAGE_SIZE, READ)).toBe("ok");
    expect(space.protect(at, PAGE_SIZE, both)).toBe("ok");
    expect(vmm.writeExecuteWarnings).toBe(2);
    expect(space.makeUsable(at - PAGE_SIZE, PAGE_SIZE, both)).toBe("ok");
    expect(vmm.writeExecuteWarnings).toBe(3);
    expect(space.fault(at, EXECUTE + USER)).toBe("zero");
  });

  test("are nobody's business where the policy is off", () => {
    const { vmm, space } = small();
    expect(typeof space.map({ bytes: PAGE_SIZE, rights: both })).toBe("number");
    expect(vmm.writeExecuteWarnings).toBe(0);
  });
});

test("strict commit accounting promises no more than there is, and takes promises back", () => {
  const { vmm, space } = small({ commit: "strict", commitLimit: 100 });
  const at = Number(space.map({ bytes: 60 * PAGE_SIZE }));
  expect(space.map({ bytes: 41 * PAGE_SIZE })).toBe("commit-limit");
  expect(typeof space.map({ bytes: 1000 * PAGE_SIZE, accounted: false })).toBe("number");
  expect(typeof space.map({ bytes: 1000 * PAGE_SIZE, rights: READ })).toBe("number");
  expect(space.clone()).toBe(null);
  expect(space.unmap(at, 30 * PAGE_SIZE)).toBe("ok");
  expect(vmm.commit.charged).toBe(30);
  const clone = space.clone();
  expect(vmm.commit.charged).toBe(60);
  clone?.destroy();
  expect(vmm.commit.charged).toBe(30);
  vmm.check();
});

test("random placement depends on the seed alone and stays in bounds", () => {
  const places = (seed: number): number[] => {
    const { space } = small({ random: new SeededRandom(seed) });
    return Array.from({ length: 20 }, () => Number(space.map({ bytes: 3 * PAGE_SIZE, search: "random" })));
  };
  expect(places(1)).toEqual(places(1));
  expect(places(1)).not.toEqual(places(2));
  expect(new Set(places(3)).size).toBe(20);
});

test("guard pages stay free on both sides of a region", () => {
  const { space, bytes } = small();
  const one = Number(space.map({ bytes: PAGE_SIZE, guardPages: 2 }));
  const two = Number(space.map({ bytes: PAGE_SIZE, guardPages: 2 }));
  expect(Math.abs(one - two)).toBeGreaterThanOrEqual(3 * PAGE_SIZE);
  expect(bytes.load8(one - 1)).toBe(-1);
  expect(bytes.load8(one + PAGE_SIZE)).toBe(-1);
});

test("guard pages are kept from plain regions, and only fixed ones take them", () => {
  const { vmm, space } = small();
  const at = Number(space.map({ bytes: PAGE_SIZE, guardPages: 2 }));
  const plain = Array.from({ length: 3 }, () => Number(space.map({ bytes: PAGE_SIZE })));
  for (const address of [at - PAGE_SIZE, at + PAGE_SIZE, at + 2 * PAGE_SIZE]) {
    plain.push(Number(space.map({ address, bytes: PAGE_SIZE })));
    expect(space.map({ address, bytes: PAGE_SIZE, placement: "fixed-new" })).toBe("exists");
  }
  for (const other of plain) expect(Math.abs(other - at)).toBeGreaterThanOrEqual(3 * PAGE_SIZE);
  const beyond = at - 16 * PAGE_SIZE;
  expect(space.map({ address: beyond, bytes: PAGE_SIZE, placement: "fixed" })).toBe(beyond);
  expect(space.remap({ address: beyond, bytes: PAGE_SIZE, newBytes: 15 * PAGE_SIZE })).toBe("no-space");
  const next = at + PAGE_SIZE;
  expect(space.map({ address: next, bytes: PAGE_SIZE, placement: "fixed" })).toBe(next);
  vmm.check();
});

test("random placement chooses among the gaps that have room for guard pages", () => {
  const places = (seed: number): number[] => {
    const { space } = small({ random: new SeededRandom(seed) });
    const wish = { bytes: 3 * PAGE_SIZE, search: "random", guardPages: 2 } as const;
    return Array.from({ length: 20 }, () => Number(space.map(wish)));
  };
  expect(places(1)).toEqual(places(1));
  expect(places(1)).not.toEqual(places(2));
});

test("gap searches leave the gap below a stack free, fixed places do not", () => {
  const { vmm, space, bytes } = small();
  const stack = Number(space.map({ bytes: PAGE_SIZE, growsDown: true }));
  const plain = Number(space.map({ bytes: PAGE_SIZE }));
  const near = Number(space.map({ address: stack - 4 * PAGE_SIZE, bytes: PAGE_SIZE }));
  for (const at of [plain, near]) expect(stack - at > STACK_GAP * PAGE_SIZE || at > stack).toBe(true);
  expect(bytes.store8(stack - 1, 7)).toBe(false); // A neighbour at the end of the gap stops the stack, and is not stored to.
  space.unmap(plain, PAGE_SIZE);
  space.unmap(near, PAGE_SIZE);
  expect(bytes.store8(stack - 1, 7)).toBe(true);
  const below = stack - 5 * PAGE_SIZE;
  expect(space.map({ address: below, bytes: PAGE_SIZE, placement: "fixed-new" })).toBe(below);
  vmm.check();
});

test("limits refuse cleanly", () => {
  const { vmm, space } = small();
  space.limits.pages = 10;
  space.limits.lockedPages = 3;
  space.limits.regions = 2;
  const at = Number(space.map({ bytes: 6 * PAGE_SIZE }));
  expect(space.map({ bytes: 5 * PAGE_SIZE })).toBe("size-limit");
  expect(space.lock(at, 4 * PAGE_SIZE)).toBe("lock-limit");
  expect(space.lockedPages).toBe(0);
  expect(space.protect(at + PAGE_SIZE, PAGE_SIZE, READ)).toBe("region-limit");
  expect(space.regions.count).toBe(1);
  vmm.check();
});

test("device frames are mapped with one memory type at a time", () => {
  const { vmm, space } = small();
  const screen = vmm.openDevice(0xf0000, 16);
  const registers = vmm.openDevice(0xf0008, 2);
  const at = Number(space.map({ bytes: 16 * PAGE_SIZE, object: screen, type: WRITE_COMBINING }));
  expect(space.map({ bytes: PAGE_SIZE, object: registers, type: UNCACHED })).toBe("type-conflict");
  expect(space.fault(at, WRITE)).toBe("minor");
  space.tables.query(at / PAGE_SIZE);
  expect(space.tables.frame).toBe(0xf0000);
  space.unmap(at, 16 * PAGE_SIZE);
  expect(typeof space.map({ bytes: PAGE_SIZE, object: registers, type: UNCACHED })).toBe("number");
  vmm.check();
});

test("a processor whose translation is older than a wider right faults once, spuriously", () => {
  const { vmm, cpu, cpus, control } = rigOf({}, 64, 2);
  const space = spaceOf(vmm);
  for (const each of cpus) {
    space.activate(each.id);
    each.setCpl(3);
  }
  const at = Number(space.map({ bytes: PAGE_SIZE }));
  cpu.store32(at, 1);
  space.protect(at, PAGE_SIZE, READ);
  expect(cpu.load32(at)).toBe(1);
  const { interrupts } = control.stats;
  space.protect(at, PAGE_SIZE, READ + WRITE);
  expect(control.stats.interrupts).toBe(interrupts); // Wider rights interrupt nobody.
  expect(cpu.store32(at, 2)).toBe(true);
  expect(cpu.load32(at)).toBe(2);
});

test("a failed write keeps the page dirty and is told once to each caller of sync", () => {
  class Failing extends MemoryBacking {
    broken = true;
    override write(offset: number, from: Uint8Array): "ok" | "failed" {
      if (this.broken) return "failed";
      super.write(offset, from);
      return "ok";
    }
  }
  const { vmm, space, bytes } = small();
  const other = spaceOf(vmm);
  const backing = new Failing(2 * PAGE_SIZE);
  const object = vmm.openFile(backing);
  const at = Number(space.map({ bytes: 2 * PAGE_SIZE, object, shared: true }));
  const there = Number(other.map({ bytes: 2 * PAGE_SIZE, object, shared: true }));
  bytes.store8(at, 9);
  expect(space.sync(at, PAGE_SIZE)).toBe("failed");
  backing.broken = false;
  expect(other.sync(there, PAGE_SIZE)).toBe("failed");
  expect(other.sync(there, PAGE_SIZE)).toBe("ok");
  expect(space.sync(at, PAGE_SIZE)).toBe("ok");
  expect(backing.bytes[0]).toBe(9);
  vmm.check();
});

test("a page whose copy in swap is damaged is a bus error, and nothing else is lost", () => {
  const swap = new MemorySwap(100);
  let damaged = -1;
  const read = swap.read.bind(swap);
  swap.read = (slot, into) => {
    const outcome = read(slot, into);
    if (slot === damaged) into[100] = (into[100] ?? 0) + 1;
    return outcome;
  };
  const { vmm, space, bytes } = small({ swap: [swap], residentLimit: 8 });
  const at = Number(space.map({ bytes: 16 * PAGE_SIZE }));
  for (let page = 0; page < 16; page++) bytes.store32(at + page * PAGE_SIZE, page + 1);
  damaged = 0;
  let lost = 0;
  for (let page = 0; page < 16; page++) {
    const got = bytes.load32(at + page * PAGE_SIZE);
    if (got === -1) lost++;
    else expect(got).toBe(page + 1);
  }
  expect(lost).toBe(1);
  expect(vmm.stats.ioErrors).toBeGreaterThan(0); // It may be asked for more than once, read ahead included.
  vmm.check();
});

test("ordinary memory changes its type with all its aliases, caches flushed before", () => {
  const flushed: number[] = [];
  const { vmm, space, bytes } = small({
    zeroFrame: false,
    memoryTypes: { effective: (_start, _frames, wanted) => wanted, flushCaches: (start) => flushed.push(start) },
  });
  const at = Number(space.map({ bytes: 4 * PAGE_SIZE }));
  bytes.store32(at, 11);
  const clone = space.clone();
  if (clone === null) throw new Error("no clone");
  expect(space.setMemoryType(at, 2 * PAGE_SIZE, UNCACHED)).toBe("ok");
  expect(bytes.load32(at)).toBe(11);
  space.tables.query(at / PAGE_SIZE);
  expect(flushed).toContain(space.tables.frame);
  expect(new SpaceMemory(clone).load32(at)).toBe(11);
  expect(space.regions.count).toBe(2);
  const object = vmm.createAnonymous(PAGE_SIZE);
  const one = Number(space.map({ bytes: PAGE_SIZE, object, shared: true }));
  const two = Number(clone.map({ bytes: PAGE_SIZE, object, shared: true }));
  bytes.store32(one, 5);
  expect(space.setMemoryType(one, PAGE_SIZE, WRITE_COMBINING)).toBe("ok");
  expect(clone.regions.find(two / PAGE_SIZE)?.type).toBe(WRITE_COMBINING);
  expect(new SpaceMemory(clone).load32(two)).toBe(5);
  expect(space.setMemoryType(at, 2 * PAGE_SIZE, 0)).toBe("ok");
  expect(space.regions.find(at / PAGE_SIZE)?.pages).toBe(4);
  vmm.check();
});

test("untouched memory of another type is not the shared frame of zeroes, and keeps its type through changes of rights", () => {
  const memoryTypes: MemoryTypes = { effective: (_start, _frames, wanted) => wanted, flushCaches: () => undefined };
  for (const { vmm, space } of [small({ memoryTypes }), onProcessor({ memoryTypes })]) {
    const at = Number(space.map({ bytes: 2 * PAGE_SIZE }));
    expect(space.setMemoryType(at, PAGE_SIZE, WRITE_COMBINING)).toBe("ok");
    for (const page of [at, at + PAGE_SIZE]) expect(space.fault(page, READ + USER)).toBe("zero");
    const frameAt = (address: number): number => (space.tables.query(address / PAGE_SIZE), space.tables.frame);
    expect(frameAt(at)).not.toBe(vmm.faults.zeroFramePfn);
    expect(frameAt(at + PAGE_SIZE)).toBe(vmm.faults.zeroFramePfn);
    for (const rights of [READ, READ + EXECUTE]) {
      expect(space.protect(at, 2 * PAGE_SIZE, rights)).toBe("ok");
      expect([at, at + PAGE_SIZE].map((page) => typeOf(space.tables.query(page / PAGE_SIZE)))).toEqual([
        WRITE_COMBINING,
        WRITE_BACK,
      ]);
    }
    vmm.check();
  }
});

/** A space on a processor's tables. */
function onProcessor(options: Partial<VmmOptions>): { vmm: Vmm; space: AddressSpace } {
  const { vmm } = rigOf(options);
  return { vmm, space: spaceOf(vmm) };
}
