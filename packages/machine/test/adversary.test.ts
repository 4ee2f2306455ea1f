import { Adversary, CR4_PCIDE, LONG_MODE, MIB } from "@pagewright/machine";
import type { AdversaryOptions, Cpu, Machine, StaleUse } from "@pagewright/machine";
import { describe, expect, test } from "vitest";
import { cpuOf, ramMachine, Tables } from "./fixtures.ts";

function hostile(options: AdversaryOptions = {}): { machine: Machine; tables: Tables } {
  const machine = ramMachine(8 * MIB, { adversary: options, seed: 11 });
  const tables = new Tables(machine, 1);
  tables.activate(cpuOf(machine));
  return { machine, tables };
}

describe("an adversarial CPU", () => {
  test("names the access and the change when a remapping was not flushed", () => {
    const { machine, tables } = hostile();
    const cpu = cpuOf(machine);
    const entry = tables.map(0x5000, 100);
    cpu.store32(0x5000, 1);
    tables.map(0x5000, 101);
    expect(() => cpu.load32(0x5000)).toThrow(
      new RegExp(
        `read of page 0x0000000000005000 .* frame 0x64; .* level-1 entry at 0x${entry.toString(16).padStart(16, "0")} was changed from 0x64067 to 0x65007`,
      ),
    );
  });

  test("catches a removed right, an unmapped page and a dirty bit cleared without a flush", () => {
    const { machine, tables } = hostile({ onStale: "collect", speculation: 0 });
    const cpu = cpuOf(machine);
    const wrong = (change: () => void, access: () => void): string | undefined => {
      tables.map(0x5000, 100);
      cpu.invlpg(0x5000);
      cpu.store32(0x5000, 1);
      change();
      access();
      return machine.adversaries[0]?.reports.at(-1)?.wrong;
    };
    const store = (): void => void cpu.store32(0x5000, 2);
    expect(wrong(() => tables.map(0x5000, 100, 0x65), store)).toBe("rights");
    expect(wrong(() => tables.map(0x5000, 0, 0), store)).toBe("rights");
    expect(wrong(() => tables.map(0x5000, 100, 0x27), store)).toBe("dirty");
    expect(machine.adversaries[0]?.reports.at(-1)?.change).toMatchObject({ level: 1 });
  });

  test("is silent about an operating system that flushes", () => {
    const { machine, tables } = hostile({ speculation: 1 });
    const cpu = cpuOf(machine);
    for (let round = 0; round < 200; round++) {
      const page = (round % 7) * 4096;
      tables.map(page, 100 + round);
      cpu.invlpg(page);
      expect(cpu.store32(page, round)).toBe(true);
      expect(cpu.load32(page)).toBe(round);
    }
    expect(machine.adversaries[0]?.reports).toEqual([]);
    machine.check();
  });

  test("catches a flush that comes before the change, because it looks at pages in between", () => {
    const { machine, tables } = hostile({ speculation: 1 });
    const cpu = cpuOf(machine);
    tables.map(0x5000, 100);
    cpu.store32(0x5000, 1);
    cpu.invlpg(0x5000);
    for (let i = 0; i < 20; i++) machine.adversaries[0]?.speculate(4);
    tables.map(0x5000, 101);
    expect(() => cpu.load32(0x5000)).toThrow(/stale translation/);
  });

  test("marks a stale use as flushed when the shootdown comes afterwards", () => {
    const { machine, tables } = hostile({ onStale: "collect" });
    const cpu = cpuOf(machine);
    tables.map(0x5000, 100);
    tables.map(0x6000, 102);
    cpu.store32(0x5000, 1);
    cpu.store32(0x6000, 1);
    tables.map(0x5000, 101);
    tables.map(0x6000, 103);
    cpu.load32(0x5000);
    cpu.load32(0x6000);
    cpu.invlpg(0x5000);
    expect(machine.adversaries[0]?.reports.length).toBe(2);
    expect(machine.adversaries[0]?.forgotten().map((report) => report.page)).toEqual([0x6000]);
  });
});

interface Watched {
  readonly machine: Machine;
  readonly tables: Tables;
  readonly cpu: Cpu;
  readonly adversary: Adversary;
}

