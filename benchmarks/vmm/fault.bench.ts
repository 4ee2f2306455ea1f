/**
 * The first store to an anonymous page, everything included: fault, frame, zeroing, translation; from fresh frames, and from a stock that was zeroed in idle
 * time. Beside it: Linux, measured now by a small native program in rounds of as many pages.
 *
 * One fault brings one page. Frames come round again from the third round on, so that the quickest round finds them in the host's memory, as Linux finds its own.
 */
import { USER, WRITE, type AddressSpace, type Vmm } from "@pagewright/vmm";

import { measureLinux } from "../fault-linux/linux.ts";
import { PAGE, eachAlone, figure, machineRig, mapped, quickest, plainRig, runningSpace, spaceOf } from "./rig.ts";

const FRESH = 4096;
const STOCK = 1000;
const ROUNDS = 500;

/** Faults of `pages` fresh pages, nanoseconds each. */
function measure(space: AddressSpace, pages: number, stock: Vmm | null, touch: (at: number) => void): number {
  const total = quickest(
    ROUNDS,
    () => {
      stock?.idle(pages);
      return mapped(space, { bytes: pages * PAGE });
    },
    (at) => {
      for (let page = 0; page < pages; page++) touch(at + page * PAGE);
    },
    (at) => space.unmap(at, pages * PAGE),
  );
  return total / pages;
}

function report(metric: string, value: number): void {
  const linux = measureLinux();
  figure("vmm fault", metric, value, "ns", linux === null ? undefined : ["Linux's store fault", linux.storeFault]);
}

function plain(stocked: boolean): number {
  const vmm = plainRig(FRESH + 4096);
  const space = spaceOf(vmm);
  return measure(space, stocked ? STOCK : FRESH, stocked ? vmm : null, (at) => space.fault(at, WRITE + USER));
}

function processor(stocked: boolean): number {
  const rig = machineRig(512);
  const space = runningSpace(rig);
  const { cpu, vmm } = rig;
  return measure(space, stocked ? STOCK : FRESH, stocked ? vmm : null, (at) => {
    cpu.store32(at, 1);
  });
}

eachAlone(import.meta.url, {
  plain: () => {
    report("plain tables, fresh frames", plain(false));
  },
  "plain-stock": () => {
    report("plain tables, pre-zeroed stock", plain(true));
  },
  processor: () => {
    report("store of the processor, fresh frames", processor(false));
  },
  "processor-stock": () => {
    report("store of the processor, pre-zeroed stock", processor(true));
  },
});
