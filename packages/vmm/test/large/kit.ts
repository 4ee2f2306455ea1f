/** What tests of 2M pages have in common: managers with and without a machine, and words that look into them. */
import { expect } from "vitest";

import {
  MemorySwap,
  PAGE_2M,
  PAGE_SIZE,
  PlainMemory,
  SpaceMemory,
  Vmm,
  type AddressSpace,
  type MapRequest,
  type VmmOptions,
} from "@pagewright/vmm";

import { rigOf, spaceOf } from "../kit/rig.ts";

/** Pages of a 2M page. */
export const UNIT = 512;

/** A space, its bytes, and ways to look at it. */
export interface Bench {
  readonly vmm: Vmm;
  readonly space: AddressSpace;
  readonly bytes: SpaceMemory;
  /** Frames that can still be taken. */
  readonly free: () => number;
}

/** A manager in plain memory of `frames` frames. */
export function plainBench(options: Partial<VmmOptions> = {}, frames = 4096): Bench {
  const memory = new PlainMemory(frames);
  const vmm = new Vmm({ frames: memory, window: memory, swap: [new MemorySwap(8192)], special: memory, ...options });
  const space = spaceOf(vmm);
  return { vmm, space, bytes: new SpaceMemory(space), free: () => memory.freeFrames };
}

/** A manager on a machine, its page tables real. */
export function machineBench(options: Partial<VmmOptions> = {}, mebibytes = 64): Bench {
  const rig = rigOf(options, mebibytes);
  const space = spaceOf(rig.vmm);
  return { vmm: rig.vmm, space, bytes: new SpaceMemory(space), free: () => rig.pmm.freeFrames };
}

/** Both kinds by name. */
export const BENCHES: readonly (readonly [string, (options?: Partial<VmmOptions>) => Bench])[] = [
  ["plain tables", plainBench],
  ["x86 tables", machineBench],
];

/** Maps `units` aligned 2M units that want 2M pages; the first page. */
export function mapLarge(space: AddressSpace, units: number, request: Partial<MapRequest> = {}): number {
  const at = space.map({ bytes: units * PAGE_2M, alignment: PAGE_2M, ...request });
  if (typeof at === "string") throw new Error(at);
  expect(space.advise(at, units * PAGE_2M, "large")).toBe("ok");
  return at / PAGE_SIZE;
}

/** Pages of the leaf over a page. */
export function leafAt(space: AddressSpace, vpn: number): number {
  return space.vmm.core.tables.large?.pagesAt(space.tables, vpn) ?? 1;
}

/** Stores a number of its own into each page of a range. */
export function fill(bytes: SpaceMemory, vpn: number, pages: number, salt = 0): void {
  let done = 0;
  for (let at = 0; at < pages; at++) if (bytes.store32((vpn + at) * PAGE_SIZE + 12, salt + at + 1)) done++;
  expect(done).toBe(pages);
}

/** Demands what {@link fill} stored into the pages from its page `first` on. */
export function demandFilled(bytes: SpaceMemory, vpn: number, pages: number, salt = 0, first = 0): void {
  for (let at = 0; at < pages; at++) {
    const got = bytes.load32((vpn + at) * PAGE_SIZE + 12);
    if (got !== salt + first + at + 1)
      expect({ vpn: vpn + at, got }).toEqual({ vpn: vpn + at, got: salt + first + at + 1 });
  }
}
