import {
  ACCESS_AC,
  ACCESS_FETCH,
  ACCESS_KIND,
  ACCESS_READ,
  ACCESS_USER,
  ACCESS_WRITE,
  TRANSLATED,
  Walk,
  walkExact,
} from "@pagewright/x86-paging";
import {
  CR4_LA57,
  CR4_PCIDE,
  CR4_PGE,
  CR4_SMAP,
  CR4_SMEP,
  EFER_LMA,
  EFER_LME,
  LONG_MODE,
  MIB,
  PLAIN_64X4_TLB,
  ROOMY_TLB,
  SeededRandom,
  SKYLAKE_TLB,
  ZEN2_TLB,
} from "@pagewright/machine";
import type { Machine, Registers, TlbGeometry, VirtAddr } from "@pagewright/machine";
import { describe, expect, test } from "vitest";
import { cpuOf, ramMachine } from "./fixtures.ts";

const FRAME = 4096;
/** Tables are in these frames; the first is the root, and every one may be a table of any level. */
const FIRST_TABLE = 1;
const TABLES = 24;
/** Leaf frames. */
const FIRST_LEAF = 600;
const LEAVES = 64;
const INDICES = [0, 1, 2, 255, 256, 511];

const P = 1;
const W = 2;
const U = 4;
const A = 0x20;
const D = 0x40;
const LARGE = 0x80;
const G = 0x100;

interface Case {
  readonly name: string;
  readonly registers: Registers;
  readonly levels: 4 | 5;
}

const CASES: readonly Case[] = [
  { name: "4 levels", registers: LONG_MODE, levels: 4 },
  {
    name: "4 levels, global pages, SMEP, SMAP, PCIDs",
    registers: { ...LONG_MODE, cr4: LONG_MODE.cr4 + CR4_PGE + CR4_SMEP + CR4_SMAP + CR4_PCIDE },
    levels: 4,
  },
  {
    name: "4 levels without NXE",
    registers: { ...LONG_MODE, efer: EFER_LME + EFER_LMA },
    levels: 4,
  },
  { name: "5 levels", registers: { ...LONG_MODE, cr4: LONG_MODE.cr4 + CR4_LA57 }, levels: 5 },
];

/** Random tables on a machine, and accesses whose outcome the exact walk over the tables as they are has to agree with. */
class Walker {
  readonly machine: Machine;
  readonly #levels: number;
  readonly #random: SeededRandom;
  readonly #walk = new Walk();

  constructor(tlb: TlbGeometry, { registers, levels }: Case, seed: number) {
    this.machine = ramMachine(16 * MIB, { tlb, registers });
    this.#levels = levels;
    this.#random = new SeededRandom(seed);
    cpuOf(this.machine).useTable(FIRST_TABLE * FRAME);
  }

  #pick<T>(of: readonly T[]): T {
    const found = of[this.#random.below(of.length)];
    if (found === undefined) throw new Error("nothing to pick from");
    return found;
  }

