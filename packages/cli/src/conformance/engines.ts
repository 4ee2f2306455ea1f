/** What can run a recorded case: the bare walker, and a CPU of the machine. */
import { firmwareMapOf, Machine, PHYSICAL_LIMIT, PhysicalMap } from "@pagewright/machine";
import type { Cpu } from "@pagewright/machine";
import {
  ABSENT_FRAME,
  ACCESS_AC,
  ACCESS_FETCH,
  ACCESS_IMPLICIT,
  ACCESS_READ,
  ACCESS_USER,
  ACCESS_WRITE,
  NON_CANONICAL,
  stateOfRegisters,
  TRANSLATED,
  Walk,
  walkMarking,
  wordsOfBigint,
} from "@pagewright/x86-paging";
import type { Pfn } from "@pagewright/x86-paging";
import type { CaseAccess, CaseResult, MmuCase } from "./mmu-case.ts";

/** Runs cases. Memory holds the case's entries and is otherwise zero. */
export interface Engine {
  readonly name: "walker" | "mmu";
  /** Makes the access and tells how it ended. */
  run(one: MmuCase): CaseResult;
  /** What an entry holds afterwards. */
  entryAt(address: bigint): bigint;
}

const ACCESSES: Readonly<Record<CaseAccess, number>> = {
  read: ACCESS_READ,
  write: ACCESS_WRITE,
  execute: ACCESS_FETCH,
  "implicit-read": ACCESS_READ | ACCESS_IMPLICIT,
};

/** The walker of x86-paging over a handful of frames. */
export class WalkerEngine implements Engine {
  readonly name = "walker";
  readonly #frames = new Map<Pfn, Uint32Array>();
  readonly #walk = new Walk();

  /** A frame's words. */
  words(pfn: Pfn): Uint32Array {
    return this.#frames.get(pfn) ?? ABSENT_FRAME;
  }

  /** Always 0. */
  base(): number {
    return 0;
  }

  run(one: MmuCase): CaseResult {
    this.#frames.clear();
    for (const entry of one.entries) this.#put(entry.address, entry.before);
    const { cr0, cr3, cr4, efer, pkru, maxphyaddr } = one;
    const state = stateOfRegisters({ cr0, cr3, cr4, efer, pkru, maxPhysicalBits: maxphyaddr }, this);
    const [low, high] = wordsOfBigint(one.va);
    const access = ACCESSES[one.access] | (one.cpl === 3 ? ACCESS_USER : 0) | (one.ac ? ACCESS_AC : 0);
    const code = walkMarking(state, this, low, high, access, this.#walk);
    if (code === TRANSLATED) return { outcome: "ok", pa: BigInt(this.#walk.pfn) * 4096n + (one.va & 0xfffn) };
    if (code === NON_CANONICAL) return { outcome: "fault", vector: 13 };
    return { outcome: "fault", vector: 14, error: code, cr2: one.va };
  }

  entryAt(address: bigint): bigint {
    const words = this.words(Number(address >> 12n));
    const at = Number(address & 0xfffn) >> 2;
    return (BigInt(words[at + 1]!) << 32n) | BigInt(words[at]!);
  }

  #put(address: bigint, value: bigint): void {
    const pfn = Number(address >> 12n);
    const words = this.#frames.get(pfn) ?? new Uint32Array(1024);
    this.#frames.set(pfn, words);
    const at = Number(address & 0xfffn) >> 2;
    [words[at], words[at + 1]] = wordsOfBigint(value);
  }
}

/** Host memory of the machine: a few frames at a time are touched. */
const HOST_BYTES = 2 ** 25;
/** Cases after which the frames touched are given back. */
const CASES_PER_POWER_CYCLE = 500;

/** A CPU, with its MMU and TLB, of a machine whose RAM is the whole physical address space. */
export class MachineEngine implements Engine {
  readonly name = "mmu";
  readonly #machines = new Map<number, Machine>();
  readonly #written = new Map<Machine, number[]>();
  #machine: Machine | undefined;
  #runs = 0;

  run(one: MmuCase): CaseResult {
    const machine = this.#machineFor(one.maxphyaddr);
    const cpu = machine.cpus[0];
    if (cpu === undefined) throw new Error("the machine has no CPU");
    this.#machine = machine;
    this.#clean(machine);
    this.#written.set(
      machine,
      one.entries.map((entry) => Number(entry.address)),
    );
    for (const entry of one.entries) {
      const [low, high] = wordsOfBigint(entry.before);
      machine.memory.write(Number(entry.address), 4, low);
      machine.memory.write(Number(entry.address) + 4, 4, high);
    }
    this.#prepare(cpu, one);
    return this.#access(cpu, one);
  }

  entryAt(address: bigint): bigint {
    const memory = this.#machine?.memory;
    if (memory === undefined) return 0n;
    const low = memory.read(Number(address), 4) >>> 0;
    const high = memory.read(Number(address) + 4, 4) >>> 0;
    return (BigInt(high) << 32n) | BigInt(low);
  }

  #machineFor(physicalBits: number): Machine {
    let machine = this.#machines.get(physicalBits);
    if (machine === undefined) {
      const map = new PhysicalMap(firmwareMapOf([{ base: 0n, length: BigInt(PHYSICAL_LIMIT), type: 1 }]));
      machine = new Machine({ map, hostBytes: HOST_BYTES, physicalBits });
      this.#machines.set(physicalBits, machine);
    }
    return machine;
  }

  /** Makes memory read as zero again. */
  #clean(machine: Machine): void {
    if (++this.#runs % CASES_PER_POWER_CYCLE === 0) machine.memory.powerCycle();
    for (const address of this.#written.get(machine) ?? []) {
      machine.memory.write(address, 4, 0);
      machine.memory.write(address + 4, 4, 0);
    }
  }

  #prepare(cpu: Cpu, one: MmuCase): void {
    const [cr3Low, cr3High] = wordsOfBigint(one.cr3 & ~0xfffn);
    cpu.reset({
      cr0: Number(one.cr0),
      cr3Low,
      cr3High,
      cr4: Number(one.cr4),
      efer: Number(one.efer),
      pkru: Number(one.pkru),
      pkrs: 0,
    });
    cpu.setCpl(one.cpl);
    cpu.setAc(one.ac);
    cpu.setCr2(0, 0);
  }

  #access(cpu: Cpu, one: MmuCase): CaseResult {
    const page = Number(BigInt.asIntN(64, one.va) >> 12n);
    const offset = Number(one.va & 0xfffn);
    const pfn = cpu.translate(page, offset, ACCESSES[one.access]);
    if (pfn >= 0) return { outcome: "ok", pa: BigInt(pfn) * 4096n + BigInt(offset) };
    if (cpu.fault.kind === "protection") return { outcome: "fault", vector: 13 };
    const cr2 = new Uint32Array(2);
    cpu.cr2Words(cr2);
    return { outcome: "fault", vector: 14, error: cpu.fault.error, cr2: (BigInt(cr2[1]!) << 32n) | BigInt(cr2[0]!) };
  }
}
