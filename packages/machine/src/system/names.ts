/**
 * Names for things that a snapshot cannot hold, devices and tasks above all: a snapshot says the name, and whoever restores
 * it looks the thing up. Names are given in the order in which things are first seen, so that two machines made in the same
 * way give the same names.
 *
 * Invariant: a name stands for one thing, a thing has one name.
 */
import { MachineError } from "../errors.ts";

/** Names of things of one kind. */
export class Names<T extends object> {
  readonly #what: string;
  readonly #things = new Map<string, T>();
  readonly #names = new Map<T, string>();

  /** Creates an empty book of names; `what` is what errors call its things. */
  constructor(what: string) {
    this.#what = what;
  }

  /** Names a thing, unless it has a name. Where `wish` is taken it becomes `wish#2`, `wish#3` …; returns the name. */
  add(thing: T, wish: string): string {
    const known = this.#names.get(thing);
    if (known !== undefined) return known;
    let name = wish;
    for (let count = 2; this.#things.has(name); count++) name = `${wish}#${count}`;
    this.#things.set(name, thing);
    this.#names.set(thing, name);
    return name;
  }

  /** Returns the name of a thing, undefined when it has none. */
  nameOf(thing: T): string | undefined {
    return this.#names.get(thing);
  }

  /** Says which of `names` stand for nothing here, and what there is instead; null: none. */
  mismatch(names: Iterable<string>): string | null {
    const missing = [...names].filter((name) => !this.#things.has(name));
    if (missing.length === 0) return null;
    return `the snapshot has the ${this.#what} ${missing.join(", ")}; here are ${[...this.#things.keys()].join(", ") || "none"}`;
  }

  /** Returns the thing of that name; throws `snapshot-mismatch` when there is none. */
  find(name: string): T {
    const thing = this.#things.get(name);
    if (thing === undefined)
      throw new MachineError(
        "snapshot-mismatch",
        `The snapshot speaks of the ${this.#what} ${name}, which is not here`,
        {
          name,
          known: [...this.#things.keys()],
        },
      );
    return thing;
  }
}
