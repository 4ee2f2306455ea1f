import { FaultyRam, isMachineError, LAYER, traitsOf } from "@pagewright/machine";
import type { Cpu, Machine } from "@pagewright/machine";
import { beforeEach, describe, expect, test } from "vitest";
import { FRAME, NEXT_FRAME, PAGE, twoPages } from "./fixtures.ts";
import type { Tables } from "./fixtures.ts";

let machine: Machine;
let cpu: Cpu;
let tables: Tables;

beforeEach(() => {
  ({ machine, cpu, tables } = twoPages());
});

/** What memory holds at byte `offset` of frame `pfn`. */
function word(pfn: number, offset: number): number {
  return machine.memory.read(pfn * 4096 + offset, 4);
}

/** The code and message of the error that `run` throws. */
function refusal(run: () => unknown): string {
  try {
    return `nothing was refused: ${String(run())}`;
  } catch (error) {
    return isMachineError(error) ? `${error.code}: ${error.message}` : String(error);
  }
}

/** How the page is reached: by a translation just made, by the short way of a hit, or with everything watched. */
const WAYS: readonly (readonly [way: string, prepare: () => void])[] = [
  ["on a miss", () => undefined],
  ["on a hit", () => void cpu.store32(PAGE, 0)],
  [
    "without the short way",
    () => {
      cpu.shortcuts = false;
    },
  ],
];

describe.each(WAYS)("compare-exchange %s", (_, prepare) => {
  beforeEach(() => {
    prepare();
  });

  test("of 32 bits exchanges what is equal, up to the last word of the page", () => {
    for (const offset of [0, 4, 0xffc]) {
      expect(cpu.compareExchange32(PAGE + offset, 0, 0xfedcba98)).toBe(0);
      expect(cpu.compareExchange32(PAGE + offset, 7, 8)).toBe(0xfedcba98);
      expect(cpu.compareExchange32(PAGE + offset, 0xfedcba98 | 0, 9)).toBe(0xfedcba98);
      expect(word(FRAME, offset)).toBe(9);
    }
    machine.check();
  });

  test("of 64 bits exchanges where both words are equal, up to the last one of the page", () => {
    for (const offset of [0, 8, 0xff8]) {
      expect(cpu.compareExchange64(PAGE + offset, 0, 0, 0x11111111, 0xfedcba98)).toBe(1);
      expect([cpu.low, cpu.high]).toEqual([0, 0]);
      expect(cpu.compareExchange64(PAGE + offset, 0x11111111, 0, 1, 2)).toBe(0);
      expect(cpu.compareExchange64(PAGE + offset, 0, 0xfedcba98, 1, 2)).toBe(0);
      expect([cpu.low, cpu.high]).toEqual([0x11111111, 0xfedcba98]);
      expect(cpu.compareExchange64(PAGE + offset, 0x11111111, 0xfedcba98 | 0, -1, 2)).toBe(1);
      expect([word(FRAME, offset), word(FRAME, offset + 4)]).toEqual([0xffffffff, 2]);
    }
    machine.check();
  });

  test("is refused where it is not aligned, and changes nothing, neither in its page nor in the next frame", () => {
    for (const offset of [1, 2, 3, 0xffd])
      expect(refusal(() => cpu.compareExchange32(PAGE + offset, 0, 1))).toMatch(
        /^unaligned: .*CPU 0.*4 bytes.*0x0000000000005/,
      );
    for (const offset of [1, 4, 0xffc])
      expect(refusal(() => cpu.compareExchange64(PAGE + offset, 0, 0, 1, 2))).toMatch(
        /^unaligned: .*CPU 0.*8 bytes.*0x0000000000005/,
      );
    const touched = [FRAME, FRAME + 1, NEXT_FRAME].flatMap((pfn) => [0, 4, 0xff8, 0xffc].map((at) => word(pfn, at)));
    expect(touched).toEqual(touched.map(() => 0));
  });

  test("always needs write access, also where nothing would change", () => {
    tables.map(PAGE, FRAME, 5);
    cpu.invlpg(PAGE);
    cpu.setCpl(3);
    expect(cpu.compareExchange32(PAGE, 1, 2)).toBe(-1);
    expect(cpu.fault).toMatchObject({ kind: "page", va: PAGE, error: 7 });
    cpu.fault.clear();
    expect(cpu.compareExchange64(PAGE + 8, 1, 1, 2, 2)).toBe(-1);
    expect(cpu.fault).toMatchObject({ kind: "page", va: PAGE + 8, error: 7 });
  });

  test("works on memory that is watched", () => {
    const ram = new FaultyRam(machine.memory, { ecc: false });
    ram.stick(FRAME * 4096 + 1, 0, 1);
    expect(cpu.compareExchange32(PAGE, 0, 7)).toBe(0x100);
    expect(cpu.compareExchange32(PAGE, 0x100, 7)).toBe(0x100);
    expect(cpu.load32(PAGE)).toBe(0x107);
    expect(cpu.compareExchange64(PAGE, 7, 0, 1, 2)).toBe(0);
    expect([cpu.low, cpu.high]).toEqual([0x107, 0]);
    expect(cpu.compareExchange64(PAGE, 0x107, 0, 1, 2)).toBe(1);
    expect([cpu.load64(PAGE), cpu.high]).toEqual([0x101, 2]);
    machine.check();
  });

  test("leaves ROM as it is", () => {
    machine.map.overlay(FRAME * 4096, FRAME * 4096 + 4096, traitsOf("rom", "BIOS"), LAYER.overlay);
    expect(cpu.compareExchange32(PAGE, 0, 7)).toBe(0);
    expect(cpu.compareExchange64(PAGE, 0, 0, 7, 7)).toBe(1);
    expect([cpu.load64(PAGE), cpu.high]).toEqual([0, 0]);
  });
});

