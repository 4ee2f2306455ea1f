/** The cells of "every trace, every policy, every swap tier, every size": all of them, or a cover that still meets every pair that matters. */
import { fileURLToPath } from "node:url";
import { policies } from "@pagewright/vmm/policies";
import { parseRamSize } from "../../src/ram-size.ts";
import type { ReplayRequest } from "../../src/replay/set-up.ts";
import { DEFAULT_MAP } from "../../src/data.ts";

/** A store that answers later. */
export const LATE: string = fileURLToPath(new URL("../late-tier.ts", import.meta.url));

/**
 * Every combination of tiers: file, compressed memory in front of it, pages striped over two files, a store that answers later, compressed memory in front of a stripe of such a
 * store and a file.
 */
export const TIERS: readonly (readonly string[])[] = [
  ["file"],
  ["compressed"],
  ["file+file"],
  [LATE],
  ["compressed", `${LATE}+file`],
];

/** Sizes of memory. */
export const SIZES: readonly string[] = ["10%", "25%", "50%", "75%"];

/** Every policy that needs not know the future; null: the manager's own. */
export const POLICIES: readonly (string | null)[] = [null, ...Object.keys(policies).filter((name) => name !== "opt")];

/** One replay. */
export interface Cell {
  readonly trace: string;
  readonly policy: string | null;
  readonly tiers: readonly string[];
  readonly ram: string;
}

/** All cells of the full product. */
export function everyCell(traces: readonly string[]): Cell[] {
  return traces.flatMap((trace) =>
    POLICIES.flatMap((policy) => TIERS.flatMap((tiers) => SIZES.map((ram) => ({ trace, policy, tiers, ram })))),
  );
}

/** Every tier at every size on every trace with the manager's own policy; every policy at every size on every window, tiers in turn. */
export function coveringCells(traces: readonly string[]): Cell[] {
  let turn = 0;
  return everyCell(traces)
    .filter(({ trace, policy, tiers }) => {
      if (policy === null) return true;
      if (!trace.includes(".window.") || tiers !== TIERS[0]) return false;
      return true;
    })
    .map((cell) => (cell.policy === null ? cell : { ...cell, tiers: TIERS[turn++ % TIERS.length] ?? [] }));
}

/** The cell in words. */
export function nameOf({ trace, policy, tiers, ram }: Cell): string {
  const words = tiers.map((tier) => tier.replace(LATE, "late")).join(",");
  return `${trace.replace(/\.pgt\.gz$/, "")} ${policy ?? "default"} ${words} ${ram}`;
}

/** What the command would be asked. */
export function requestOf(cell: Cell, folder: string): ReplayRequest {
  return {
    traces: [`${folder}/${cell.trace}`],
    map: DEFAULT_MAP,
    ram: parseRamSize(cell.ram),
    policy: cell.policy,
    swap: cell.tiers,
    swapFolder: null,
    cpus: 1,
  };
}
