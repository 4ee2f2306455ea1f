import { invariant, VmmError } from "../errors.ts";
import type { ReplacementPolicy } from "../ports.ts";
import { defaultPolicy } from "./policies/catalogue.ts";
import { grownBytes } from "./policies/slot-lists.ts";

/** What a group is promised and allowed. */
export interface GroupShare {
  /** Pages that are not taken from it as long as another group has more than its minimum. */
  readonly minimum?: number;
  /** Pages that it may have; what is above goes first. */
  readonly limit?: number;
  /** Its part of what is contended for, relative to the other groups'; 1 unless given. */
  readonly weight?: number;
}

/** A group's standing. */
export interface GroupStats {
  /** Which. */
  readonly group: number;
  /** Pages resident. */
  readonly resident: number;
  /** See {@link GroupShare.minimum}. */
  readonly minimum: number;
  /** See {@link GroupShare.limit}. */
  readonly limit: number;
  /** See {@link GroupShare.weight}. */
  readonly weight: number;
}

/** A policy is sized anew when its group grew or shrank by this part. */
const RESIZE_AT = 8;

class Group {
  readonly number: number;
  readonly policy: ReplacementPolicy;
  resident: number = 0;
  minimum: number = 0;
  limit: number = Infinity;
  weight: number = 1;
  /** What the policy was sized for last. */
  sizedFor: number = 1;
  /** It goes with its last page. */
  isEnding: boolean = false;

  constructor(number: number, policy: ReplacementPolicy) {
    this.number = number;
    this.policy = policy;
  }

  /** How soon it has to give: over its limit; above its minimum, by its part; at last below its minimum. */
  urgency(): number {
    if (this.resident === 0) return -Infinity;
    if (this.resident > this.limit) return 2 ** 40 + (this.resident - this.limit);
    if (this.resident > this.minimum) return (this.resident - this.minimum) / this.weight;
    return this.resident - 2 ** 40;
  }

  count(change: 1 | -1): void {
    this.resident += change;
    if (Math.abs(this.resident - this.sizedFor) * RESIZE_AT <= this.sizedFor || this.resident === 0) return;
    this.sizedFor = this.resident;
    this.policy.resize(this.resident);
  }
}

/**
 * Fairness: a replacement policy of policies, one for each group (a space, or spaces that belong together). Whose page goes is
 * decided first, which of its pages by the group's own policy: a space that scans a large file pushes out its own pages,
 * once it has more than its part, and nobody else's.
 *
 * ```
 *   over its limit            goes first, the most over
 *   over its minimum          the most over, in proportion to its weight: weighted max–min fairness
 *   at or below its minimum   only where nobody else is left, the largest
 * ```
 *
 * Choosing costs O(groups), all else what the group's policy costs; memory is that of one policy for each group.
 *
 * Invariant: `resident` of a group counts the resident slots that are its own; each is known to its policy and to no other.
 */
export class GroupedPolicy implements ReplacementPolicy {
  readonly name: string;
  readonly #groupOf: (slot: number) => number;
  readonly #makePolicy: (slots: number, frames: number) => ReplacementPolicy;
  readonly #groups: Map<number, Group> = new Map();
  /** The group that a slot was inserted in last, −1: none. */
  #groupOfSlot: Int32Array;
  /** 1 where the slot's page is resident. */
  #resident: Uint8Array;

  /**
   * @param slots slots are 0 … slots − 1
   * @param groupOf the group of a page, 0 … 2^31 − 1; asked when the page comes in
   * @param makePolicy a group's policy; the default policy unless given
   */
  constructor(
    slots: number,
    groupOf: (slot: number) => number,
    makePolicy: (slots: number, frames: number) => ReplacementPolicy = defaultPolicy,
  ) {
    this.#groupOf = groupOf;
    this.#makePolicy = makePolicy;
    this.#groupOfSlot = new Int32Array(slots).fill(-1);
    this.#resident = new Uint8Array(slots);
    this.name = `grouped ${makePolicy(1, 1).name}`;
  }

