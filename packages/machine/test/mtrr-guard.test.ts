import {
  CR0_CD,
  CR4_PCIDE,
  CR4_PGE,
  Framebuffer,
  LAYER,
  MIB,
  MtrrRegisters,
  PAT_LINUX,
  traitsOf,
} from "@pagewright/machine";
import type { Cpu } from "@pagewright/machine";
import { describe, expect, test } from "vitest";
import { cpuOf, ramMachine, Tables } from "./fixtures.ts";

function wanted(): MtrrRegisters {
  const registers = new MtrrRegisters();
  registers.setRanges([
    { base: 0, length: 64 * MIB, type: "WB" },
    { base: 0xd0000000, length: 16 * MIB, type: "WC" },
  ]);
  return registers;
}

describe("the MTRR update sequence", () => {
  test("the whole sequence loads every CPU alike", () => {
    const machine = ramMachine(64 * MIB, { cpus: 3 });
    machine.mtrrs.loadAll(wanted());
    machine.mtrrs.requireEqual();
    expect(machine.cpus.map((cpu) => cpu.mtrrs.typeAt(0xd0000000))).toEqual(["WC", "WC", "WC"]);
    expect(machine.cpus.every((cpu) => cpu.interruptsEnabled && cpu.registers.cr0 < 2 ** 32)).toBe(true);
  });

  test("each step left out is named", () => {
    const machine = ramMachine(64 * MIB, { cpus: 2 });
    const [first, second] = [cpuOf(machine, 0), cpuOf(machine, 1)];
    const write = (): void => {
      machine.mtrrs.write(first, (own) => (own.defaultType = "WB"));
    };
    const cachesOn = (cpu: Cpu) => (): void => {
      cpu.writeCr0(cpu.registers.cr0 - (cpu.registers.cr0 & CR0_CD));
    };
    expect(write).toThrow(/interrupts are on/);
    first.interruptsEnabled = false;
    expect(write).toThrow(/caches are on/);
    first.writeCr0(first.registers.cr0 + CR0_CD);
    expect(write).toThrow(/not flushed its caches/);
    first.wbinvd();
    expect(write).toThrow(/not flushed its TLB/);
    first.writeCr4(first.registers.cr4 - CR4_PGE);
    expect(write).toThrow(/CPU 1 has not arrived/);
    second.writeCr0(second.registers.cr0 + CR0_CD);
    expect(write).toThrow(/clear E first/);
    expect(() => {
      machine.mtrrs.write(first, (own) => {
        own.enabled = false;
        own.defaultType = "WB";
      });
    }).toThrow(/clear E first/);
    expect(first.mtrrs.defaultType).toBe("UC");
    machine.mtrrs.write(first, (own) => (own.enabled = false));
    write();
    expect(cachesOn(first)).toThrow(/MTRRs are still off/);
  });

  test("a flush left out after the change, and a CPU left out, are named", () => {
    const machine = ramMachine(64 * MIB, { cpus: 2 });
    const [first, second] = [cpuOf(machine, 0), cpuOf(machine, 1)];
    const arrive = (cpu: Cpu): void => {
      cpu.interruptsEnabled = false;
      cpu.writeCr0(cpu.registers.cr0 + CR0_CD);
      cpu.wbinvd();
      cpu.writeCr4(cpu.registers.cr4 - CR4_PGE);
    };
    const change = (cpu: Cpu): void => {
      machine.mtrrs.write(cpu, (own) => (own.enabled = false));
      machine.mtrrs.write(cpu, (own) => (own.defaultType = "WB"));
      machine.mtrrs.write(cpu, (own) => (own.enabled = true));
    };
    const leave = (cpu: Cpu) => (): void => {
      if (cpu.registers.cr0 < CR0_CD) throw new Error("its caches are on already");
      cpu.writeCr0(cpu.registers.cr0 - CR0_CD);
    };
    arrive(first);
    arrive(second);
    change(first);
    expect(leave(first)).toThrow(/caches were not flushed after the change/);
    first.wbinvd();
    expect(leave(first)).toThrow(/TLB was not flushed after the change/);
    first.flushTlb();
    leave(first)();
    expect(leave(second)).toThrow(/CPUs 0 and 1 have different MTRRs/);
  });

  describe("what counts as a flush of the TLB", () => {
    const PCID = 5;
    /** A CPU that has PCIDs, runs PCID 5 and has switched its caches off and flushed them; `globals`: CR4.PGE. */
    function arrived(globals: boolean): { cpu: Cpu; write: () => void } {
      const machine = ramMachine(64 * MIB);
      const cpu = cpuOf(machine);
      cpu.writeCr4(cpu.registers.cr4 + CR4_PCIDE - (globals ? 0 : CR4_PGE));
      cpu.writeCr3(PCID);
      cpu.interruptsEnabled = false;
      cpu.writeCr0(cpu.registers.cr0 + CR0_CD);
      cpu.wbinvd();
      return {
        cpu,
        write: () => {
          machine.mtrrs.write(cpu, (own) => (own.enabled = false));
        },
      };
    }

    test.each<[name: string, globals: boolean, flush: (cpu: Cpu) => void]>([
      [
        "MOV to CR3 with bit 63",
        false,
        (cpu) => {
          cpu.writeCr3(PCID, 2 ** 31);
        },
      ],
      [
        "MOV to CR3 of one PCID",
        false,
        (cpu) => {
          cpu.writeCr3(PCID);
        },
      ],
      [
        "MOV to CR3 with globals on",
        true,
        (cpu) => {
          cpu.flushTlb();
        },
      ],
      [
        "INVPCID of one address",
        false,
        (cpu) => {
          cpu.invpcid(0, PCID, 0);
        },
      ],
      [
        "INVPCID of this PCID",
        false,
        (cpu) => {
          cpu.invpcid(1, PCID, 0);
        },
      ],
      [
        "INVPCID of a foreign PCID",
        true,
        (cpu) => {
          cpu.invpcid(1, 9, 0);
        },
      ],
      [
        "INVPCID of all but globals",
        true,
        (cpu) => {
          cpu.invpcid(3, 0, 0);
        },
      ],
      [
        "INVLPG",
        false,
        (cpu) => {
          cpu.invlpg(0);
        },
      ],
    ])("%s does not", (_name, globals, flush) => {
      const { cpu, write } = arrived(globals);
      flush(cpu);
      expect(write).toThrow(/not flushed its TLB/);
    });

    test.each<[name: string, globals: boolean, flush: (cpu: Cpu) => void]>([
      [
        "a change of CR4.PGE",
        true,
        (cpu) => {
          cpu.writeCr4(cpu.registers.cr4 - CR4_PGE);
        },
      ],
      [
        "INVPCID of everything",
        true,
        (cpu) => {
          cpu.invpcid(2, 0, 0);
        },
      ],
      [
        "INVPCID of all but globals, with globals off",
        false,
        (cpu) => {
          cpu.invpcid(3, 0, 0);
        },
      ],
    ])("%s does", (_name, globals, flush) => {
      const { cpu, write } = arrived(globals);
      flush(cpu);
      write();
      expect(cpu.mtrrs.enabled).toBe(false);
    });

    test.each<[name: string, counts: boolean, flush: (cpu: Cpu) => void]>([
      [
        "the current PCID",
        true,
        (cpu) => {
          cpu.flushTlb();
        },
      ],
      [
        "a foreign PCID",
        false,
        (cpu) => {
          cpu.invpcid(1, 9, 0);
        },
      ],
      [
        "nothing (bit 63)",
        false,
        (cpu) => {
          cpu.writeCr3(PCID, 2 ** 31);
        },
      ],
    ])("after the change, one of %s: %s", (_name, counts, flush) => {
      const { cpu, write } = arrived(true);
      cpu.writeCr4(cpu.registers.cr4 - CR4_PGE);
      write();
      cpu.guard?.cachesFlushed(cpu);
      cpu.mtrrs.enabled = true;
      flush(cpu);
      const cachesOn = (): void => {
        cpu.writeCr0(cpu.registers.cr0 - CR0_CD);
      };
      if (counts) expect(cachesOn).not.toThrow();
      else expect(cachesOn).toThrow(/TLB was not flushed/);
    });
  });

  test("the whole sequence works with PCIDs, and with global pages off", () => {
    for (const cr4 of [CR4_PCIDE, CR4_PCIDE - CR4_PGE, -CR4_PGE]) {
      const machine = ramMachine(64 * MIB, { cpus: 2 });
      for (const cpu of machine.cpus) cpu.writeCr4(cpu.registers.cr4 + cr4);
      const before = machine.cpus.map((cpu) => cpu.registers.cr4);
      machine.mtrrs.loadAll(wanted());
      machine.mtrrs.requireEqual();
      expect(machine.cpus.map((cpu) => cpu.registers.cr4)).toEqual(before);
    }
  });

  test("a sequence broken off by a loss of power is not gone on with", () => {
    const machine = ramMachine(64 * MIB);
    const cpu = cpuOf(machine);
    const switchOff = (): void => {
      machine.mtrrs.write(cpu, (own) => (own.enabled = false));
    };
    cpu.interruptsEnabled = false;
    cpu.writeCr0(cpu.registers.cr0 + CR0_CD);
    cpu.wbinvd();
    cpu.invpcid(2, 0, 0);
    switchOff();
    machine.powerCycle();
    cpu.interruptsEnabled = false;
    cpu.writeCr0(cpu.registers.cr0 + CR0_CD);
    expect(switchOff).toThrow(/not flushed its caches/);
  });

  test("a direct assignment goes past the guard, and shows when CPUs are compared", () => {
    const machine = ramMachine(64 * MIB, { cpus: 2 });
    cpuOf(machine).mtrrs.defaultType = "WB";
    expect(() => {
      machine.mtrrs.requireEqual();
    }).toThrow(/different MTRRs/);
  });
});

