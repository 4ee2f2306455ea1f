import { firmwareMapOf, Machine, PHYSICAL_LIMIT, PhysicalMap } from "@pagewright/machine";
import type { Cpu, PhysAddr } from "@pagewright/machine";
import { ACCESS_FETCH, ACCESS_IMPLICIT, ACCESS_READ, ACCESS_WRITE } from "@pagewright/x86-paging";

/** One recorded access: registers, the entries on the way, and what the processor did. */
export interface MmuCase {
  readonly id: string;
  readonly maxphyaddr: number;
  readonly cr0: string;
  readonly cr3: string;
  readonly cr4: string;
  readonly efer: string;
  readonly pkru: string;
  readonly ac: boolean;
  readonly cpl: number;
  readonly access: "read" | "write" | "execute" | "implicit-read";
  readonly va: string;
  readonly entries: readonly {
    readonly addr: string;
    readonly before: string;
    readonly after: string;
  }[];
  readonly result: {
    readonly outcome: "ok" | "fault";
    readonly pa?: string;
    readonly vector?: number;
    readonly error?: string;
    readonly cr2?: string;
  };
}

const ACCESSES = {
  read: ACCESS_READ,
  write: ACCESS_WRITE,
  execute: ACCESS_FETCH,
  "implicit-read": ACCESS_READ + ACCESS_IMPLICIT,
} as const;

/** Runs recorded accesses through a CPU of a machine whose RAM is the whole physical address space. */
export class CaseRunner {
  readonly #machines = new Map<number, Machine>();
  readonly #written = new Set<PhysAddr>();
  #runs = 0;

  #zero(machine: Machine, address: PhysAddr): void {
    machine.memory.write(address, 4, 0);
    machine.memory.write(address + 4, 4, 0);
  }

  cpuFor(one: MmuCase): Cpu {
    let machine = this.#machines.get(one.maxphyaddr);
    if (machine === undefined) {
      const raw = [{ base: 0n, length: BigInt(PHYSICAL_LIMIT), type: 1 }];
      const map = new PhysicalMap(firmwareMapOf(raw));
      machine = new Machine({ map, hostBytes: 2 ** 25, physicalBits: one.maxphyaddr });
      this.#machines.set(one.maxphyaddr, machine);
    }
    for (const other of this.#machines.values()) for (const address of this.#written) this.#zero(other, address);
    this.#written.clear();
    if (++this.#runs % 500 === 0) for (const other of this.#machines.values()) other.memory.powerCycle();
    const cpu = machine.cpus[0];
    if (cpu === undefined) throw new Error("no CPU");
    const cr3 = BigInt(one.cr3);
    cpu.reset({
      cr0: Number(one.cr0),
      cr3Low: Number(cr3 & 0xfffff000n),
      cr3High: Number(cr3 >> 32n),
      cr4: Number(one.cr4),
      efer: Number(one.efer),
      pkru: Number(one.pkru),
      pkrs: 0,
    });
    for (const entry of one.entries) this.write(cpu, Number(entry.addr), BigInt(entry.before));
    cpu.setCpl(one.cpl);
    cpu.setAc(one.ac);
    return cpu;
  }

  check(): void {
    for (const machine of this.#machines.values()) machine.check();
  }

  write(cpu: Cpu, address: PhysAddr, value: bigint): void {
    this.#written.add(address);
    cpu.memory.write(address, 4, Number(value & 0xffffffffn));
    cpu.memory.write(address + 4, 4, Number(value >> 32n));
  }

  read(cpu: Cpu, address: PhysAddr): bigint {
    return (BigInt(cpu.memory.read(address + 4, 4)) << 32n) + BigInt(cpu.memory.read(address, 4));
  }

  /** Makes the access and returns what the case calls its result: `ok PA` or `fault …`. */
  access(cpu: Cpu, one: MmuCase): string {
    const va = BigInt.asIntN(64, BigInt(one.va));
    const page = Number(va >> 12n);
    const offset = Number(va & 0xfffn);
    cpu.setCr2(0, 0);
    const pfn = cpu.translate(page, offset, ACCESSES[one.access]);
    if (pfn >= 0) return `ok 0x${(BigInt(pfn) * 4096n + BigInt(offset)).toString(16)}`;
    if (cpu.fault.kind === "protection") return "fault 13";
    const words = new Uint32Array(2);
    cpu.cr2Words(words);
    const cr2 = (BigInt(words[1] ?? 0) << 32n) + BigInt(words[0] ?? 0);
    return `fault 14 ${cpu.fault.error} 0x${cr2.toString(16)}`;
  }

  /** What the manual says: reserved-bit faults have P set, which one emulator forgets. */
  expected(one: MmuCase): string {
    const { outcome, pa, vector, error, cr2 } = one.result;
    if (outcome === "ok") return `ok ${pa ?? ""}`;
    if (vector === 13) return "fault 13";
    const code = Number(error);
    return `fault 14 ${(code & 8) === 0 ? code : code + ((code & 1) === 0 ? 1 : 0)} ${cr2}`;
  }
}
