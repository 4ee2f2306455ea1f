/**
 * Who pays for a page: the group of the space whose fault brought it in. Groups get frames by their shares (GroupedPolicy); one that has more than its limit
 * gives pages back at once, others only when frames run short.
 */
import { GroupedPolicy, type GroupShare, type GroupStats } from "./grouped-policy.ts";
import { defaultPolicy } from "./policies/catalogue.ts";
import type { Reclaimer } from "./reclaimer.ts";

/** The group of pages that no space brought in: those of files that are read without being mapped, say. */
const NOBODYS_GROUP = 0;
/** No fault is being resolved. */
const NOBODY = -1;

/** Groups of spaces that compete for frames. */
export class SpaceGroups {
  /** What the manager asks whose page goes. */
  readonly policy: GroupedPolicy;
  #charged = NOBODY;

  /** Groups whose own pages are ordered by the default policy. */
  constructor() {
    this.policy = new GroupedPolicy(
      1024,
      (page) => (this.#charged === NOBODY ? Math.max(NOBODYS_GROUP, this.policy.groupOf(page)) : this.#charged),
      defaultPolicy,
    );
  }

  /** Pages that come in from now on are charged to a group. Returns who was charged before. */
  begin(group: number): number {
    const before = this.#charged;
    this.#charged = group;
    return before;
  }

  /** Ends {@link begin} with what it returned, and takes back what the group has beyond its limit. */
  end(group: number, before: number, reclaimer: Reclaimer): void {
    this.#charged = before;
    while (this.policy.excess(group) > 0) if (!reclaimer.reclaimOne()) return;
  }

  /** Sets what a group is promised and allowed. */
  setShare(group: number, share: GroupShare): void {
    this.policy.setShare(group, share);
  }

  /** A space has gone: where no other one is in its group, that ends. */
  left(group: number, others: Iterable<{ readonly group: number }>): void {
    for (const other of others) if (other.group === group) return;
    this.policy.end(group);
  }

  /** All groups that have a space, a page or a share. */
  stats(): GroupStats[] {
    return this.policy.stats();
  }
}