describe("write combining", () => {
  test("a framebuffer mapped WC by the PAT gets bursts, mapped UC single writes", () => {
    const machine = ramMachine(16 * MIB);
    const screen = new Framebuffer(64, 64);
    const traits = traitsOf("mmio", "screen", { device: screen });
    machine.map.overlay(0xd0000000, 0xd0000000 + screen.size, traits, LAYER.claim);
    const cpu = cpuOf(machine);
    cpu.pat.program(PAT_LINUX);
    const tables = new Tables(machine, 1);
    tables.activate(cpu);
    tables.map(0x100000, 0xd0000, 0x0f);
    tables.map(0x101000, 0xd0001, 0x1f);
    expect(cpu.memoryTypeOf(0x100000)).toBe("WC");
    expect(cpu.memoryTypeOf(0x101000)).toBe("UC");
    for (let word = 0; word < 64; word++) cpu.store32(0x100000 + word * 4, word);
    cpu.fence();
    expect(screen.stats()).toMatchObject({ bursts: 4, singleWrites: 0 });
    for (let word = 0; word < 64; word++) cpu.store32(0x101000 + word * 4, word);
    expect(screen.stats()).toMatchObject({ bursts: 4, singleWrites: 64 });
    expect(screen.pixels[63]).toBe(63);
    expect(cpu.load32(0x101000 + 4)).toBe(1);
  });
});
