/** A user's pager: pages that it gives at once, later or not at all, stores that it is asked about, and pages that it poisons. */
import { beforeEach, expect, test } from "vitest";

import {
  MemorySwap,
  PAGE_SIZE,
  PlainMemory,
  SpaceMemory,
  Vmm,
  type AddressSpace,
  type Pager,
  type PagerObject,
} from "@pagewright/vmm";

import { spaceOf } from "./kit/rig.ts";

const P = PAGE_SIZE;
const PAGES = 8;

let vmm: Vmm;
let space: AddressSpace;
let object: PagerObject;
let at: number;
let bytes: SpaceMemory;
/** Pages asked for, and stores asked about with their address. */
let requests: number[];
let stores: [index: number, address: number][];
let allows: "allow" | "deny";

beforeEach(() => {
  const memory = new PlainMemory(64);
  vmm = new Vmm({ frames: memory, window: memory, swap: [new MemorySwap(64)] });
  space = spaceOf(vmm);
  bytes = new SpaceMemory(space);
  [requests, stores, allows] = [[], [], "allow"];
  object = vmm.createPaged(PAGES * P, {
    request: (index, into) => {
      requests.push(index);
      into.fill(index + 1);
      return "filled";
    },
    writeFault: (index, address) => {
      stores.push([index, address]);
      return allows;
    },
  });
  at = Number(space.map({ bytes: PAGES * P, object, shared: true, writeNotify: true }));
});

test("a page is asked for once, by whoever comes first", () => {
  const other = spaceOf(vmm);
  const there = Number(other.map({ bytes: PAGES * P, object, shared: true }));
  expect([bytes.load8(at + 3 * P), bytes.load8(at + 3 * P), new SpaceMemory(other).load8(there + 3 * P)]).toEqual([
    4, 4, 4,
  ]);
  expect(requests).toEqual([3]);
});

test("a store to a protected page is asked about once, with its address: `allow` lifts the protection of that page alone", () => {
  for (let page = 0; page < 4; page++) bytes.store8(at + page * P, 50 + page);
  expect(stores).toEqual([]);
  object.protectPages(0, 4);
  for (let page = 0; page < 4; page++) expect(bytes.load8(at + page * P)).toBe(50 + page); // Loads are nobody's business.
  expect(stores).toEqual([]);
  for (const value of [1, 2, 3]) expect(bytes.store8(at + P, value)).toBe(true);
  expect(stores).toEqual([[1, at + P]]);
  expect(bytes.store8(at + 2 * P + 9, 4)).toBe(true);
  expect(stores).toEqual([
    [1, at + P],
    [2, at + 2 * P],
  ]);
  object.protectPages(0, 4); // Anew, for all of them.
  expect(bytes.store8(at + P, 5)).toBe(true);
  expect(stores.length).toBe(3);
  vmm.check();
});

test("what was allowed stays allowed while the page is away", () => {
  bytes.store8(at, 1);
  object.protectPages(0, 1);
  expect(bytes.store8(at, 2)).toBe(true);
  expect(vmm.reclaim(4)).toBe(1);
  expect([bytes.store8(at, 3), bytes.load8(at)]).toEqual([true, 3]);
  expect(stores.length).toBe(1);
  object.protectPages(0, 1);
  vmm.reclaim(4);
  expect(bytes.store8(at, 4)).toBe(true);
  expect(stores.length).toBe(2); // And what is protected stays protected.
});

test("`deny` is a bus error each time, and changes nothing", () => {
  bytes.store8(at, 1);
  object.protectPages(0, 1);
  allows = "deny";
  for (let times = 0; times < 2; times++) {
    expect(bytes.store8(at, 2)).toBe(false);
    expect(bytes.fault).toBe("bus");
  }
  expect([stores.length, bytes.load8(at)]).toEqual([2, 1]);
  object.unprotectPages(0, 1);
  expect(bytes.store8(at, 3)).toBe(true);
  expect(stores.length).toBe(2);
});