  /** Sets what a group is promised and allowed; what is not given is as for a new group. */
  setShare(group: number, share: GroupShare): void {
    const { minimum = 0, limit = Infinity, weight = 1 } = share;
    if (!(minimum >= 0 && limit >= minimum && weight > 0))
      throw new VmmError("bad-argument", "A group's share is 0 ≤ minimum ≤ limit and 0 < weight.", {
        minimum,
        limit,
        weight,
      });
    Object.assign(this.#groupNumbered(group), { minimum, limit, weight });
  }

  /** Nobody brings in pages for a group any more: it goes with its last one, and what it remembers with it. One that has a share stays, for whoever is in it next. */
  end(group: number): void {
    const known = this.#groups.get(group);
    if (known === undefined || known.minimum > 0 || known.limit < Infinity || known.weight !== 1) return;
    known.isEnding = true;
    if (known.resident === 0) this.#groups.delete(group);
  }

  /** The group that a slot was inserted in last, −1: none. */
  groupOf(slot: number): number {
    return this.#groupOfSlot[slot] ?? -1;
  }

  /** Pages that a group has beyond its limit: they go first, and even while memory is free. */
  excess(group: number): number {
    const known = this.#groups.get(group);
    return known === undefined ? 0 : Math.max(0, known.resident - known.limit);
  }

  /** The page came in, for its group. */
  insert(slot: number): void {
    const number = this.#groupOf(slot);
    const before = this.#groupOfSlot[slot]!;
    // a ghost in another group's policy is of no use there any more
    if (before >= 0 && before !== number) this.#groups.get(before)?.policy.remove(slot);
    this.#groupOfSlot[slot] = number;
    const group = this.#groupNumbered(number);
    group.policy.insert(slot);
    this.#resident[slot] = 1;
    group.count(1);
  }

  /** Tells the group's policy. */
  accessed(slot: number): void {
    this.#groups.get(this.#groupOfSlot[slot]!)?.policy.accessed(slot);
  }

  /** The page that the most urgent group's policy names. O(groups). */
  victim(): number {
    return this.#mostUrgent()?.policy.victim() ?? -1;
  }

  /** Takes it. O(groups). */
  evict(): number {
    const group = this.#mostUrgent();
    const slot = group?.policy.evict() ?? -1;
    if (group !== null && slot >= 0) this.#left(group, slot);
    return slot;
  }

  /** Forgets the page. */
  remove(slot: number): void {
    const group = this.#groups.get(this.#groupOfSlot[slot]!);
    if (group === undefined) return;
    group.policy.remove(slot);
    if (this.#resident[slot] === 1) this.#left(group, slot);
    this.#groupOfSlot[slot] = -1;
  }

  /** Makes room for slots 0 … slots − 1. */
  grow(slots: number): void {
    if (slots <= this.#groupOfSlot.length) return;
    const groupOfSlot = new Int32Array(slots).fill(-1);
    groupOfSlot.set(this.#groupOfSlot);
    this.#groupOfSlot = groupOfSlot;
    this.#resident = grownBytes(this.#resident, slots);
    for (const group of this.#groups.values()) group.policy.grow(slots);
  }

  /** Does nothing: each group's policy is sized by the group's own pages. */
  resize(_capacity: number): void {
    return;
  }

  /** All groups, in the order in which they appeared. */
  stats(): GroupStats[] {
    return [...this.#groups].map(([group, { resident, minimum, limit, weight }]) => ({
      group,
      resident,
      minimum,
      limit,
      weight,
    }));
  }

  /** Checks every group's policy and count. */
  check(): void {
    const counts = new Map<number, number>();
    this.#resident.forEach((resident, slot) => {
      if (resident === 1) counts.set(this.#groupOfSlot[slot]!, (counts.get(this.#groupOfSlot[slot]!) ?? 0) + 1);
    });
    for (const [number, group] of this.#groups) {
      group.policy.check();
      invariant(group.resident === (counts.get(number) ?? 0), "A group's pages are miscounted.", { group: number });
      counts.delete(number);
    }
    invariant(counts.size === 0, "A resident page is of no group.");
  }

  #left(group: Group, slot: number): void {
    this.#resident[slot] = 0;
    group.count(-1);
    if (group.isEnding && group.resident === 0) this.#groups.delete(group.number);
  }

  #mostUrgent(): Group | null {
    let best: Group | null = null;
    let most = -Infinity;
    for (const group of this.#groups.values()) {
      const urgency = group.urgency();
      if (urgency <= most) continue;
      most = urgency;
      best = group;
    }
    return best;
  }

  #groupNumbered(number: number): Group {
    const known = this.#groups.get(number);
    if (known !== undefined) return known;
    const group = new Group(number, this.#makePolicy(this.#groupOfSlot.length, 1));
    this.#groups.set(number, group);
    return group;
  }
}
