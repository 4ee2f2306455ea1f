/** What no correct program asks for: a throw that names the mistake, and nothing has changed. */
import { beforeEach, expect, test } from "vitest";

import {
  EXECUTE,
  MemoryBacking,
  PAGE_SIZE,
  PlainMemory,
  READ,
  SpaceMemory,
  TRANSFER_UNIT,
  Vmm,
  WRITE,
  type AddressSpace,
  type AsyncBackingStore,
  type MapRequest,
  type VmmErrorCode,
} from "@pagewright/vmm";

import { spaceOf } from "./kit/rig.ts";

const P = PAGE_SIZE;
let vmm: Vmm;
let space: AddressSpace;

beforeEach(() => {
  const memory = new PlainMemory(64);
  vmm = new Vmm({ frames: memory, window: memory });
  space = spaceOf(vmm);
});

function refusedWith(code: VmmErrorCode, call: () => unknown): void {
  const before = [space.regions.count, space.mappedPages];
  expect(call).toThrow(expect.objectContaining({ code }) as Error);
  expect([space.regions.count, space.mappedPages]).toEqual(before);
  vmm.check();
}

test.each<[VmmErrorCode, MapRequest]>([
  ["out-of-range", { bytes: 0 }],
  ["out-of-range", { bytes: NaN }],
  ["out-of-range", { bytes: 2 ** 53 }],
  ["unaligned", { bytes: P, placement: "fixed", address: NaN }],
  ["unaligned", { bytes: P, placement: "fixed", address: 2 ** 60 }],
  ["unaligned", { bytes: P, placement: "fixed-new", address: P + 1 }],
  ["unaligned", { bytes: P, alignment: 3 * P }],
  ["unaligned", { bytes: P, alignment: 0 }],
  ["unaligned", { bytes: P, alignment: 512 }],
  ["out-of-range", { bytes: P, guardPages: -1 }],
  ["out-of-range", { bytes: P, guardPages: 0.5 }],
  ["bad-argument", { bytes: P, rights: 64 }],
])("mapping is refused with %s: %o", (code, request) => {
  refusedWith(code, () => space.map(request));
});

test("a range or place of a move that is no page throws", () => {
  const at = Number(space.map({ bytes: 2 * P }));
  for (const target of [NaN, 2 ** 60, at + 1])
    refusedWith("unaligned", () => space.remap({ address: at, bytes: P, newBytes: P, mayMove: true, target }));
  refusedWith("unaligned", () => space.remap({ address: NaN, bytes: P, newBytes: P }));
});

test("an object takes offsets from 0 on", () => {
  for (const object of [vmm.createAnonymous(P), vmm.openFile(new MemoryBacking(P))])
    for (const offset of [-1, NaN, 0.5]) {
      refusedWith("out-of-range", () => object.read(offset, new Uint8Array(1)));
      refusedWith("out-of-range", () => object.write(offset, new Uint8Array(1)));
      refusedWith("out-of-range", () => object.punch(offset, P));
      refusedWith("out-of-range", () => object.punch(0, offset));
    }
});

test("spaces and objects of two managers do not mix", () => {
  const memory = new PlainMemory(64);
  const other = new Vmm({ frames: memory, window: memory });
  const theirs = spaceOf(other);
  refusedWith("bad-argument", () => space.map({ bytes: P, object: other.createAnonymous(P), shared: true }));
  const at = Number(space.map({ bytes: TRANSFER_UNIT, alignment: TRANSFER_UNIT }));
  refusedWith("bad-argument", () => space.transfer(at, TRANSFER_UNIT, theirs));
  refusedWith("bad-argument", () => space.share(at, TRANSFER_UNIT, theirs));
});

test("what cannot be written is not mapped to be stored to, and holes are punched only where they can be", () => {
  const store: AsyncBackingStore = { size: () => 2 * P, readLater: () => Promise.resolve() };
  const object = vmm.openAsyncFile(store);
  expect(space.map({ bytes: P, object, shared: true })).toBe("rights");
  const reader = Number(space.map({ bytes: P, object, shared: true, rights: READ }));
  expect(space.protect(reader, P, READ + WRITE)).toBe("rights");
  expect(space.protect(reader, P, READ + EXECUTE)).toBe("ok");
  expect(typeof space.map({ bytes: P, object })).toBe("number");
  const written = vmm.openAsyncFile({ ...store, writeLater: () => Promise.resolve() });
  const writer = Number(space.map({ bytes: P, object: written, shared: true }));
  expect(space.advise(writer, P, "remove")).toBe("failed");
  const device = Number(space.map({ bytes: P, object: vmm.openDevice(1000, 1) }));
  expect(space.advise(device, P, "remove")).toBe("not-anonymous");
  vmm.check();
});

test("a transfer or a purgeable range that is no range throws at once, not when a device or a shortage comes", () => {
  const at = Number(space.map({ bytes: 2 * P }));
  for (const [address, bytes] of [
    [at, -1],
    [at, NaN],
    [at, 1.5],
    [at + 0.5, 8],
  ] as const) {
    refusedWith("out-of-range", () => vmm.beginTransfer(space, address, bytes, "from-device"));
    expect(() => vmm.makePurgeable(space, address, bytes)).toThrow(/multiple of 4096|0 or more bytes/);
  }
  refusedWith("out-of-range", () => vmm.beginTransfer(space, at, P, "from-device", { longest: 0 }));
  refusedWith("unaligned", () => vmm.makePurgeable(space, at + 8, P));
});

test("an access to no address, as the number of a refusal is, finds nothing mapped and leaves nothing behind", () => {
  space.map({ bytes: 4 * P });
  const bytes = new SpaceMemory(space);
  for (const address of [
    Number(space.map({ bytes: P, rights: READ + WRITE, ceiling: READ })),
    Infinity,
    2 ** 60,
    1.5,
  ]) {
    expect([space.fault(address, WRITE), space.memoryType(address)]).toEqual(["unmapped", null]);
    expect([bytes.load32(address), bytes.store8(address, 1), bytes.fault]).toEqual([-1, false, "unmapped"]);
    vmm.check();
  }
  expect([space.regions.count, vmm.residentPages]).toEqual([1, 0]);
});
