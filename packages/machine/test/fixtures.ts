import { firmwareMapOf, Machine, PhysicalMap } from "@pagewright/machine";
import type { Cpu, MachineOptions, Pfn, VirtAddr } from "@pagewright/machine";

/** A map with RAM at [0, bytes). */
export function ramMap(bytes: number): PhysicalMap {
  return new PhysicalMap(firmwareMapOf([{ base: 0n, length: BigInt(bytes), type: 1 }]));
}

/** A machine with `bytes` of RAM at 0. */
export function ramMachine(bytes: number, options: Partial<MachineOptions> = {}): Machine {
  return new Machine({ map: ramMap(bytes), ...options });
}

/** Builds 4-level tables by hand, with frames from `next` on: entries of any level, nothing hidden. */
export class Tables {
  readonly root: Pfn;
  readonly #machine: Machine;
  #next: Pfn;

  constructor(machine: Machine, first: Pfn) {
    this.#machine = machine;
    this.root = first;
    this.#next = first + 1;
  }

  /** The address of the entry of `level` for `va`, making tables above it. */
  entryAddress(va: VirtAddr, level: number, rights = 7): number {
    let table = this.root;
    for (let at = 4; at > level; at--) {
      const address = table * 4096 + this.#index(va, at) * 8;
      if (this.#machine.memory.read(address, 4) % 2 === 0) {
        this.write(address, this.#next * 4096 + rights, 0);
        this.#next++;
      }
      const low = this.#machine.memory.read(address, 4);
      table = Math.floor(low / 4096) + (this.#machine.memory.read(address + 4, 4) & 0xfffff) * 2 ** 20;
    }
    return table * 4096 + this.#index(va, level) * 8;
  }

  #index(va: VirtAddr, level: number): number {
    return Math.floor(va / 2 ** (12 + 9 * (level - 1))) & 511;
  }

  /** Writes an entry. */
  write(address: number, low: number, high: number): void {
    this.#machine.memory.write(address, 4, low);
    this.#machine.memory.write(address + 4, 4, high);
  }

  /** Maps a page of `level` (1: 4K, 2: 2M, 3: 1G) with low-word flags. */
  map(va: VirtAddr, pfn: Pfn, flags = 7, level = 1, high = 0): number {
    const address = this.entryAddress(va, level);
    const low = (pfn & 0xfffff) * 4096 + flags + (level > 1 ? 0x80 : 0);
    this.write(address, low, high + Math.floor(pfn / 2 ** 20));
    return address;
  }

  /** Makes `cpu` use these tables. */
  activate(cpu: Cpu): void {
    const address = this.root * 4096;
    cpu.writeCr3(address >>> 0, Math.floor(address / 2 ** 32));
  }
}

/** The CPU of that number. */
export function cpuOf(machine: Machine, id = 0): Cpu {
  const cpu = machine.cpus[id];
  if (cpu === undefined) throw new Error(`there is no CPU ${id}`);
  return cpu;
}

/** The first of two pages next to each other in virtual memory whose frames are not neighbours; see {@link twoPages}. */
export const PAGE = 0x5000;
/** The second page. */
export const NEXT: VirtAddr = PAGE + 4096;
/** The frame of the first page. */
export const FRAME = 100;
/** The frame of the second page. */
export const NEXT_FRAME = 90;

/** A machine of 4 MiB whose CPU has {@link PAGE} and {@link NEXT} mapped for everything. */
export function twoPages(): { machine: Machine; cpu: Cpu; tables: Tables } {
  const machine = ramMachine(4 * 2 ** 20);
  const cpu = cpuOf(machine);
  const tables = new Tables(machine, 16);
  tables.activate(cpu);
  tables.map(PAGE, FRAME);
  tables.map(NEXT, NEXT_FRAME);
  return { machine, cpu, tables };
}