/** A CPU with PCIDs and global pages, in PCID 1, whose adversary keeps reports and does nothing by chance. */
function watched(): Watched {
  const { machine, tables } = hostile({ onStale: "collect", speculation: 0 });
  const cpu = cpuOf(machine);
  cpu.writeCr4(LONG_MODE.cr4 + CR4_PCIDE);
  cpu.writeCr3(tables.root * 4096 + 1);
  const [adversary] = machine.adversaries;
  if (adversary === undefined) throw new Error("nobody watches");
  return { machine, tables, cpu, adversary };
}

describe("a page table that is replaced without a flush", () => {
  const NEW_TABLE = 60;

  /** Two pages in one page table, of which the CPU knows the first; then another page table takes its place. */
  function replaced(rights = 7): Watched & { readonly entry: number; readonly before: bigint } {
    const all = watched();
    const { machine, tables, cpu } = all;
    tables.map(0x5000, 100);
    tables.map(0x6000, 101);
    machine.memory.write(101 * 4096, 4, 0xbad);
    cpu.load32(0x5000);
    const entry = tables.entryAddress(0x5000, 2);
    const before = BigInt(machine.memory.read(entry, 4));
    tables.write(NEW_TABLE * 4096 + 5 * 8, 100 * 4096 + 7, 0);
    tables.write(NEW_TABLE * 4096 + 6 * 8, 102 * 4096 + 7, 0);
    tables.write(entry, NEW_TABLE * 4096 + rights, 0);
    return { ...all, entry, before };
  }

  test("is caught by the first access through the cached entry, and named by every one", () => {
    const { cpu, adversary, entry, before } = replaced();
    expect(cpu.load32(0x6000)).toBe(0xbad);
    expect(cpu.load32(0x6000)).toBe(0xbad);
    const change = { level: 2, address: entry, before, after: BigInt(NEW_TABLE * 4096 + 7) };
    const report = { page: 0x6000, wrong: "frame", stale: 101, current: 102, change, level: 1, flushed: false };
    expect(adversary.reports).toMatchObject([report, report]);
  });

  test("is caught where the frame is the same, but a right or the dirty bit is not", () => {
    const { machine, tables, cpu, adversary, entry } = replaced(5);
    tables.write(NEW_TABLE * 4096 + 6 * 8, 101 * 4096 + 7, 0);
    cpu.store32(0x6000, 1);
    expect(adversary.reports.at(-1)).toMatchObject({ wrong: "rights", change: { level: 2, address: entry } });
    machine.memory.write(entry, 4, NEW_TABLE * 4096 + 7);
    cpu.store32(0x6000, 2);
    expect(adversary.reports.at(-1)).toMatchObject({ wrong: "dirty", change: { level: 2, address: entry } });
  });

  test("is named above the cached entries too", () => {
    const { machine, tables, cpu, adversary } = replaced();
    cpu.invlpg(0x5000);
    cpu.load32(0x5000);
    const entry = tables.entryAddress(0x5000, 4);
    machine.memory.write(entry, 4, 0);
    cpu.load32(0x6000);
    expect(adversary.reports).toMatchObject([{ wrong: "rights", current: -1, change: { level: 4, address: entry } }]);
  });

  test("is no stale use where only speculation goes that way, until an access does", () => {
    const { cpu, adversary, entry } = replaced();
    for (let i = 0; i < 50; i++) adversary.speculate(4);
    expect(adversary.reports).toEqual([]);
    cpu.load32(0x6000);
    expect(adversary.reports).toMatchObject([{ stale: 101, change: { level: 2, address: entry } }]);
  });

  test("is known to a restored snapshot", () => {
    const { cpu, adversary, entry } = replaced();
    const state = structuredClone(adversary.saveState());
    cpu.mmu.observer?.invalidated(cpu.mmu, NaN, -1, true);
    adversary.restoreState(state);
    cpu.load32(0x6000);
    expect(adversary.reports).toMatchObject([{ change: { level: 2, address: entry } }]);
  });

  test("stays a forgotten flush when another page is invalidated, which leaves the translation", () => {
    const { cpu, adversary } = replaced();
    cpu.load32(0x6000);
    cpu.invlpg(0x5000);
    expect(adversary.forgotten().length).toBe(1);
    expect(cpu.load32(0x6000)).toBe(0xbad);
    expect(adversary.reports.at(-1)?.change?.level).toBe(2);
    cpu.invlpg(0x6000);
    expect(adversary.forgotten()).toEqual([]);
    expect(cpu.load32(0x6000)).toBe(0);
    expect(adversary.reports.length).toBe(2);
  });

  test.each<[string, (cpu: Cpu) => void]>([
    ["INVLPG of a page beside", (cpu) => cpu.invlpg(0x5000)],
    ["INVPCID of the page", (cpu) => cpu.invpcid(0, 1, 0x6000)],
    ["a write of CR3", (cpu) => cpu.writeCr3(4096 + 1)],
  ])("is right after %s", (_, flush) => {
    const { cpu, adversary } = replaced();
    flush(cpu);
    expect(cpu.load32(0x6000)).toBe(0);
    expect(adversary.reports).toEqual([]);
  });
});

