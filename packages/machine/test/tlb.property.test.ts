import {
  CR4_PAE,
  CR4_PCIDE,
  CR4_PGE,
  LONG_MODE,
  MIB,
  PLAIN_64X4_TLB,
  ROOMY_TLB,
  SKYLAKE_TLB,
  ZEN2_TLB,
} from "@pagewright/machine";
import type { Cpu, Machine, TlbGeometry, TlbShape, VirtAddr } from "@pagewright/machine";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ramMachine } from "./fixtures.ts";

const tiny: TlbShape = { sets: 2, ways: 2 };
/** Small enough that everything is evicted all the time. */
const TINY_TLB: TlbGeometry = {
  name: "tiny",
  data: { "4K": tiny, "2M": tiny, "1G": tiny },
  code: { "4K": tiny, "2M": tiny },
  second: { shared: { sets: 2, ways: 3 }, "1G": null },
  structures: { pml4: 1, pdpt: 1, pd: 2 },
  replacement: "lru",
};

const DIRECTORIES = 2;
const PAGES = 3;
const TABLES = [8, 9] as const;
const ROOT = 1;
const FAULT = -1;
const pageOf = (directory: number, page: number): VirtAddr => directory * 2 * MIB + page * 4096;

/**
 * The oracle: a fully associative TLB of any size that may have filled at any moment since the last invalidation, and may
 * use any upper-level entry seen since. It knows which translations hardware could give, not which one it gives.
 */
class Oracle {
  readonly #directories: { time: number; value: number }[][] = [];
  readonly #entries = new Map<string, { time: number; value: number }[]>();
  readonly #flushed = new Map<string, number>();
  #now = 1;

  setDirectory(directory: number, table: number): void {
    (this.#directories[directory] ??= []).push({ time: this.#now++, value: table });
  }

  setEntry(table: number, page: number, value: number): void {
    const key = `${table}:${page}`;
    const log = this.#entries.get(key) ?? [];
    log.push({ time: this.#now++, value });
    this.#entries.set(key, log);
  }

  flush(pcid: number, address: VirtAddr, globals: boolean): void {
    const time = this.#now++;
    this.#flushed.set(`${pcid}:${address}`, time);
    if (globals) this.#flushed.set(`global:${address}`, time);
  }

  #since(log: readonly { time: number; value: number }[], start: number): number[] {
    const first = log.findLastIndex((one) => one.time <= start);
    return log.slice(Math.max(first, 0)).map((one) => one.value);
  }

  /** Frames (or FAULT) that an access may reach. */
  possible(pcid: number, directory: number, page: number): Set<number> {
    const address = pageOf(directory, page);
    const out = new Set<number>();
    for (const [key, globalOnly] of [
      [`${pcid}:${address}`, false],
      [`global:${address}`, true],
    ] as const) {
      const start = this.#flushed.get(key) ?? 0;
      for (const table of this.#since(this.#directories[directory] ?? [], start)) {
        if (table === 0) {
          if (!globalOnly) out.add(FAULT);
          continue;
        }
        for (const value of this.#since(this.#entries.get(`${table}:${page}`) ?? [], start)) {
          const present = value % 2 === 1;
          const global = (value & 0x100) !== 0;
          if (globalOnly && !global) continue;
          out.add(present ? Math.floor(value / 4096) : FAULT);
        }
      }
    }
    return out;
  }
}

type Step =
  | { kind: "entry"; table: number; page: number; frame: number; global: boolean; present: boolean }
  | { kind: "directory"; directory: number; table: number }
  | { kind: "access"; directory: number; page: number; write: boolean; fetch: boolean }
  | { kind: "invlpg"; directory: number; page: number }
  | { kind: "switch"; pcid: number; keep: boolean }
  | { kind: "invpcid"; type: number; pcid: number; directory: number; page: number }
  | { kind: "pge" };

const directory = fc.nat(DIRECTORIES - 1);
const page = fc.nat(PAGES - 1);
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant("entry" as const),
        table: fc.constantFrom(...TABLES),
        page,
        frame: fc.integer({ min: 100, max: 140 }),
        global: fc.boolean(),
        present: fc.constantFrom(true, true, true, false),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant("directory" as const),
        directory,
        table: fc.constantFrom(0, ...TABLES),
      }),
    },
    {
      weight: 10,
      arbitrary: fc.record({
        kind: fc.constant("access" as const),
        directory,
        page,
        write: fc.boolean(),
        fetch: fc.boolean(),
      }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("invlpg" as const), directory, page }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("switch" as const), pcid: fc.nat(2), keep: fc.boolean() }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant("invpcid" as const),
        type: fc.nat(3),
        pcid: fc.nat(2),
        directory,
        page,
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("pge" as const) }) },
  ),
  { maxLength: 150, minLength: 40 },
);

