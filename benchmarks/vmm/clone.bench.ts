/** A clone of a space with 100,000 resident pages, until both sides can run. Beside it: Linux's fork with as many. */
import { USER, WRITE, type AddressSpace } from "@pagewright/vmm";

import { measureLinux } from "../fault-linux/linux.ts";
import { PAGE, eachAlone, figure, machineRig, mapped, quickest, plainRig, runningSpace, spaceOf } from "./rig.ts";

const PAGES = 100_000;
const clones: (AddressSpace | null)[] = [];

/** Milliseconds of a clone; `dirty` makes every page writable and present before. */
function measure(space: AddressSpace, dirty: () => void): number {
  return (
    quickest(
      15,
      dirty,
      () => {
        clones.push(space.clone());
      },
      () => clones.pop()?.destroy(),
    ) / 1e6
  );
}

function report(metric: string, value: number): void {
  const linux = measureLinux();
  figure("vmm clone", metric, value, "ms", linux === null ? undefined : ["Linux's fork", linux.clone / 1e6]);
}

eachAlone(import.meta.url, {
  plain: () => {
    const space = spaceOf(plainRig(PAGES + 4096));
    const at = mapped(space, { bytes: PAGES * PAGE });
    const value = measure(space, () => {
      for (let page = 0; page < PAGES; page++) space.fault(at + page * PAGE, WRITE + USER);
    });
    report("100,000 resident pages, plain tables", value);
  },
  x86: () => {
    const rig = machineRig(512);
    const space = runningSpace(rig);
    const at = mapped(space, { bytes: PAGES * PAGE });
    const value = measure(space, () => {
      for (let page = 0; page < PAGES; page++) rig.cpu.store32(at + page * PAGE, 1);
    });
    report("100,000 resident pages, x86 tables", value);
  },
});