describe("an invalidation counts only for what it drops:", () => {
  const GLOBAL = 0x100;

  const invlpgElsewhere = (cpu: Cpu): void => {
    cpu.writeCr3(4096 + 2);
    cpu.invlpg(0x5000);
  };

  /** One stale use of page 0x5000 and then `flush`: whether it counts, and what the next use says. */
  function after(flags: number, flush: (cpu: Cpu) => void): { flushed: boolean; next: StaleUse | undefined } {
    const { tables, cpu, adversary } = watched();
    tables.map(0x5000, 100, 7 + flags);
    cpu.load32(0x5000);
    tables.map(0x5000, 101, 7 + flags);
    cpu.load32(0x5000);
    expect(adversary.forgotten().length).toBe(1);
    flush(cpu);
    const flushed = adversary.forgotten().length === 0;
    cpu.writeCr3(tables.root * 4096 + 1, 2 ** 31);
    cpu.load32(0x5000);
    return { flushed, next: adversary.reports[1] };
  }

  test.each<[string, number, (cpu: Cpu) => void]>([
    ["INVPCID 1 of another PCID", 0, (cpu) => cpu.invpcid(1, 2, 0)],
    ["INVPCID 0 of another PCID", 0, (cpu) => cpu.invpcid(0, 2, 0x5000)],
    ["INVPCID 0 of another page", 0, (cpu) => cpu.invpcid(0, 1, 0x6000)],
    ["INVLPG under another PCID", 0, invlpgElsewhere],
    ["a write of CR3 to another PCID", 0, (cpu) => cpu.writeCr3(4096 + 2)],
    ["a write of CR3 with bit 63", 0, (cpu) => cpu.writeCr3(4096 + 1, 2 ** 31)],
    ["a write of CR3, of a global page", GLOBAL, (cpu) => cpu.writeCr3(4096 + 1)],
    ["INVPCID 0, of a global page", GLOBAL, (cpu) => cpu.invpcid(0, 1, 0x5000)],
    ["INVPCID 1, of a global page", GLOBAL, (cpu) => cpu.invpcid(1, 1, 0)],
    ["INVPCID 3, of a global page", GLOBAL, (cpu) => cpu.invpcid(3, 0, 0)],
  ])("not %s", (_, flags, flush) => {
    const { flushed, next } = after(flags, flush);
    expect(flushed).toBe(false);
    expect(next).toMatchObject({ pcid: 1, global: flags !== 0, stale: 100, change: { level: 1 } });
  });

  test.each<[string, number, (cpu: Cpu) => void]>([
    ["INVLPG", 0, (cpu) => cpu.invlpg(0x5000)],
    ["INVPCID 0", 0, (cpu) => cpu.invpcid(0, 1, 0x5000)],
    ["INVPCID 1", 0, (cpu) => cpu.invpcid(1, 1, 0)],
    ["INVPCID 3", 0, (cpu) => cpu.invpcid(3, 0, 0)],
    ["a write of CR3", 0, (cpu) => cpu.writeCr3(4096 + 1)],
    ["INVLPG of a global page", GLOBAL, (cpu) => cpu.invlpg(0x5000)],
    ["INVLPG of a global page under another PCID", GLOBAL, invlpgElsewhere],
    ["INVPCID 2 of a global page", GLOBAL, (cpu) => cpu.invpcid(2, 0, 0)],
    ["a change of CR4.PGE, of a global page", GLOBAL, (cpu) => cpu.writeCr4(cpu.registers.cr4 - 0x80)],
  ])("%s", (_, flags, flush) => {
    expect(after(flags, flush)).toEqual({ flushed: true, next: undefined });
  });

  test("INVLPG of any address in a large page, whose change every address in it names", () => {
    const { tables, cpu, adversary } = watched();
    const entry = tables.map(2 * MIB, 512, 7, 2);
    cpu.load32(2 * MIB);
    tables.map(2 * MIB, 1024, 7, 2);
    cpu.load32(2 * MIB + 0x3000);
    expect(adversary.reports).toMatchObject([{ stale: 515, current: 1027, level: 2, change: { address: entry } }]);
    cpu.invlpg(2 * MIB + 0x7000);
    expect(adversary.forgotten()).toEqual([]);
  });

  test("a global translation that another PCID uses is named by the entries that it was made from", () => {
    const { tables, cpu, adversary } = watched();
    const entry = tables.map(0x5000, 100, 7 + GLOBAL);
    cpu.load32(0x5000);
    tables.map(0x5000, 101, 7 + GLOBAL);
    cpu.writeCr3(tables.root * 4096 + 2);
    cpu.load32(0x5000);
    expect(adversary.reports).toMatchObject([{ pcid: 2, global: true, change: { level: 1, address: entry } }]);
  });

  test("data and instructions are told apart: what was fetched anew does not excuse what is loaded", () => {
    const { tables, cpu, adversary } = watched();
    const entry = tables.map(0x5000, 100);
    cpu.load32(0x5000);
    tables.map(0x5000, 101);
    cpu.fetch32(0x5000);
    expect(adversary.reports).toEqual([]);
    cpu.load32(0x5000);
    expect(adversary.reports).toMatchObject([{ access: "read", stale: 100, change: { address: entry } }]);
  });
});

