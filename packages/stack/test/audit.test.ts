import { physicalMapFromJson } from "@pagewright/machine";
import { EXECUTE, FlushPlan, MemorySwap, READ, TRANSFER_UNIT, UNCACHED, USER, withType, WRITE } from "@pagewright/vmm";
import type { AddressSpace } from "@pagewright/vmm";
import { beforeEach, describe, expect, test } from "vitest";
import { audit, createStack, isStackError } from "../src/index.ts";
import type { Stack } from "../src/index.ts";

const PAGE = 4096;
const LIMIT = 16;
const PAGES = 64;

let stack: Stack;
let space: AddressSpace;
let base: number;

/** A stack on which two processors have touched 64 pages in 16 frames. */
beforeEach(() => {
  const map = physicalMapFromJson({ entries: [{ base: 0, length: 48 * 2 ** 20, type: 1 }] });
  stack = createStack({ map, cpus: 2, residentLimit: LIMIT, swap: [new MemorySwap(256)] });
  const made = stack.vmm.createSpace();
  const mapped = made?.map({ bytes: PAGES * PAGE, rights: READ | WRITE });
  if (made === null || typeof mapped !== "number") throw new Error("no memory");
  space = made;
  base = mapped;
  for (let page = 0; page < PAGES; page++) stack.enter(space, page & 1).store32(base + page * PAGE, page);
});

/** Changes translations as a layer would that forgets everything else. */
function behindTheBack(change: (plan: FlushPlan) => unknown): void {
  change(new FlushPlan(stack.vmm.core));
}

/** A page of the space that is in a frame now, and its frame. */
function residentPage(): { vpn: number; pfn: number } {
  for (let vpn = base / PAGE; ; vpn++) if (space.tables.query(vpn) !== 0) return { vpn, pfn: space.tables.frame };
}

function problems(): string {
  return audit(stack).problems.join("\n");
}

describe("the auditor finds nothing wrong", () => {
  test("with a stack under pressure, and says how much it looked at", () => {
    const report = audit(stack);
    expect(report).toMatchObject({ ok: true, problems: [] });
    expect(report.checked).toBeGreaterThan(LIMIT * 4);
  });

  test("after clones, protections, unmappings and the end of a space", () => {
    const clone = space.clone();
    if (clone === null) throw new Error("no memory");
    expect(stack.enter(clone, 1).load32(base + 5 * PAGE)).toBe(5);
    expect(stack.enter(clone, 1).store32(base + 5 * PAGE, 500)).toBe(true);
    expect(stack.enter(space, 0).load32(base + 5 * PAGE)).toBe(5);
    expect(problems()).toBe("");
    space.protect(base, 8 * PAGE, READ);
    space.unmap(base + 8 * PAGE, 8 * PAGE);
    expect(problems()).toBe("");
    clone.destroy();
    expect(problems()).toBe("");
  });

  test("with tables that three spaces have in common, while they are and when one lets go", () => {
    const bytes = 2 * TRANSFER_UNIT;
    const object = stack.vmm.createAnonymous(bytes);
    const spaces = [0, 1].map(() => stack.vmm.createSpace());
    const [two, three] = spaces;
    const at = space.map({ bytes, alignment: TRANSFER_UNIT, object, shared: true });
    if (!two || !three || typeof at !== "number") throw new Error("no memory");
    expect([space.share(at, bytes, two, at), two.share(at, bytes, three, at)]).toEqual([at, at]);
    for (let page = 0; page < 1024; page += 100) stack.enter(two, 1).store32(at + page * PAGE, page);
    expect(stack.enter(three, 0).load32(at + 900 * PAGE)).toBe(900);
    expect(problems()).toBe("");
    two.protect(at, PAGE, READ);
    expect(problems()).toBe("");
    expect(stack.enter(two, 1).load32(at + 900 * PAGE)).toBe(900);
    three.destroy();
    space.destroy();
    expect(problems()).toBe("");
    expect(stack.tables.shares.size).toBe(0);
  });

  test("with tables that are reached through a recursive slot, and names one that leads elsewhere", () => {
    const map = physicalMapFromJson({ entries: [{ base: 0, length: 48 * 2 ** 20, type: 1 }] });
    stack = createStack({ map, cpus: 2, residentLimit: LIMIT, swap: [new MemorySwap(256)], recursiveSlot: 509 });
    const [one, two] = [stack.vmm.createSpace(), stack.vmm.createSpace()];
    const at = one?.map({ bytes: PAGES * PAGE });
    if (one === null || two === null || typeof at !== "number") throw new Error("no memory");
    for (let page = 0; page < PAGES; page++) stack.enter(one, page & 1).store32(at + page * PAGE, page);
    const there = one.clone();
    expect(there && stack.enter(there, 1).store32(at, 9)).toBe(true);
    one.unmap(at, 20 * PAGE);
    expect(stack.tables.recursive?.reached).toBeGreaterThan(PAGES);
    expect(problems()).toBe("");
    const { memory } = stack.machine;
    memory.words(two.tables.root)[memory.base(two.tables.root) + 509 * 2] = one.tables.root * 4096 + 3;
    expect(problems()).toContain("not true that a recursive slot leads to its own root: space 2");
  });

  test("with kernel memory, a shared file and a stock of zeroed frames", () => {
    const { kernel } = stack.vmm;
    const address = kernel?.map({ bytes: 4 * PAGE });
    if (typeof address !== "number") throw new Error("no kernel memory");
    const [cpu] = stack.machine.cpus;
    cpu?.setCpl(0);
    expect(cpu?.store32(address, 7)).toBe(true);
    stack.vmm.idle(8);
    expect(problems()).toBe("");
  });
});

