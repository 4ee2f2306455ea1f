/** Places for memory that comes from elsewhere: searched as `map` does, with the pages that regions keep, and not before all processors have forgotten what was there. */
import { describe, expect, test } from "vitest";

import type { Cpu } from "@pagewright/machine";
import {
  PAGE_SIZE,
  PlainMemory,
  SpaceMemory,
  TRANSFER_UNIT,
  Vmm,
  type AddressSpace,
  type MapRequest,
} from "@pagewright/vmm";

import { rigOf, spaceOf, type Rig } from "./kit/rig.ts";

const P = PAGE_SIZE;
const U = TRANSFER_UNIT;

interface Way {
  readonly name: string;
  /** Maps 2 MiB in `from` so that it is found again in `into`; its address there. */
  readonly move: (from: AddressSpace, into: AddressSpace, request: Partial<MapRequest>) => number;
}

const WAYS: readonly Way[] = [
  {
    name: "transfer",
    move: (from, into, request) =>
      Number(from.transfer(Number(from.map({ ...request, bytes: U, alignment: U })), U, into)),
  },
  {
    name: "share",
    move: (from, into, request) => {
      const object = from.vmm.createAnonymous(U);
      const at = Number(from.map({ ...request, bytes: U, alignment: U, object, shared: true }));
      return Number(from.share(at, U, into));
    },
  },
  {
    name: "remap",
    move: (_from, into, request) => {
      const at = Number(into.map({ ...request, bytes: U / 2, address: 2 ** 40 }));
      into.map({ bytes: P, address: at + U / 2, placement: "fixed" });
      return Number(into.remap({ address: at, bytes: U / 2, newBytes: U - P, mayMove: true }));
    },
  },
];

/** Two processors in one space that are left to forget at their own pace. */
function twoProcessors(): { rig: Rig; space: AddressSpace; one: Cpu; two: Cpu } {
  const rig = rigOf({ lazyShootdown: true }, 64, 2);
  const [one, two] = rig.cpus;
  if (one === undefined || two === undefined) throw new Error("no processors");
  const space = spaceOf(rig.vmm);
  for (const cpu of rig.cpus) {
    space.activate(cpu.id);
    cpu.setCpl(3);
  }
  return { rig, space, one, two };
}

describe.each(WAYS)("$name", ({ move }) => {
  /** Where it goes when the highest gap of its size lies between a region made like `upper` and another one. */
  function placeBelow(upper: Partial<MapRequest>, moved: Partial<MapRequest>): "in the gap" | "elsewhere" {
    const memory = new PlainMemory(64);
    const vmm = new Vmm({ frames: memory, window: memory });
    const [from, into] = [spaceOf(vmm), spaceOf(vmm)];
    const top = Math.floor(into.high / 512) * U - 2 * U;
    expect(into.map({ ...upper, bytes: U, address: top, placement: "fixed" })).toBe(top);
    expect(into.map({ bytes: U, address: top - 2 * U, placement: "fixed" })).toBe(top - 2 * U);
    expect(into.map({ bytes: into.high * P - top - U, address: top + U, placement: "fixed" })).toBe(top + U);
    const at = move(from, into, moved);
    expect(at).toBeGreaterThan(0);
    vmm.check();
    return at >= top - U && at < top ? "in the gap" : "elsewhere";
  }

  test("leaves the guard pages and the stack gap of others free, and has room for its own", () => {
    expect(placeBelow({}, {})).toBe("in the gap");
    expect(placeBelow({ guardPages: 2 }, {})).toBe("elsewhere");
    expect(placeBelow({ growsDown: true }, {})).toBe("elsewhere");
    expect(placeBelow({}, { guardPages: 2 })).toBe("elsewhere");
  });
});

test("a range that moves waits for processors that may still know what was there", () => {
  const { rig, space, one, two } = twoProcessors();
  const at = Number(space.map({ bytes: 8 * P }));
  for (let page = 0; page < 8; page++) one.store32(at + page * P, page + 1);
  rig.current = 1;
  for (let page = 0; page < 8; page++) two.load32(at + page * P);
  rig.current = 0;
  expect(space.unmap(at, 2 * P)).toBe("ok");
  expect(rig.vmm.core.quarantine?.held).toBe(2);
  expect(space.remap({ address: at + 7 * P, bytes: P, newBytes: 2 * P, mayMove: true, target: at })).toBe(at);
  rig.current = 1;
  expect([two.load32(at), two.load32(at + P)]).toEqual([8, 0]);
  rig.vmm.check();
});

test("regions that grow wait for processors that may still know what was there", () => {
  const { rig, space, one, two } = twoProcessors();
  const { vmm } = rig;
  const at = Number(space.map({ bytes: 4 * P, address: 2 ** 30, growsDown: true }));
  for (let page = 0; page < 4; page++) one.store32(at + page * P, 7);
  rig.current = 1;
  for (let page = 0; page < 4; page++) two.load32(at + page * P);
  rig.current = 0;
  expect([space.unmap(at, P), space.unmap(at + 3 * P, P)]).toEqual(["ok", "ok"]);
  expect(vmm.core.quarantine?.held).toBe(2);
  expect(space.remap({ address: at + P, bytes: 2 * P, newBytes: 3 * P })).toBe(at + P);
  expect(one.store32(at, 9)).toBe(true); // Grows down.
  rig.current = 1;
  expect([two.load32(at), two.load32(at + 3 * P)]).toEqual([9, 0]);
  expect(new SpaceMemory(space).load32(at + P)).toBe(7);
  vmm.check();
});