test("a poisoned page is a bus error for whoever has it mapped, and for good", () => {
  bytes.store8(at + P, 9);
  const other = spaceOf(vmm);
  const there = Number(other.map({ bytes: PAGES * P, object, shared: true }));
  expect(new SpaceMemory(other).load8(there + P)).toBe(9);
  object.poison(1);
  for (const [memory, address] of [
    [bytes, at + P],
    [new SpaceMemory(other), there + P],
  ] as const) {
    expect(memory.load8(address)).toBe(-1);
    expect(memory.fault).toBe("bus");
  }
  expect(object.provide(1, new Uint8Array(P))).toBe("poisoned");
  expect(bytes.load8(at)).toBe(1);
  vmm.check();
});

test("a pager that answers later is waited for, asked once however many wait, and may give a page up", async () => {
  const answers: ((answer: "filled" | "poison") => void)[] = [];
  const late = vmm.createPaged(2 * P, {
    request: (index, into) => {
      into.fill(index + 70);
      return new Promise((resolve) => answers.push(resolve));
    },
  });
  const place = Number(space.map({ bytes: 2 * P, object: late, shared: true }));
  const other = spaceOf(vmm);
  const there = Number(other.map({ bytes: 2 * P, object: late, shared: true }));
  for (let times = 0; times < 2; times++) {
    expect([bytes.load8(place), bytes.fault]).toEqual([-1, "pending"]);
    expect(new SpaceMemory(other).load8(there)).toBe(-1);
  }
  expect([answers.length, late.waiting]).toEqual([1, 1]);
  answers[0]?.("filled");
  await space.pending;
  expect([bytes.load8(place), new SpaceMemory(other).load8(there)]).toEqual([70, 70]);
  bytes.load8(place + P);
  answers[1]?.("poison");
  await space.pending;
  expect([bytes.load8(place + P), bytes.fault]).toEqual([-1, "bus"]);
  expect([bytes.load8(place + P), bytes.fault]).toEqual([-1, "pending"]); // Asked again.
  answers[2]?.("filled");
  await space.pending;
  expect(bytes.load8(place + P)).toBe(71);
  vmm.check();
});

test.each([
  ["unmaps the region that it serves", (): void => void space.unmap(at, PAGES * P), "unmapped"],
  ["maps anonymous memory in place of it", remapped, 0],
  ["provides the page itself, and its neighbour", provided, 4],
  ["poisons the page", poisoned, "bus"],
])("a pager that, when it is asked, %s", (_, work, expected) => {
  object.close();
  space.unmap(at, PAGES * P);
  let isAsked = false;
  object = vmm.createPaged(PAGES * P, {
    request: (index, into) => {
      into.fill(index + 1);
      if (!isAsked) {
        isAsked = true;
        work();
      }
      return "filled";
    },
  });
  space.map({ address: at, placement: "fixed", bytes: PAGES * P, object, shared: true });
  const loaded = bytes.load8(at + 3 * P);
  expect(loaded < 0 ? bytes.fault : loaded).toBe(expected);
  vmm.check();
  space.unmap(at, PAGES * P);
  object.close();
  expect(vmm.residentPages).toBe(0);
  vmm.check();
});

function remapped(): void {
  expect(space.map({ address: at, placement: "fixed", bytes: PAGES * P })).toBe(at);
}

function poisoned(): void {
  object.poison(3);
}

function provided(): void {
  for (const index of [3, 4]) expect(object.provide(index, new Uint8Array(P).fill(index + 1))).toBe("ok");
}

test("a pager that unmaps the region when it is asked about a store: the store finds no region, and no page is left", () => {
  const pager: Pager = {
    request: () => "filled",
    writeFault: () => {
      space.unmap(at, PAGES * P);
      return "allow";
    },
  };
  space.unmap(at, PAGES * P);
  object = vmm.createPaged(PAGES * P, pager);
  space.map({ address: at, placement: "fixed", bytes: PAGES * P, object, shared: true, writeNotify: true });
  bytes.load8(at);
  object.protectPages(0, PAGES);
  expect([bytes.store8(at, 1), bytes.fault]).toEqual([false, "unmapped"]);
  vmm.check();
  object.close();
  expect(vmm.residentPages).toBe(0);
  vmm.check();
});
