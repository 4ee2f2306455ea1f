import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Framebuffer, MIB, PhysicalMap, firmwareMapOf, printFlat, printTree } from "@pagewright/machine";
import type { FrameStore, Pfn } from "@pagewright/machine";
import { FrameFile } from "@pagewright/machine/node";
import { faultHandlerSuite, frameStoreSuite, mmioDeviceSuite } from "@pagewright/machine/testing";
import type { FaultFixture } from "@pagewright/machine/testing";
import { afterAll, describe, expect, test } from "vitest";
import { cpuOf, ramMachine, Tables } from "./fixtures.ts";

/** The naive frame store. */
class MapStore implements FrameStore {
  readonly #frames = new Map<Pfn, Uint8Array>();

  load(pfn: Pfn, into: Uint8Array): void {
    into.set(this.#frames.get(pfn) ?? []);
  }

  save(pfn: Pfn, from: Uint8Array): void {
    this.#frames.set(pfn, from.slice());
  }
}

const folder = mkdtempSync(join(tmpdir(), "machine-ports-"));
afterAll(() => {
  rmSync(folder, { recursive: true });
});
let files = 0;

describe("frame stores", () => {
  for (const one of frameStoreSuite) {
    test(`naive: ${one.name}`, () => {
      one.run(() => new MapStore());
    });
    test(`file: ${one.name}`, () => {
      one.run(() => new FrameFile(join(folder, `frames-${files++}`), 0x100));
    });
  }
});

/** The naive handler: maps one page, refuses all others. */
function naiveFaults(): FaultFixture {
  const machine = ramMachine(16 * MIB);
  const cpu = cpuOf(machine);
  const tables = new Tables(machine, 0x100);
  tables.map(0x400000, 0x200);
  tables.activate(cpu);
  cpu.setCpl(3);
  return {
    cpu,
    absent: 0x500008,
    forbidden: 0x600000,
    handler: {
      pageFault: (_cpu, va) => {
        if (Math.floor(va / 4096) !== 0x500) return false;
        tables.map(0x500000, 0x201);
        return true;
      },
    },
  };
}

describe("fault handlers", () => {
  for (const one of faultHandlerSuite)
    test(`naive: ${one.name}`, () => {
      one.run(naiveFaults);
    });
});

describe("devices", () => {
  for (const one of mmioDeviceSuite)
    test(`framebuffer: ${one.name}`, () => {
      one.run(() => new Framebuffer(32, 32));
    });
});

describe("printouts and misuse", () => {
  test("the flat view and the tree name every owner", () => {
    const map = new PhysicalMap(firmwareMapOf([{ base: 0n, length: BigInt(MIB), type: 1 }]));
    expect(printFlat(map)).toBe("0000000000000000-00000000000fffff  ram                  firmware");
    expect(printTree(map)).toBe("0000000000000000-00000000000fffff (prio 0, ram): firmware: usable");
  });

  test("a root table that is unaligned or in a hole is refused", () => {
    const machine = ramMachine(MIB);
    const cpu = cpuOf(machine);
    expect(() => {
      cpu.useTable(0x1008);
    }).toThrow(/first byte/);
    expect(() => {
      cpu.useTable(16 * MIB);
    }).toThrow(/CPU 0 lies in a hole/);
    cpu.useTable(0x1000);
    expect(cpu.registers.cr3Low).toBe(0x1000);
  });
});
