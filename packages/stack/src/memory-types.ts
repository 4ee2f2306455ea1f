/** The machine's MTRRs: programmed as firmware leaves them, and read as the manager's memory types. */
import { alignDown, alignUp, combineTypes, isMemory, MIB, MtrrRegisters, synthesiseMtrrs } from "@pagewright/machine";
import type { Machine, MemoryType as MachineType, PhysicalMap, TypeNeed } from "@pagewright/machine";
import type { MemoryType, MemoryTypes, Pfn } from "@pagewright/vmm";

const FRAME_BYTES = 4096;
/** End of conventional memory: video memory and ROMs follow. */
const CONVENTIONAL_END = 640 * 1024;

/** The machine's name of each of the manager's types, by number. */
const NAMES: readonly MachineType[] = ["WB", "WT", "WC", "UC-", "UC"];
const TYPES: readonly MemoryType[] = [0, 1, 2, 3, 4];

/**
 * Returns the registers that firmware would leave for a map: memory write-back, all else uncached, with as few variable ranges as there can be; where that
 * takes more than there are, everything write-back but what is no memory, and where that does not fit either, everything write-back above 1 MiB.
 */
export function firmwareMtrrs(map: PhysicalMap): MtrrRegisters {
  const registers = new MtrrRegisters();
  registers.fixedEnabled = true;
  registers.setFixed(0, CONVENTIONAL_END, "WB");
  const needs: TypeNeed[] = [];
  for (const { start, end, kind } of map.regions()) {
    const memory = isMemory(kind) && kind !== "reserved" && kind !== "rom";
    const first = Math.max(MIB, memory ? alignDown(start, FRAME_BYTES) : alignUp(start, FRAME_BYTES));
    const last = memory ? alignUp(end, FRAME_BYTES) : alignDown(end, FRAME_BYTES);
    const before = needs[needs.length - 1];
    if (before !== undefined && before.type === "WB" && memory && before.end >= first)
      needs[needs.length - 1] = { ...before, end: Math.max(last, before.end) };
    else if (last > first)
      needs.push({ start: Math.max(first, before?.end ?? 0), end: last, type: memory ? "WB" : "UC" });
  }
  const wanted = needs.filter((need) => need.end > need.start);
  for (const defaultType of ["UC", "WB"] as const) {
    const ranges = synthesiseMtrrs(wanted, { defaultType, types: ["WB", "UC"] });
    if (ranges === null || ranges.length > registers.variable.length) continue;
    registers.defaultType = defaultType;
    registers.setRanges(ranges);
    return registers;
  }
  registers.defaultType = "WB";
  return registers;
}

/** What an access comes to: the page's type by PAT, and the range's by MTRR, as the processors combine them. */
export class MtrrMemoryTypes implements MemoryTypes {
  readonly #machine: Machine;

  /** The types of a machine whose processors have equal MTRRs and the PAT that the manager counts on. */
  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** See the MemoryTypes port of vmm. −1 too where the combination is write-protected, which the manager has no name for. */
  effective(start: Pfn, frames: number, wanted: MemoryType): MemoryType | -1 {
    const [cpu] = this.#machine.cpus;
    const pat = NAMES[wanted];
    if (cpu === undefined || pat === undefined) return -1;
    let found: number | undefined;
    for (const { type } of cpu.mtrrs.typesIn(start * FRAME_BYTES, (start + frames) * FRAME_BYTES)) {
      const one = type === null ? -1 : NAMES.indexOf(combineTypes(pat, type));
      if (one === -1 || (found !== undefined && found !== one)) return -1;
      found = one;
    }
    return TYPES.find((type) => type === found) ?? -1;
  }

  /** See the MemoryTypes port of vmm: write-combining buffers go out, and the shared cache forgets everything, which is the only flush that it has. */
  flushCaches(_start: Pfn, _frames: number): void {
    for (const cpu of this.#machine.cpus) cpu.fence();
    this.#machine.cache?.flush();
  }
}
