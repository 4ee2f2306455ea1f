/** What separates the kernel from programs on a whole stack: U/S, NX, SMEP and SMAP, as the processor checks them on the manager's own tables. */
import { CR4_SMAP, CR4_SMEP, physicalMapFromJson } from "@pagewright/machine";
import type { Cpu } from "@pagewright/machine";
import { EXECUTE, READ, WRITE } from "@pagewright/vmm";
import type { AddressSpace } from "@pagewright/vmm";
import { beforeEach, expect, test } from "vitest";

import { audit, createStack } from "../src/index.ts";
import type { Stack } from "../src/index.ts";

const PAGE = 4096;
/** Error-code bits of a page fault: the page is there; a store; from user mode; a fetch. */
const P = 1;
const W = 2;
const U = 4;
const I = 16;

let stack: Stack;
let space: AddressSpace;
let cpu: Cpu;
/** A program's data and its code. */
let data: number;
let code: number;
/** The kernel's. */
let kernelData: number;

beforeEach(() => {
  stack = createStack({ map: physicalMapFromJson({ entries: [{ base: 0, length: 64 * 2 ** 20, type: 1 }] }) });
  const made = stack.vmm.createSpace();
  const { kernel } = stack.vmm;
  if (made === null || kernel === null) throw new Error("no space");
  space = made;
  data = Number(space.map({ bytes: PAGE }));
  code = Number(space.map({ bytes: PAGE }));
  cpu = stack.enter(space);
  expect([cpu.store32(data, 11), cpu.store32(code, 0xc3)]).toEqual([true, true]);
  expect(space.protect(code, PAGE, READ + EXECUTE)).toBe("ok");
  expect(cpu.fetch32(code)).toBe(0xc3);
  kernelData = Number(kernel.map({ bytes: PAGE }));
});

/** The error code of the last fault at an address. */
function errorAt(address: number): number {
  expect(cpu.fault.va).toBe(address);
  return cpu.fault.error;
}

test("the stack switches both on", () => {
  expect(cpu.registers.cr4 & (CR4_SMEP + CR4_SMAP)).toBe(CR4_SMEP + CR4_SMAP);
});

test("SMEP: the kernel does not run what a program may run, and nothing resolves that", () => {
  cpu.setCpl(0);
  expect(cpu.fetch32(code)).toBe(-1);
  expect(errorAt(code)).toBe(P + I);
  cpu.setCpl(3);
  expect(cpu.fetch32(code)).toBe(0xc3);
  cpu.setCpl(0);
  cpu.writeCr4(cpu.registers.cr4 - CR4_SMEP);
  expect(cpu.fetch32(code)).toBe(0xc3); // It was that bit, and nothing else.
});

test("SMAP: the kernel touches a program's memory only where it says so", () => {
  cpu.setCpl(0);
  expect([cpu.load32(data), errorAt(data)]).toEqual([-1, P]);
  expect([cpu.store32(data, 12), errorAt(data)]).toEqual([false, P + W]);
  cpu.setAc(true);
  expect([cpu.store32(data, 12), cpu.load32(data)]).toEqual([true, 12]);
  cpu.setAc(false);
  expect(cpu.load32(data)).toBe(-1);
  cpu.writeCr4(cpu.registers.cr4 - CR4_SMAP);
  expect(cpu.load32(data)).toBe(12);
});

test("a program's page that is not in a frame is not brought in for the kernel against SMAP, and is where the kernel says so", () => {
  const fresh = Number(space.map({ bytes: PAGE }));
  cpu.setCpl(0);
  expect(cpu.load32(fresh)).toBe(-1);
  cpu.setAc(true);
  expect([cpu.load32(fresh), cpu.store32(fresh, 5), cpu.load32(fresh)]).toEqual([0, true, 5]);
});

test("U/S: a program does not reach the kernel's memory, present or not", () => {
  expect([cpu.load32(kernelData), errorAt(kernelData)]).toEqual([-1, U]);
  cpu.setCpl(0);
  expect(cpu.store32(kernelData, 77)).toBe(true);
  cpu.setCpl(3);
  expect([cpu.load32(kernelData), errorAt(kernelData)]).toEqual([-1, P + U]);
  expect([cpu.store32(kernelData, 1), errorAt(kernelData)]).toEqual([false, P + W + U]);
  cpu.setCpl(0);
  expect(cpu.load32(kernelData)).toBe(77);
});

test("NX: what may not be executed is not, by either", () => {
  expect([cpu.fetch32(data), errorAt(data)]).toEqual([-1, P + U + I]);
  cpu.setCpl(0);
  expect(cpu.store32(kernelData, 0xc3)).toBe(true);
  expect([cpu.fetch32(kernelData), errorAt(kernelData)]).toEqual([-1, P + I]);
});

test("write protection binds the kernel too", () => {
  cpu.setCpl(0);
  cpu.setAc(true);
  expect([cpu.store32(code, 1), errorAt(code)]).toEqual([false, P + W]);
  expect(cpu.load32(code)).toBe(0xc3);
  expect(space.protect(code, PAGE, READ + WRITE)).toBe("ok");
  expect([cpu.store32(code, 1), cpu.load32(code)]).toEqual([true, 1]);
  expect(audit(stack).problems).toEqual([]);
});
