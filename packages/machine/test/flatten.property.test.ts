import { firmwareMapOf, flatten, PhysicalMap, traitsOf } from "@pagewright/machine";
import type { MapNode, Region } from "@pagewright/machine";
import fc from "fast-check";
import { expect, test } from "vitest";

/** Bytes of the address space that are looked at one by one. */
const SPACE = 64;

/** A node to be made; `target` and `children` count back among the nodes made before it. */
interface Plan {
  readonly kind: "region" | "container" | "alias";
  readonly offset: number;
  readonly size: number;
  readonly priority: number;
  readonly target: number;
  readonly from: number;
  readonly home: number;
  readonly children: readonly number[];
}

const plans: fc.Arbitrary<Plan[]> = fc.array(
  fc.record({
    kind: fc.constantFrom("region" as const, "container" as const, "alias" as const),
    offset: fc.nat(40),
    size: fc.integer({ min: 1, max: 40 }),
    priority: fc.integer({ min: -1, max: 2 }),
    target: fc.nat(6),
    from: fc.nat(12),
    home: fc.nat(1000),
    children: fc.uniqueArray(fc.nat(6), { maxLength: 3 }),
  }),
  { minLength: 2, maxLength: 12 },
);

/** Makes the nodes: each owns its name, and shows or holds only nodes made before it. */
function nodesOf(list: readonly Plan[]): MapNode[] {
  const nodes: MapNode[] = [];
  for (const { kind, offset, size, priority, target, from, home, children } of list) {
    const name = `n${nodes.length}`;
    const shown = nodes.at(-1 - target);
    const alias = kind === "alias" && shown !== undefined ? { target: shown, from, home } : null;
    const held = children.map((back) => nodes.at(-1 - back)).filter((node) => node !== undefined);
    nodes.push({
      name,
      offset,
      size,
      priority,
      traits: kind === "region" ? traitsOf("mmio", name) : null,
      alias,
      children: alias === null ? held : [],
    });
  }
  return nodes;
}

/** What is seen at one byte. */
interface Seen {
  readonly owner: string;
  readonly backing: number;
  readonly origin: number;
}

/**
 * What is seen at byte `local` of `node`, which stands at `address`; `kept` is where the node's first byte is kept. Asks the
 * children from the top down and takes the first that shows something.
 */
function seenAt(node: MapNode, local: number, address: number, kept: number): Seen | null {
  if (local < 0 || local >= node.size) return null;
  const { alias, children, traits } = node;
  if (alias !== null) return seenAt(alias.target, local + alias.from, address, alias.home);
  for (let priority = 2; priority >= -1; priority--)
    for (const child of children.filter((one) => one.priority === priority).toReversed()) {
      const seen = seenAt(child, local - child.offset, address, kept + child.offset);
      if (seen !== null) return seen;
    }
  return traits === null ? null : { owner: traits.owner, backing: kept + local, origin: address - local };
}

function containerOf(children: readonly MapNode[]): MapNode {
  return { name: "all", offset: 0, size: SPACE, priority: 0, traits: null, alias: null, children };
}

/** What the oracle sees, byte by byte. */
function oracle(children: readonly MapNode[]): (Seen | null)[] {
  const root = containerOf(children);
  return Array.from({ length: SPACE }, (_, at) => seenAt(root, at, at, 0));
}

/** What a region says of one of its bytes. */
function of(region: Region | undefined, at: number): Seen | null {
  if (region === undefined) return null;
  const { owner, backing, start, origin } = region;
  return { owner, backing: backing + at - start, origin };
}

test("property: flattened, every byte is what the nodes over it say, one by one", () => {
  const kinds = { nested: 0, throughAlias: 0, hidden: 0 };
  fc.assert(
    fc.property(plans, (list) => {
      const nodes = nodesOf(list);
      const wanted = oracle(nodes);
      const flat = flatten(containerOf(nodes));
      const got = wanted.map((_, at) => {
        const here = flat.filter(({ start, end }) => start <= at && at < end);
        expect(here.length).toBeLessThan(2);
        return of(here[0], at);
      });
      expect(got).toEqual(wanted);
      expect(flat.every(({ start, end }, i) => start < end && end <= (flat[i + 1]?.start ?? SPACE))).toBe(true);
      if (nodes.some(({ children }) => children.some((child) => child.children.length > 0))) kinds.nested++;
      if (wanted.some((seen, at) => seen !== null && seen.backing !== at)) kinds.throughAlias++;
      if (nodes.some(({ traits, name }) => traits !== null && !wanted.some((seen) => seen?.owner === name)))
        kinds.hidden++;
    }),
    { seed: 21, numRuns: 400 },
  );
  for (const count of Object.values(kinds)) expect(count).toBeGreaterThan(20);
});

test("property: a map finds the same, node by node as they come and go", () => {
  fc.assert(
    fc.property(plans, fc.nat(11), (list, removed) => {
      const map = new PhysicalMap(firmwareMapOf([]));
      const nodes = nodesOf(list);
      const look = (): (Seen | null)[] => Array.from({ length: SPACE }, (_, at) => of(map.find(at), at));
      for (const [at, node] of nodes.entries()) {
        map.add(node);
        expect(look()).toEqual(oracle(nodes.slice(0, at + 1)));
      }
      const gone = nodes[removed % nodes.length];
      if (gone === undefined) return;
      expect(map.remove(gone)).toBe(true);
      expect(look()).toEqual(oracle(nodes.filter((node) => node !== gone)));
      map.check();
    }),
    { seed: 22, numRuns: 100 },
  );
});
