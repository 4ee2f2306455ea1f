import type { Cpu, Machine } from "@pagewright/machine";
import { beforeEach, describe, expect, test } from "vitest";
import { FRAME, NEXT, NEXT_FRAME, PAGE, twoPages } from "./fixtures.ts";
import type { Tables } from "./fixtures.ts";

let machine: Machine;
let cpu: Cpu;
let tables: Tables;

beforeEach(() => {
  ({ machine, cpu, tables } = twoPages());
});

/** The eight bytes on either side of the border between the pages, as physical memory has them. */
function border(first = FRAME): Uint8Array {
  const bytes = new Uint8Array(16);
  machine.memory.readBytes(first * 4096 + 4088, bytes.subarray(0, 8));
  machine.memory.readBytes(NEXT_FRAME * 4096, bytes.subarray(8));
  return bytes;
}

function fillBorder(): void {
  const bytes = Uint8Array.from({ length: 16 }, (_, at) => 0x81 + at);
  machine.memory.writeBytes(FRAME * 4096 + 4088, bytes.subarray(0, 8));
  machine.memory.writeBytes(NEXT_FRAME * 4096, bytes.subarray(8));
}

/** A value of `size` bytes as a load returns it; the high word of eight bytes apart. */
interface Loaded {
  readonly value: number;
  readonly high: number;
}

const LOADS: readonly (readonly [name: string, size: number, load: (va: number) => number])[] = [
  ["load8", 1, (va) => cpu.load8(va)],
  ["load16", 2, (va) => cpu.load16(va)],
  ["load32", 4, (va) => cpu.load32(va)],
  ["load64", 8, (va) => cpu.load64(va)],
  ["fetch8", 1, (va) => cpu.fetch8(va)],
  ["fetch16", 2, (va) => cpu.fetch16(va)],
  ["fetch32", 4, (va) => cpu.fetch32(va)],
  ["fetch64", 8, (va) => cpu.fetch64(va)],
];

const STORES: readonly (readonly [name: string, size: number, store: (va: number) => boolean])[] = [
  ["store16", 2, (va) => cpu.store16(va, 0x2211)],
  ["store32", 4, (va) => cpu.store32(va, 0x44332211)],
  ["store64", 8, (va) => cpu.store64(va, 0x44332211, 0x88776655)],
];

describe.each(LOADS)("%s", (name, size, load) => {
  const isFetch = name.startsWith("fetch");

  /** What `size` bytes at byte `at` of the border are. */
  function expected(at: number): Loaded {
    let value = 0n;
    const bytes = border();
    for (let i = size - 1; i >= 0; i--) value = value * 256n + BigInt(bytes[at + i]!);
    return { value: Number(value & 0xffffffffn), high: size === 8 ? Number(value >> 32n) : 0 };
  }

  test.each([true, false])(
    "reads the bytes of both pages at any place around their border; short way open: %s",
    (open) => {
      fillBorder();
      cpu.shortcuts = open;
      for (let round = 0; round < 2; round++)
        for (let at = 0; at + size <= 16; at++) {
          cpu.high = 0;
          expect({ value: load(PAGE + 4088 + at), high: cpu.high }).toEqual(expected(at));
        }
      machine.check();
    },
  );

  test("counts one access, and one of each page where it crosses, as data or as code", () => {
    const count = () => {
      const { dataHits, dataMisses, codeHits, codeMisses } = cpu.stats();
      return { data: dataHits + dataMisses, code: codeHits + codeMisses };
    };
    const added = (va: number) => {
      const before = count();
      load(va);
      const { data, code } = count();
      return isFetch ? [code - before.code, data - before.data] : [data - before.data, code - before.code];
    };
    expect([added(PAGE + 8), added(PAGE + 8), added(PAGE + 9)]).toEqual([
      [1, 0],
      [1, 0],
      [1, 0],
    ]);
    if (size > 1) expect(added(NEXT - 1)).toEqual([2, 0]);
  });

  test("faults by the rules of its kind, on the second page too", () => {
    cpu.writeEfer(cpu.registers.efer | 0x800);
    tables.map(NEXT, NEXT_FRAME, 7, 1, 0x80000000);
    cpu.high = 77;
    expect(load(NEXT) >= 0).toBe(!isFetch);
    if (size > 1) expect(load(NEXT - 1) >= 0).toBe(!isFetch);
    if (isFetch) expect(cpu.fault).toMatchObject({ kind: "page", va: NEXT, error: 0x11 });
    if (isFetch) expect(cpu.high).toBe(77);
  });
});