describe("the auditor knows the places of frames that are no pages:", () => {
  test("device buffers, until they are given back", () => {
    const outcome = stack.vmm.allocateDmaBuffer({ bytes: 3 * PAGE, below: 16 * 2 ** 20, boundary: 65536 });
    if (!outcome.ok) throw new Error(outcome.reason);
    expect(stack.ledger.isOut(outcome.buffer.start)).toBe(true);
    expect(problems()).toBe("");
    const { start } = outcome.buffer;
    outcome.buffer.close();
    expect(stack.ledger.isOut(start)).toBe(false);
    expect(problems()).toBe("");
  });

  test("the compressed pool's", () => {
    const map = physicalMapFromJson({ entries: [{ base: 0, length: 48 * 2 ** 20, type: 1 }] });
    stack = createStack({ map, residentLimit: LIMIT, swap: [new MemorySwap(256)], compressed: { limitFrames: 6 } });
    const packed = stack.vmm.createSpace();
    const address = packed?.map({ bytes: PAGES * PAGE });
    if (packed === null || typeof address !== "number") throw new Error("no memory");
    const cpu = stack.enter(packed);
    for (let page = 0; page < PAGES; page++)
      for (let at = 0; at < 64; at++) cpu.store32(address + page * PAGE + at * 64, page + at);
    expect(stack.poolFrames.held.size).toBeGreaterThan(0);
    expect(stack.vmm.residentPages + stack.poolFrames.held.size).toBeLessThanOrEqual(LIMIT + 1);
    expect(problems()).toBe("");
    packed.destroy();
    expect(stack.poolFrames.held.size).toBe(0);
    expect(problems()).toBe("");
  });

  test("those in quarantine, which tables must not reach", () => {
    const map = physicalMapFromJson({ entries: [{ base: 0, length: 48 * 2 ** 20, type: 1 }] });
    stack = createStack({ map, cpus: 2, lazyShootdown: true });
    const lazy = stack.vmm.createSpace();
    const address = lazy?.map({ bytes: 8 * PAGE });
    if (lazy === null || typeof address !== "number") throw new Error("no memory");
    for (let page = 0; page < 8; page++) stack.enter(lazy, page & 1).store32(address + page * PAGE, page);
    lazy.unmap(address + 2 * PAGE, 4 * PAGE);
    const [pfn] = stack.vmm.core.quarantine?.frames() ?? [];
    expect(pfn).toBeGreaterThan(0);
    expect(problems()).toBe("");
    space = lazy;
    behindTheBack((plan) => lazy.tables.map(address / PAGE, pfn ?? 0, READ | USER, plan));
    expect(problems()).toContain("not true that no table reaches a quarantined frame");
  });
});

