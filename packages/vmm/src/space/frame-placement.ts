/** Which frames a region's private pages get: by NUMA node, by cache colour. */
import { VmmError } from "../errors.ts";
import type { FrameHints } from "../ports.ts";
import type { Vpn } from "../units.ts";

/**
 * | policy | node of a page's frame |
 * |---|---|
 * | `local` | that of the processor that faults |
 * | `preferred` | the first of `nodes`, another where it is full |
 * | `bind` | the first of `nodes` that has a frame; none of the others |
 * | `interleave` | the nodes in turn, by page number; a node may be listed more than once to weigh more |
 */
export type NodePolicy = "local" | "preferred" | "bind" | "interleave";

/** A region's wishes. */
export interface FramePlacement {
  /** How the node is chosen. */
  readonly policy: NodePolicy;
  /** Nodes for `preferred`, `bind` and `interleave`. */
  readonly nodes?: readonly number[];
  /** Cache colours, a power of two: frames follow their pages' colours, so that neighbours never meet in one cache set. */
  readonly colours?: number;
}

/** A wish that must be granted or refused: frame sources that know it fail rather than fall back. */
export interface StrictHints extends FrameHints {
  /** Only the node named. */
  readonly strict: boolean;
}

/** Throws `bad-argument` for a placement that means nothing. */
export function demandPlacement(placement: FramePlacement): void {
  const { policy, nodes = [], colours = 1 } = placement;
  if (policy !== "local" && nodes.length === 0)
    throw new VmmError("bad-argument", "This placement needs nodes.", { policy });
  if (!Number.isInteger(Math.log2(colours)))
    throw new VmmError("bad-argument", "The number of colours is a power of two.", { colours });
}

/** The wishes for the frame of a page, one list entry for each node to try in order. */
export function hintsFor(placement: FramePlacement, vpn: Vpn, localNode: number): StrictHints[] {
  const { policy, nodes = [], colours = 0 } = placement;
  const colour = colours > 1 ? vpn & (colours - 1) : -1;
  const hint = (node: number, strict: boolean): StrictHints => ({ order: 0, node, colour, movable: 1, strict });
  if (policy === "local") return [hint(localNode, false)];
  if (policy === "bind") return nodes.map((node) => hint(node, true));
  const turn = policy === "interleave" ? vpn - Math.floor(vpn / nodes.length) * nodes.length : 0;
  return [hint(nodes[turn] ?? -1, false)];
}
