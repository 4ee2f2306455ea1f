import { invariant, VmmError } from "../errors.ts";

/** A cache that can give memory back: of a file system, of web pages, of decoded images. */
export interface Shrinker {
  /** Its name in reports. */
  readonly name: string;
  /** The lower, the earlier it is asked. */
  readonly priority: number;
  /** Gives back up to `pages` pages; returns how many it gave. Takes no memory to do so. */
  shrink(pages: number): number;
}

/** What one shrinker gave in one round. */
export interface ShrinkResult {
  /** Whose. */
  readonly name: string;
  /** Pages that it was asked for. */
  readonly asked: number;
  /** Pages that it gave back. */
  readonly gave: number;
  /** What it threw, if it threw; it gave nothing then. */
  readonly error?: unknown;
}

/** A shrinker's record since it was added. */
export interface ShrinkerStats {
  /** Whose. */
  readonly name: string;
  /** Its place in the order. */
  readonly priority: number;
  /** Rounds in which it was asked. */
  readonly rounds: number;
  /** Pages given back. */
  readonly gave: number;
  /** Rounds in which it threw. */
  readonly failures: number;
}

interface Entry {
  readonly shrinker: Shrinker;
  rounds: number;
  gave: number;
  failures: number;
}

/**
 * Those who hold memory for convenience, asked in order of priority before anything is swapped: what a cache gives back costs
 * nothing to write. One that gave less than it was asked for has nothing left, and the next one is asked for the rest.
 */
export class Shrinkers {
  /** By priority; among equals, those added first. */
  readonly #entries: Entry[] = [];
  #running: boolean = false;

  /** Adds a shrinker; returns what removes it again. */
  add(shrinker: Shrinker): () => void {
    if (this.#entries.some((entry) => entry.shrinker === shrinker))
      throw new VmmError("bad-argument", "A shrinker was added twice.", { name: shrinker.name });
    const entry: Entry = { shrinker, rounds: 0, gave: 0, failures: 0 };
    const after = this.#entries.findIndex((other) => other.shrinker.priority > shrinker.priority);
    this.#entries.splice(after < 0 ? this.#entries.length : after, 0, entry);
    return () => {
      const at = this.#entries.indexOf(entry);
      if (at >= 0) this.#entries.splice(at, 1);
    };
  }

  /**
   * Asks for `pages` pages; returns what each gave that was asked. Empty within a round: a shrinker that needs memory while
   * it gives some back is not asked for more.
   */
  shrink(pages: number): ShrinkResult[] {
    if (this.#running) return [];
    this.#running = true;
    const results: ShrinkResult[] = [];
    let wanted = pages;
    try {
      for (const entry of [...this.#entries]) {
        if (wanted <= 0) break;
        const result = ask(entry, wanted);
        wanted -= result.gave;
        results.push(result);
      }
    } finally {
      this.#running = false;
    }
    return results;
  }

  /** The record of each, in the order in which they are asked. */
  stats(): ShrinkerStats[] {
    return this.#entries.map(({ shrinker: { name, priority }, rounds, gave, failures }) => ({
      name,
      priority,
      rounds,
      gave,
      failures,
    }));
  }

  /** Throws with the sentence of the broken invariant. */
  check(): void {
    for (let at = 1; at < this.#entries.length; at++) {
      const before = this.#entries[at - 1]?.shrinker.priority ?? -Infinity;
      invariant(
        before <= (this.#entries[at]?.shrinker.priority ?? Infinity),
        "The shrinkers are not in order of priority.",
      );
    }
  }
}

function ask(entry: Entry, asked: number): ShrinkResult {
  const { name } = entry.shrinker;
  entry.rounds++;
  try {
    const gave = entry.shrinker.shrink(asked);
    if (!Number.isInteger(gave) || gave < 0)
      throw new VmmError("port-contract", "A shrinker returned no number of pages.", { name, gave });
    entry.gave += gave;
    return { name, asked, gave };
  } catch (error) {
    entry.failures++;
    return { name, asked, gave: 0, error };
  }
}