describe("the auditor finds", () => {
  test("a table that reaches a free frame", () => {
    behindTheBack((plan) => space.tables.map(base / PAGE + PAGES, 9000, READ | USER, plan));
    expect(problems()).toContain("not true that no table reaches a free frame: page");
    expect(problems()).toContain("not true that every translation lies in a region");
  });

  test("a TLB that reaches a frame that was given back", () => {
    const { vpn, pfn } = residentPage();
    stack.enter(space, 0).load32(vpn * PAGE);
    stack.ledger.given(pfn, 1);
    expect(problems()).toContain(`not true that no TLB reaches a free frame: processor 0, page 0x${vpn.toString(16)}`);
  });

  test("a frame that was taken and is nowhere", () => {
    const pfn = stack.vmm.core.frames.take();
    expect(problems()).toContain(`not true that no frame is lost: frame 0x${pfn.toString(16)}`);
  });

  test("a frame that was given back while in use", () => {
    stack.pmm.give(residentPage().pfn);
    expect(problems()).toContain("not true that frames in use are counted");
  });

  test("a frame with two owners", () => {
    const { pages } = stack.vmm.core;
    const [one, other] = [...pages.pfn.keys()].filter((page) => pages.isResident(page));
    pages.pfn[other ?? 0] = pages.pfn[one ?? 0] ?? -1;
    expect(problems()).toContain("not true that every frame is in one place only");
  });

  test("a table with fewer references than counted", () => {
    stack.tables.shares.add(space.tables.root);
    expect(problems()).toContain("not true that shared tables are counted");
  });

  test("a mapping that nobody counted", () => {
    const { pfn } = residentPage();
    expect(space.tables.query(base / PAGE)).toBe(0);
    behindTheBack((plan) => space.tables.map(base / PAGE, pfn, READ | USER, plan));
    expect(problems()).toContain("not true that every mapping is counted");
  });

  test("a frame mapped with two memory types", () => {
    const { pfn } = residentPage();
    behindTheBack((plan) => space.tables.map(base / PAGE + PAGES, pfn, withType(READ | USER, UNCACHED), plan));
    expect(problems()).toContain("not true that all mappings of a frame have one memory type");
  });

  test("another owner's bytes", () => {
    const { pfn } = residentPage();
    stack.ledger.given(pfn, 1);
    stack.ledger.taken(pfn, 1);
    expect(problems()).toContain("not true that no frame shows another owner's bytes: space 1");
  });

  test("a page that is writable and executable though its region is not", () => {
    const { vpn } = residentPage();
    behindTheBack((plan) => space.tables.protect(vpn, vpn + 1, READ | WRITE | EXECUTE | USER, plan));
    expect(problems()).toContain("not true that W and X meet only where asked for");
  });

  test("physical memory mapped into the kernel half", () => {
    const { kernel } = stack.vmm;
    if (kernel === null) throw new Error("no kernel");
    behindTheBack((plan) => kernel.tables.map(kernel.low + 5, residentPage().pfn, READ | WRITE, plan));
    expect(problems()).toContain("not true that the kernel half maps its regions and its windows alone");
  });

  test("a space whose kernel half is another one", () => {
    const { memory } = stack.machine;
    const root = memory.base(space.tables.root);
    memory.words(space.tables.root)[root + 300 * 2] = 0x1003;
    expect(problems()).toContain("not true that all spaces have the kernel half in common: space 1, entry 300");
  });

  test("a broken invariant of a layer, in the layer's own words", () => {
    space.mappedPages++;
    expect(problems()).toContain(
      "not true that the invariants of the memory manager hold: The count of mapped pages is wrong",
    );
  });
});

test("a processor that is not there is a caller's bug", () => {
  let thrown: unknown;
  try {
    stack.enter(space, 2);
  } catch (error) {
    thrown = error;
  }
  expect(isStackError(thrown) && thrown.code).toBe("no-such-processor");
});