  /** An address whose indices are among those that entries are written to. */
  #address(): VirtAddr {
    let page = 0;
    for (let level = 0; level < 4; level++) page = page * 512 + this.#pick(INDICES);
    const raw = page * FRAME + this.#random.below(FRAME / 4) * 4;
    return raw >= 2 ** 47 ? raw - 2 ** 48 : raw;
  }

  /** Writes a random entry somewhere in the tables; most are in order, some absent, some odd. */
  change(): void {
    const random = this.#random;
    const table = FIRST_TABLE + random.below(TABLES);
    const at = table * FRAME + this.#pick(INDICES) * 8;
    const kind = random.below(10);
    let low = P + W + U + (random.chance(0.8) ? A : 0) + (random.chance(0.5) ? D : 0) + (random.chance(0.2) ? G : 0);
    if (random.chance(0.15)) low -= W;
    if (random.chance(0.15)) low -= U;
    let high = random.chance(0.1) ? 2 ** 31 : 0;
    if (kind < 6) low += (FIRST_TABLE + random.below(TABLES)) * FRAME;
    else if (kind < 8) low += (FIRST_LEAF + random.below(LEAVES)) * FRAME;
    else if (kind === 8) low += LARGE + (random.chance(0.3) ? FRAME * 3 : 0);
    else low = random.chance(0.5) ? 0 : low - P;
    if (random.chance(0.03)) high += 2 ** (20 + random.below(11));
    this.machine.memory.write(at, 4, low);
    this.machine.memory.write(at + 4, 4, high);
  }

  /** Changes some entries and flushes, by any of the ways that flush everything that they could concern. */
  changeMany(): void {
    const cpu = cpuOf(this.machine);
    for (let count = this.#random.below(12); count >= 0; count--) this.change();
    if (this.#random.chance(0.5)) cpu.invpcid(2, 0, 0);
    else {
      const { cr4 } = cpu.registers;
      const global = Math.floor(cr4 / CR4_PGE) % 2 === 1;
      cpu.writeCr4(global ? cr4 - CR4_PGE : cr4 + CR4_PGE);
      cpu.writeCr4(cr4);
    }
  }

  /** Changes some entries, invalidates one page alone, and accesses that: nothing older than the INVLPG may be seen there. */
  changeAndInvalidate(): void {
    for (let count = this.#random.below(4); count > 0; count--) this.change();
    const va = this.#address();
    cpuOf(this.machine).invlpg(va);
    this.access(va);
    this.access(va);
  }

  #tables(): Uint8Array {
    const bytes = new Uint8Array(TABLES * FRAME);
    this.machine.memory.readBytes(FIRST_TABLE * FRAME, bytes);
    return bytes;
  }

  /** Does one access and compares it with the walk. */
  access(va: VirtAddr = this.#address()): void {
    const { machine } = this;
    const cpu = cpuOf(machine);
    const kind = this.#pick([ACCESS_READ, ACCESS_WRITE, ACCESS_FETCH]);
    const user = this.#random.chance(0.5);
    const ac = this.#random.chance(0.2);
    cpu.setCpl(user ? 3 : 0);
    cpu.setAc(ac);
    const full = kind + (user ? ACCESS_USER : 0) + (ac ? ACCESS_AC : 0);
    const vpn = Math.floor(va / FRAME);
    const lowWord = (vpn & 0xfffff) * FRAME + (va & 0xfff);
    const code = walkExact(cpu.mmu.state, machine.memory, lowWord, Math.floor(vpn / 2 ** 20) >>> 0, full, this.#walk);
    const before = this.#tables();
    const address = this.#walk.pfn * FRAME + (va & 0xfff);
    const value = code === TRANSLATED ? machine.memory.read(address, 4) : -1;
    const expected = this.#marked(before, code, kind);
    if (code !== TRANSLATED) {
      const got = this.#do(kind, va, 0);
      expect([va, kind, got, cpu.fault.error]).toEqual([va, kind, -1, code]);
      return;
    }
    // A store that hits a table is seen by later walks: it stores what is there, once A and D are set.
    const isTable = address >= FIRST_TABLE * FRAME && address < (FIRST_TABLE + TABLES) * FRAME;
    if (kind === ACCESS_WRITE && isTable) return;
    const got = this.#do(kind, va, value);
    if (!isTable) expect([va, kind, got]).toEqual([va, kind, kind === ACCESS_WRITE ? 1 : value]);
    expect(Buffer.compare(this.#tables(), expected), `A and D after access ${kind} of ${va}`).toBe(0);
  }

  #do(kind: number, va: VirtAddr, value: number): number {
    const cpu = cpuOf(this.machine);
    if (kind === ACCESS_READ) return cpu.load32(va);
    if (kind === ACCESS_FETCH) return cpu.fetch32(va);
    return cpu.store32(va, value) ? 1 : -1;
  }

  /** The tables with A set in every entry on the way, and D in the leaf of a store. */
  #marked(before: Uint8Array, code: number, kind: number): Uint8Array {
    const after = before.slice();
    const walk = this.#walk;
    if (code !== TRANSLATED) return after;
    for (let level = this.#levels; level >= walk.level; level--) {
      const at = (walk.tables[level]! - FIRST_TABLE) * FRAME + walk.indices[level]! * 8;
      const isDirty = level === walk.level && (kind & ACCESS_KIND) === ACCESS_WRITE;
      after[at] = after[at]! | A | (isDirty ? D : 0);
    }
    return after;
  }
}

describe.each(CASES)("accesses through random tables: $name", (one) => {
  test.each([ROOMY_TLB, PLAIN_64X4_TLB, SKYLAKE_TLB, ZEN2_TLB])(
    "property: what the exact walk of the tables says, cold and warm, faults and A and D bits too ($name)",
    (tlb) => {
      for (let seed = 1; seed <= 2; seed++) {
        const walker = new Walker(tlb, one, seed * 7919);
        for (let entry = 0; entry < 200; entry++) walker.change();
        for (let round = 0; round < 8; round++) {
          walker.changeMany();
          for (let access = 0; access < 60; access++) walker.access();
        }
        for (let round = 0; round < 200; round++) walker.changeAndInvalidate();
        walker.machine.check();
      }
    },
  );
});
