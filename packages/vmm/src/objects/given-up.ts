/**
 * Pages that an object has given up, as long as processors may still reach them.
 *
 * ```
 *  out of index and sheets, all in one step ─→ given up ─→ unmapped everywhere ─→ invalidated ─→ dropped
 *                                                 └── whoever would show these places anew ends it first ──┘
 * ```
 * Other processors run while translations go. They must not wait for the one who began, and need not: a fault that finds no page any more, another hole or another size
 * calls {@link GivenUp.settle} itself, so that nobody sees the new content while somebody sees the old.
 */
import type { Core } from "../core.ts";
import { invariant } from "../errors.ts";

/** The pages that one object has given up. */
export class GivenUp {
  readonly #core: Core;
  /** What was given up at a time: pages, each with the reference that its former owner had. */
  readonly #batches: Set<readonly number[]> = new Set();

  /** Nothing is given up at first. */
  constructor(core: Core) {
    this.#core = core;
  }

  /** Whether no processor can reach any page that was given up. */
  get isEmpty(): boolean {
    return this.#batches.size === 0;
  }

  /** Takes over references to pages that their former owners name no more; a page that had several is there as often. */
  add(pages: readonly number[]): void {
    if (pages.length > 0) this.#batches.add(pages);
  }

  /** Unmaps and drops all pages that are given up now, whoever is about it already. */
  settle(): void {
    if (this.isEmpty) return;
    const core = this.#core;
    const { refs } = core.pages;
    const batches = [...this.#batches];
    const pages = batches.flat();
    for (const page of pages) refs[page] = refs[page]! + 1; // Somebody else may end it first; the record has to stay what it is.
    const change = core.begin(null);
    for (const page of pages) core.unmapEverywhere(page, change.plan);
    change.plan.flush(); // Also what others have unmapped and not invalidated.
    for (const batch of batches)
      if (this.#batches.delete(batch)) for (const page of batch) core.dropReference(page, change.plan);
    for (const page of pages) core.dropReference(page, change.plan);
    core.end(change);
  }

  /** Throws with the sentence of the broken invariant: between operations nothing is given up. */
  check(): void {
    invariant(this.isEmpty, "Pages of an object were given up and not dropped.", { batches: this.#batches.size });
  }
}