describe("an adversary that comes later", () => {
  test("names changes of what the CPU had cached before: leaves, large pages, and entries above", () => {
    const machine = ramMachine(8 * MIB);
    const cpu = cpuOf(machine);
    const tables = new Tables(machine, 1);
    tables.activate(cpu);
    const leaf = tables.map(0x5000, 100);
    tables.map(0x6000, 102);
    tables.map(0x200000, 512, 7, 2);
    const directory = tables.entryAddress(0x5000, 2);
    const large = tables.entryAddress(0x200000, 2);
    for (const va of [0x5000, 0x200000]) cpu.load32(va);
    const adversary = new Adversary(cpu, machine.scheduler.random, { onStale: "collect", speculation: 0 });
    tables.map(0x5000, 101);
    tables.map(0x200000, 1024, 7, 2);
    cpu.load32(0x5000);
    cpu.load32(0x200000);
    expect(adversary.reports.map((report) => report.change?.address)).toEqual([leaf, large]);
    // Another page table: a page of it that is walked from the cached PD entry is stale as well.
    tables.write(directory, 50 * 4096 + 7, 0);
    cpu.load32(0x6000);
    expect(adversary.reports.at(-1)).toMatchObject({ page: 0x6000, stale: 102, current: -1 });
    expect(adversary.reports.at(-1)?.change).toMatchObject({ level: 2, address: directory });
    machine.check();
  });

  test("says nothing of a change before it came whose translation the tables do not give any more", () => {
    const machine = ramMachine(8 * MIB);
    const cpu = cpuOf(machine);
    const tables = new Tables(machine, 1);
    tables.activate(cpu);
    tables.map(0x5000, 100);
    cpu.load32(0x5000);
    tables.map(0x5000, 101);
    const adversary = new Adversary(cpu, machine.scheduler.random, { onStale: "collect", speculation: 0 });
    cpu.load32(0x5000);
    expect(adversary.reports).toMatchObject([{ wrong: "frame", stale: 100, current: 101, change: null }]);
  });
});