describe("compare-exchange on a device", () => {
  /** A device of two registers that notes what it is asked. */
  function makeDevice(): { registers: Uint32Array; asked: string[] } {
    const registers = Uint32Array.of(5, 6);
    const asked: string[] = [];
    const device = {
      read: (offset: number, size: number): number => {
        asked.push(`read ${offset} ${size}`);
        return registers[offset / 4] ?? 0;
      },
      write: (offset: number, size: number, value: number): void => {
        asked.push(`write ${offset} ${size} ${value}`);
        registers[offset / 4] = value;
      },
    };
    machine.map.overlay(0xd0000000, 0xd0001000, traitsOf("mmio", "mailbox", { device }), LAYER.claim);
    tables.map(0x9000, 0xd0000, 0x1f);
    return { registers, asked };
  }

  test("of 32 bits reads its register, and writes it where it was equal", () => {
    const { registers, asked } = makeDevice();
    expect(cpu.compareExchange32(0x9004, 7, 8)).toBe(6);
    expect(cpu.compareExchange32(0x9004, 6, 8)).toBe(6);
    expect(asked).toEqual(["read 4 4", "read 4 4", "write 4 4 8"]);
    expect([...registers]).toEqual([5, 8]);
  });

  test("of 64 bits reads both registers, and writes both where both were equal", () => {
    const { registers, asked } = makeDevice();
    expect(cpu.compareExchange64(0x9000, 5, 7, 1, 2)).toBe(0);
    expect([cpu.low, cpu.high]).toEqual([5, 6]);
    expect(cpu.compareExchange64(0x9000, 5, 6, 1, 2)).toBe(1);
    expect([...registers]).toEqual([1, 2]);
    expect(asked.filter((one) => one.startsWith("write"))).toEqual(["write 0 4 1", "write 4 4 2"]);
  });

  test("in a hole finds all ones, and leaves them", () => {
    tables.map(0x9000, 0xe0000);
    expect(cpu.compareExchange32(0x9000, 0, 1)).toBe(0xffffffff);
    expect(cpu.compareExchange32(0x9000, 0xffffffff, 1)).toBe(0xffffffff);
    expect(cpu.compareExchange32(0x9000, 0xffffffff, 1)).toBe(0xffffffff);
  });
});

test("a handler whose own accesses fault does not end the exchange that it makes possible", () => {
  new FaultyRam(machine.memory, { ecc: false }).stick(300 * 4096, 0, 1);
  cpu.faultHandler = {
    pageFault(of, va) {
      if (va !== 0x9000) return false;
      of.load32(0xa000);
      tables.map(0x9000, 300);
      return true;
    },
  };
  expect(cpu.compareExchange32(0x9000, 1, 5)).toBe(1);
  expect(cpu.load32(0x9000)).toBe(5);
});