describe.each(STORES)("%s over the border of two pages", (_, size, store) => {
  const offsets = Array.from({ length: size - 1 }, (__, i) => 4096 - size + 1 + i);

  test("leaves nothing half done where the second page faults", () => {
    fillBorder();
    const before = border();
    tables.map(NEXT, NEXT_FRAME, 5);
    cpu.setCpl(3);
    for (const warm of [false, true])
      for (const offset of offsets) {
        if (warm) cpu.load32(PAGE);
        expect(store(PAGE + offset)).toBe(false);
        expect(cpu.fault).toMatchObject({ kind: "page", va: NEXT, error: 7 });
        expect(border()).toEqual(before);
      }
  });

  test("leaves nothing half done where the first page faults", () => {
    fillBorder();
    const before = border();
    tables.map(PAGE, FRAME, 6);
    for (const offset of offsets) {
      expect(store(PAGE + offset)).toBe(false);
      expect(cpu.fault).toMatchObject({ kind: "page", va: PAGE + offset });
      expect(border()).toEqual(before);
    }
  });

  test("stores every byte in its place", () => {
    for (const offset of offsets) {
      machine.memory.writeBytes(FRAME * 4096 + 4088, new Uint8Array(8));
      machine.memory.writeBytes(NEXT_FRAME * 4096, new Uint8Array(8));
      expect(store(PAGE + offset)).toBe(true);
      const expected = new Uint8Array(16);
      for (let i = 0; i < size; i++) expected[offset - 4088 + i] = 0x11 * (i + 1);
      expect(border()).toEqual(expected);
    }
    machine.check();
  });

  test("begins again after a fault: the handler may have moved the first page to make room for the second", () => {
    tables.map(NEXT, NEXT_FRAME, 6);
    cpu.faultHandler = {
      pageFault() {
        tables.map(PAGE, 300);
        cpu.invlpg(PAGE);
        tables.map(NEXT, NEXT_FRAME);
        return true;
      },
    };
    expect(store(NEXT - 1)).toBe(true);
    expect(border()[7]).toBe(0);
    expect([...border(300).subarray(7, 9)]).toEqual([0x11, 0x22]);
  });

  test("ends as a fault where the two pages drive each other out for ever", () => {
    cpu.faultHandler = {
      pageFault(of, va) {
        const first = va < NEXT;
        tables.map(PAGE, FRAME, first ? 7 : 6);
        tables.map(NEXT, NEXT_FRAME, first ? 6 : 7);
        of.invlpg(PAGE);
        of.invlpg(NEXT);
        return true;
      },
    };
    tables.map(NEXT, NEXT_FRAME, 6);
    expect(store(NEXT - 1)).toBe(false);
    expect(cpu.fault.kind).toBe("page");
    expect(border()).toEqual(new Uint8Array(16));
  });
});

test("a view of an address that is no multiple of 4 is refused, on a miss and on a hit", () => {
  for (let round = 0; round < 2; round++) {
    for (const offset of [1, 2, 0xfff])
      expect(() => cpu.viewOf(PAGE + offset, 0)).toThrow(expect.objectContaining({ code: "unaligned" }));
    expect(cpu.words[cpu.viewOf(PAGE + 8, 0)]).toBe(machine.memory.read(FRAME * 4096 + 8, 4));
  }
});
