/** The changes of translations that are under way in a manager, kept for reuse: none is made on a fault that had one before it. */
import { Change } from "./change.ts";
import type { Core } from "./core.ts";
import type { FlushPlan } from "./flush-plan.ts";
import type { AddressSpace } from "./space/space.ts";
import type { Vpn } from "./units.ts";

/** Begins and ends changes. */
export class Changes {
  readonly #core: Core;
  readonly #idle: Change[] = [];
  /** Changes that have begun and not ended, where others can run in between. */
  readonly #open: Change[] = [];

  /** The changes of a core. */
  constructor(core: Core) {
    this.#core = core;
  }

  /** Begins a change in a space, or (null) of pages wherever they are mapped. Every `begin` is ended by one {@link end}. */
  begin(space: AddressSpace | null): Change {
    const change = this.#idle.pop() ?? new Change(this.#core);
    change.enter(space);
    if (this.#core.interleaving !== null) this.#open.push(change);
    return change;
  }

  /** Completes the change's plan and keeps the change for later. */
  end(change: Change): void {
    change.plan.complete();
    this.#close(change);
  }

  /**
   * {@link end} for a range of one space whose content is nobody's any more: other processors need not be interrupted. At once where a page of it lives on
   * elsewhere, and where frames are scarce.
   */
  endLater(change: Change, start: Vpn, end: Vpn): void {
    const { framePressure } = this.#core;
    const isScarce = framePressure !== null && framePressure.level() !== "none";
    if (isScarce || !change.setsAllFree) change.plan.complete();
    else change.plan.completeLater(start, end);
    this.#close(change);
  }

  /** Flushes all other changes under way. Only where others can run in the middle of a change is there more than one plan with anything in it. */
  settle(plan: FlushPlan): void {
    if (this.#core.interleaving === null) return;
    for (;;) {
      const other = this.#open.find((change) => change.plan !== plan && change.plan.isPending);
      if (other === undefined) return;
      other.plan.flush();
    }
  }

  #close(change: Change): void {
    if (this.#core.interleaving !== null) this.#open.splice(this.#open.indexOf(change), 1);
    this.#idle.push(change);
  }
}
