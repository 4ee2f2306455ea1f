/** Whole page tables that change hands: 1 GiB from one space to another. No page of it is touched. */
import { USER, WRITE } from "@pagewright/vmm";

import { PAGE, eachAlone, figure, machineRig, mapped, quickest, plainRig, runningSpace, spaceOf } from "./rig.ts";

const GIB = 2 ** 30;
/** Pages of it that are resident. */
const RESIDENT = 8192;

function measure(kind: "plain" | "x86"): void {
  const rig = kind === "x86" ? machineRig(256) : null;
  const vmm = rig?.vmm ?? plainRig(RESIDENT + 4096);
  const one = rig === null ? spaceOf(vmm) : runningSpace(rig);
  const two = spaceOf(vmm);
  const here = mapped(one, { bytes: GIB, alignment: GIB });
  for (let page = 0; page < RESIDENT; page++) one.fault(here + page * 32 * PAGE, WRITE + USER);
  const there = 2 ** 40;
  const move = (): void => {
    const moved = one.transfer(here, GIB, two, there);
    if (moved !== there) throw new Error(`not moved: ${moved}`);
  };
  const back = (): void => {
    const moved = two.transfer(there, GIB, one, here);
    if (moved !== here) throw new Error(`not moved back: ${moved}`);
  };
  const ns = quickest(301, () => undefined, move, back);
  figure("vmm transfer", `1 GiB, ${RESIDENT} resident pages, ${kind} tables`, ns / 1000, "µs");
  vmm.check();
}

eachAlone(import.meta.url, {
  plain: () => {
    measure("plain");
  },
  x86: () => {
    measure("x86");
  },
});
