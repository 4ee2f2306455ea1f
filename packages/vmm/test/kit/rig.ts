/** A small machine with a manager on it, for tests. */
import { Machine, physicalMapFromJson, type Cpu } from "@pagewright/machine";
import { Pmm } from "@pagewright/pmm";
import { MemorySwap, Vmm, type AddressSpace, type VmmOptions } from "@pagewright/vmm";
import { CpuTlbControl, X86FaultHandler, X86System, type X86SystemOptions } from "@pagewright/vmm/x86";

/** What {@link rigOf} makes. */
export interface Rig {
  readonly machine: Machine;
  readonly cpus: readonly Cpu[];
  readonly cpu: Cpu;
  readonly pmm: Pmm;
  readonly system: X86System;
  readonly control: CpuTlbControl;
  readonly vmm: Vmm;
  /** Which processor runs. */
  current: number;
}

/** A machine of `mebibytes` MiB and a manager on it. `tables`: what its page tables are made with beside what the rig decides. */
export function rigOf(
  options: Partial<VmmOptions> = {},
  mebibytes = 64,
  cpus = 1,
  tables: Partial<X86SystemOptions> = {},
): Rig {
  const end = (mebibytes * 1048576 - 1).toString(16);
  const map = physicalMapFromJson({
    entries: [
      { base: "0x0", end: "0x9fbff", type: 1 },
      { base: "0x100000", end: `0x${end}`, type: 1 },
    ],
  });
  const machine = new Machine({ map, cpus });
  const pmm = new Pmm({ ranges: map.frameRanges() });
  const state = { current: 0 };
  const current = (): number => state.current;
  const system = new X86System({ cpus: machine.cpus, current, bootMemory: machine.memory, frames: pmm, ...tables });
  const control = new CpuTlbControl(machine.cpus, current, system.kernel.root);
  const vmm = new Vmm({
    frames: pmm,
    window: system.windows,
    tables: system,
    tlb: control,
    spaceSwitch: control,
    special: pmm,
    swap: [new MemorySwap(4096)],
    ...options,
  });
  const handler = new X86FaultHandler(vmm, control);
  const cpu = machine.cpus[0];
  if (cpu === undefined) throw new Error("no processor");
  for (const each of machine.cpus) each.faultHandler = handler;
  return {
    machine,
    cpus: machine.cpus,
    cpu,
    pmm,
    system,
    control,
    vmm,
    get current() {
      return state.current;
    },
    set current(number) {
      state.current = number;
    },
  };
}

/** A new space of the manager. */
export function spaceOf(vmm: Vmm): AddressSpace {
  const space = vmm.createSpace();
  if (space === null) throw new Error("no space");
  return space;
}
