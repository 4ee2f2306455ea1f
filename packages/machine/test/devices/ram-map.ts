import type { PhysicalMap } from "../../src/index.ts";
import { physicalMapFromJson } from "../../src/index.ts";

/** A map with `mib` MiB of RAM at 0 and nothing else. */
export function ramMap(mib: number): PhysicalMap {
  const length = mib * 2 ** 20;
  return physicalMapFromJson({
    entries: [{ base: "0x0", end: `0x${(length - 1).toString(16)}`, length: `0x${length.toString(16)}`, type: 1 }],
  });
}