class Bench {
  readonly machine: Machine;
  readonly cpu: Cpu;
  readonly oracle = new Oracle();
  #pcid = 0;

  constructor(tlb: TlbGeometry) {
    this.machine = ramMachine(4 * MIB, { tlb });
    const cpu = this.machine.cpus[0];
    if (cpu === undefined) throw new Error("no CPU");
    this.cpu = cpu;
    cpu.loadRegisters({ ...LONG_MODE, cr4: CR4_PAE + CR4_PGE + CR4_PCIDE });
    this.#write(ROOT, 0, 2 * 4096 + 7);
    this.#write(2, 0, 3 * 4096 + 7);
    for (const [at, table] of TABLES.entries()) {
      this.run({ kind: "directory", directory: at, table });
      for (let one = 0; one < PAGES; one++)
        this.run({ kind: "entry", table, page: one, frame: 150 + at * 8 + one, global: false, present: true });
    }
    cpu.writeCr3(ROOT * 4096);
  }

  #write(table: number, index: number, low: number): void {
    this.machine.memory.write(table * 4096 + index * 8, 4, low);
  }

  #flushAll(pcids: readonly number[], globals: boolean): void {
    for (const pcid of pcids)
      for (let at = 0; at < DIRECTORIES; at++)
        for (let one = 0; one < PAGES; one++) this.oracle.flush(pcid, pageOf(at, one), globals);
  }

  run(step: Step): void {
    const { cpu, oracle } = this;
    switch (step.kind) {
      case "entry": {
        const value = step.frame * 4096 + (step.global ? 0x100 : 0) + (step.present ? 7 : 6);
        this.#write(step.table, step.page, value);
        oracle.setEntry(step.table, step.page, value);
        break;
      }
      case "directory":
        this.#write(3, step.directory, step.table === 0 ? 0 : step.table * 4096 + 7);
        oracle.setDirectory(step.directory, step.table);
        break;
      case "access":
        this.#access(step.directory, step.page, step.fetch ? 2 : step.write ? 1 : 0);
        break;
      case "invlpg":
        cpu.invlpg(pageOf(step.directory, step.page));
        oracle.flush(this.#pcid, pageOf(step.directory, step.page), true);
        break;
      case "switch":
        this.#pcid = step.pcid;
        cpu.writeCr3(ROOT * 4096 + step.pcid, step.keep ? 0x80000000 : 0);
        if (!step.keep) this.#flushAll([step.pcid], false);
        break;
      case "invpcid":
        cpu.invpcid(step.type, step.pcid, pageOf(step.directory, step.page));
        if (step.type === 0) oracle.flush(step.pcid, pageOf(step.directory, step.page), false);
        else this.#flushAll(step.type === 1 ? [step.pcid] : [0, 1, 2], step.type === 2);
        break;
      case "pge":
        cpu.writeCr4(CR4_PAE + CR4_PCIDE);
        cpu.writeCr4(CR4_PAE + CR4_PGE + CR4_PCIDE);
        this.#flushAll([0, 1, 2], true);
        break;
    }
  }

  #access(directoryIndex: number, pageIndex: number, access: number): void {
    const va = pageOf(directoryIndex, pageIndex);
    const reached = this.cpu.physicalOf(va, access);
    const frame = reached < 0 ? FAULT : reached / 4096;
    const possible = this.oracle.possible(this.#pcid, directoryIndex, pageIndex);
    if (!possible.has(frame))
      throw new Error(`page ${va} gave ${frame}, hardware could give ${[...possible].join(", ")}`);
    if (frame === FAULT) return;
    // The short way must lead to the same bytes.
    const word = this.machine.memory.read(reached, 4);
    expect(access === 2 ? this.cpu.fetch32(va) : this.cpu.load32(va)).toSatisfy(
      (value) => value === word || possible.size > 1,
    );
  }
}

describe("TLB against an oracle", () => {
  for (const geometry of [TINY_TLB, PLAIN_64X4_TLB, SKYLAKE_TLB, ZEN2_TLB, ROOMY_TLB])
    test(`${geometry.name}: never a translation that hardware could not give`, () => {
      fc.assert(
        fc.property(steps, (list) => {
          const bench = new Bench(geometry);
          for (const step of list) bench.run(step);
          bench.machine.check();
        }),
        { numRuns: 60, seed: 20 },
      );
    });
});
