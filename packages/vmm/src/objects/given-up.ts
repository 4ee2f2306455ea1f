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
  /** By page, how many of its references were given up. */
  readonly #references: Map<number, number> = new Map();

  /** Nothing is given up at first. */
  constructor(core: Core) {
    this.#core = core;
  }

  /** Whether no processor can reach any page that was given up. */
  get isEmpty(): boolean {
    return this.#references.size === 0;
  }

  /** Takes over a reference to a page that its former owner names no more. */
  add(page: number): void {
    this.#references.set(page, (this.#references.get(page) ?? 0) + 1);
  }

  /** Unmaps and drops all pages that are given up now, whoever is about it already. */
  settle(): void {
    if (this.isEmpty) return;
    const core = this.#core;
    const { refs } = core.pages;
    const pages = [...this.#references.keys()];
    for (const page of pages) refs[page] = refs[page]! + 1; // Somebody else may end it first; the record has to stay what it is.
    const change = core.begin(null);
    for (const page of pages) core.unmapEverywhere(page, change.plan);
    change.plan.flush(); // Also what others have unmapped and not invalidated.
    for (const page of pages) {
      for (let given = this.#references.get(page) ?? 0; given > 0; given--) core.dropReference(page, change.plan);
      this.#references.delete(page);
      core.dropReference(page, change.plan);
    }
    core.end(change);
  }

  /** Throws with the sentence of the broken invariant: between operations nothing is given up. */
  check(): void {
    invariant(this.isEmpty, "Pages of an object were given up and not dropped.", { pages: this.#references.size });
  }
}
