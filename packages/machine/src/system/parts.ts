/**
 * The parts of a machine by name, in the order in which they were attached: what a snapshot holds, and in which order it is
 * put back.
 *
 * Invariant: a name stands for one part.
 */
import { MachineError } from "../errors.ts";
import type { Snapshotted } from "./snapshotted.ts";

/** The parts of a machine by name, in the order in which they were attached: what a snapshot holds, and in which order it is put back. */
export class Parts {
  readonly #parts = new Map<string, Snapshotted>();

  /** Adds a part and returns it; throws `double-claim` when the name is taken. */
  attach<T extends Snapshotted>(name: string, part: T): T {
    if (this.#parts.has(name))
      throw new MachineError("double-claim", `Two parts of one machine are called ${name}`, { name });
    this.#parts.set(name, part);
    return part;
  }

  /** The names, in order. */
  get names(): readonly string[] {
    return [...this.#parts.keys()];
  }

  /** Returns the part of a name, undefined when there is none. */
  find(name: string): Snapshotted | undefined {
    return this.#parts.get(name);
  }

  /** Returns the name of a part, undefined for what is none. */
  nameOf(part: object): string | undefined {
    for (const [name, one] of this.#parts) if (one === part) return name;
    return undefined;
  }

  /** Calls `visit` for every part, in order. */
  forEach(visit: (part: Snapshotted, name: string) => void): void {
    this.#parts.forEach(visit);
  }
}
