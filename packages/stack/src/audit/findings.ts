/** What an audit has found so far. */

/** What an audit found. */
export interface AuditReport {
  /** Whether every fact held. */
  readonly ok: boolean;
  /** Facts looked at: frames, table references, leaves, TLB entries, counts. */
  readonly checked: number;
  /** A sentence for each kind of fact that did not hold: the first of its kind, and how many more there were. */
  readonly problems: readonly string[];
}

/** Counts facts and keeps the first broken one of each kind. */
export class Findings {
  #checked: number = 0;
  readonly #first: Map<string, string> = new Map();
  readonly #more: Map<string, number> = new Map();

  /**
   * Notes a fact.
   *
   * @param kind - The sentence that should hold, as it is said of the whole stack.
   * @param where - What it does not hold for; only called if it does not.
   */
  fact(holds: boolean, kind: string, where: () => string): void {
    this.#checked++;
    if (holds) return;
    if (this.#first.has(kind)) this.#more.set(kind, (this.#more.get(kind) ?? 0) + 1);
    else this.#first.set(kind, where());
  }

  /** Runs a layer's own check: what it throws is a finding. */
  layer(name: string, check: () => void): void {
    try {
      check();
      this.#checked++;
    } catch (error) {
      const sentence = error instanceof Error ? error.message : String(error);
      this.fact(false, `the invariants of ${name} hold`, () => sentence);
    }
  }

  /** The report of what was found. */
  report(): AuditReport {
    const problems = [...this.#first].map(([kind, where]) => {
      const more = this.#more.get(kind) ?? 0;
      return `not true that ${kind}: ${where}${more === 0 ? "" : `, and ${more} more`}`;
    });
    return { ok: problems.length === 0, checked: this.#checked, problems };
  }
}

/** Returns a frame number as people read it. */
export function frameText(pfn: number): string {
  return `frame 0x${pfn.toString(16)}`;
}

/** Returns a page number as people read it. */
export function pageText(vpn: number): string {
  return `page ${vpn < 0 ? "-" : ""}0x${Math.abs(vpn).toString(16)}`;
}
