/** Map and unmap of one page while 10, 100, 1,000 and 10,000 regions exist that cannot merge. Beside it: Linux with 10,000. */
import { READ } from "@pagewright/vmm";

import { measureLinux } from "../fault-linux/linux.ts";
import { PAGE, figure, mapped, quickest, plainRig, spaceOf } from "./rig.ts";

const PAIRS = 1000;
const linux = measureLinux();

for (const regions of [10, 100, 1000, 10_000]) {
  const space = spaceOf(plainRig(1024));
  for (let region = 0; region < regions; region++)
    mapped(space, { bytes: PAGE, address: 2 ** 32 + region * 2 * PAGE, placement: "fixed", rights: READ });
  const ns = quickest(
    200,
    () => undefined,
    () => {
      for (let pair = 0; pair < PAIRS; pair++) space.unmap(mapped(space, { bytes: PAGE }), PAGE);
    },
  );
  const compared: [string, number] | undefined =
    linux !== null && regions === 10_000 ? ["Linux's mmap + munmap", linux.mapUnmap] : undefined;
  figure("vmm map + unmap", `among ${regions} regions`, ns / PAIRS, "ns", compared);
}
