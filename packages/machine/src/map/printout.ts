/**
 * The physical map in print: as a tree of what was added, and flat as it is seen. One line a node or region:
 *
 *   0000000000000000-000000000009fbff  ram       node 0  firmware
 */
import type { MapNode } from "./node.ts";
import type { PhysicalMap } from "./physical-map.ts";
import type { PhysAddr } from "../units.ts";

function range(start: PhysAddr, size: number): string {
  const digits = (address: PhysAddr): string => address.toString(16).padStart(16, "0");
  return `${digits(start)}-${digits(start + size - 1)}`;
}

/** Returns the flat view, lowest address first: one line a region. */
export function printFlat(map: PhysicalMap): string {
  return map
    .regions()
    .map(({ start, end, kind, node, owner, backing, hotPluggable, nonVolatile, cacheability }) =>
      [
        range(start, end - start),
        kind.padEnd(10),
        node < 0 ? "       " : `node ${node}`.padEnd(7),
        owner,
        ...(backing === start ? [] : [`shows ${backing.toString(16).padStart(16, "0")}`]),
        ...(hotPluggable ? ["hot-pluggable"] : []),
        ...(nonVolatile ? ["non-volatile"] : []),
        ...(cacheability === "write-back" || cacheability === "uncachable" ? [] : [cacheability]),
      ]
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** Returns the tree, children indented under their parents, in the order in which they were added; with priorities. */
export function printTree(map: PhysicalMap): string {
  const lines: string[] = [];
  const print = (node: MapNode, base: PhysAddr, depth: number): void => {
    const start = base + node.offset;
    const { alias, traits } = node;
    const what =
      alias === null ? (traits?.kind ?? "container") : `alias of ${alias.target.name} from ${alias.from.toString(16)}`;
    lines.push(`${"  ".repeat(depth)}${range(start, node.size)} (prio ${node.priority}, ${what}): ${node.name}`);
    for (const child of node.children) print(child, start, depth + 1);
  };
  for (const node of map.nodes) print(node, 0, 0);
  return lines.join("\n");
}
