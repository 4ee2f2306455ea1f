import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";

import { PAGE_SIZE, PlainMemory, SpaceMemory, Vmm } from "@pagewright/vmm";
import { FileSwap, type FileSwapOptions } from "@pagewright/vmm/node";

import { spaceOf } from "../kit/rig.ts";

const folder = mkdtempSync(join(tmpdir(), "file-swap-"));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

let number = 0;
function made(slots: number, options: FileSwapOptions = {}): FileSwap {
  return new FileSwap(join(folder, `swap-${number++}`), slots, options);
}

const secret = new Uint8Array(PAGE_SIZE).fill(0x5e);

function secretsIn(path: string): number {
  return readFileSync(path).reduce((count, byte) => count + (byte === 0x5e ? 1 : 0), 0) / PAGE_SIZE;
}

test("the file is cut behind the last slot in use, sixteen slots or more at a time, and grows again", () => {
  const swap = made(64);
  const pages = (): number => statSync(swap.path).size / PAGE_SIZE;
  for (let slot = 0; slot < 40; slot++) swap.write(slot, secret);
  expect(pages()).toBe(40);
  for (let slot = 39; slot > 24; slot--) swap.discard(slot);
  expect(pages()).toBe(40);
  swap.discard(24);
  expect(pages()).toBe(24);
  for (let slot = 1; slot < 24; slot++) swap.discard(slot);
  expect(pages()).toBe(1);
  swap.check();
  swap.discard(0);
  expect(pages()).toBe(0);
  swap.check();
  swap.write(5, secret);
  const into = new Uint8Array(PAGE_SIZE);
  expect([swap.read(5, into), into[9], pages()]).toEqual(["ok", 0x5e, 6]);
  swap.close();
});

test("with `erase` a page that left swap is zeroes on the disk once sixteen have, and one that is there is not touched", () => {
  const swap = made(64, { erase: true });
  for (let slot = 0; slot < 48; slot++) swap.write(slot, secret);
  for (let slot = 0; slot < 15; slot++) swap.discard(2 * slot);
  expect(secretsIn(swap.path)).toBe(48);
  swap.write(4, secret);
  swap.discard(30);
  expect(secretsIn(swap.path)).toBe(48);
  swap.discard(32);
  expect(secretsIn(swap.path)).toBe(48 - 16);
  const into = new Uint8Array(PAGE_SIZE);
  for (const slot of [1, 3, 4, 5, 31, 33, 47]) expect([swap.read(slot, into), into]).toEqual(["ok", secret]);
  swap.close();
});

test("with `erase` and `keep` the closed file has the pages in use alone", () => {
  const swap = made(8, { erase: true, keep: true });
  for (let slot = 0; slot < 8; slot++) swap.write(slot, secret);
  swap.discard(2);
  swap.close();
  swap.close();
  expect(secretsIn(swap.path)).toBe(7);
});

test("a program's pages leave nothing in the file of its manager", () => {
  const swap = made(256, { erase: true });
  const memory = new PlainMemory(64);
  const vmm = new Vmm({ frames: memory, window: memory, residentLimit: 8, swap: [swap] });
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 100 * PAGE_SIZE }));
  const bytes = new SpaceMemory(space);
  for (let page = 0; page < 100; page++) expect(bytes.copyIn(at + page * PAGE_SIZE, secret)).toBe(PAGE_SIZE);
  expect(secretsIn(swap.path)).toBeGreaterThan(80);
  space.destroy();
  expect([secretsIn(swap.path), statSync(swap.path).size, vmm.swapTiers()[0]?.used]).toEqual([0, 0, 0]);
  swap.close();
});
