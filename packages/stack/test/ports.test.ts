/** The ports that only a whole stack implements, held to their packages' suites. */
import { describe, test } from "vitest";

import { combineTypes, MtrrRegisters, physicalMapFromJson } from "@pagewright/machine";
import { faultHandlerSuite, type FaultFixture } from "@pagewright/machine/testing";
import { createStack, type Stack } from "@pagewright/stack";
import type { AddressSpace, VirtAddr } from "@pagewright/vmm";
import { memoryTypesSuite, tlbControlSuite, type MemoryTypesFixture, type TlbFixture } from "@pagewright/vmm/testing";

const CPUS = 3;

function running(): { stack: Stack; space: AddressSpace; address: VirtAddr } {
  const map = physicalMapFromJson({ entries: [{ base: 0, length: 64 * 2 ** 20, type: 1 }] });
  const stack = createStack({ map, cpus: CPUS });
  const space = stack.vmm.createSpace();
  const address = space?.map({ bytes: 4096 });
  if (!space || typeof address !== "number") throw new Error("no memory");
  return { stack, space, address };
}

function faulting(): FaultFixture {
  const { stack, space, address } = running();
  return { handler: stack, cpu: stack.enter(space), absent: address + 8, forbidden: address - 64 * 2 ** 20 };
}

/** Two frames behind one page, told apart by what is in them; the entry changes without the manager's knowledge. */
function remembering(): TlbFixture {
  const { stack, space, address } = running();
  const { cpus, memory } = stack.machine;
  const page = Math.floor(address / 4096);
  stack.enter(space).store32(address, 1);
  const attributes = space.tables.query(page);
  const [first, second] = [space.tables.frame, stack.pmm.take()];
  memory.write(second * 4096, 4, 2);
  const ignore = { invalidate: () => undefined, invalidateSpace: () => undefined, tableFrame: () => undefined };
  return {
    control: stack.control,
    cpus: CPUS,
    root: space.tables.root,
    asid: space.asid,
    page,
    run: (cpu) => {
      if (stack.control.spaceOn(cpu) === space.asid) stack.enter(space, cpu);
    },
    reach: (number) => {
      const cpu = cpus[number];
      if (cpu === undefined) throw new Error(`There is no processor ${number}`);
      cpu.faultHandler = null;
      cpu.setCpl(3);
      const value = cpu.load32(address);
      if (value < 0) return -1;
      return value === 1 ? first : second;
    },
    repoint: () => {
      if (!space.tables.map(page, second, attributes, ignore)) throw new Error("no frame for a table");
      return second;
    },
  };
}

/** The machine's MTRRs and the PAT, read as the manager's memory types. */
function mtrrTypes(): MemoryTypesFixture {
  const registers = new MtrrRegisters();
  registers.setVariable(0, { base: 0, length: 64 * 2 ** 20, type: "WB" });
  const names = ["WB", "WT", "WC", "UC-", "UC"] as const;
  const typeOf = (pfn: number, wanted: number): number => {
    const range = registers.typeAt(pfn * 4096);
    const name = names[wanted];
    if (range === null || name === undefined) return -1;
    return names.findIndex((one) => one === combineTypes(name, range));
  };
  return {
    start: 0x100,
    frames: 16,
    types: {
      effective: (start, frames, wanted) => {
        const first = typeOf(start, wanted);
        for (let pfn = start; pfn < start + frames; pfn++) if (typeOf(pfn, wanted) !== first) return -1;
        return first as 0 | 1 | 2 | 3 | 4 | -1;
      },
      flushCaches: () => undefined,
    },
  };
}

describe("memory types by MTRR and PAT", () => {
  for (const each of memoryTypesSuite) test(each.name, () => each.run(mtrrTypes));
});

describe("page faults end in the manager", () => {
  for (const each of faultHandlerSuite)
    test(each.name, () => {
      each.run(faulting);
    });
});

describe("invalidation on the machine's processors", () => {
  for (const each of tlbControlSuite) test(each.name, () => each.run(remembering));
});
