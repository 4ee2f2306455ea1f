/** Prints figures: for people, or as JSON lines with `--json`. */

/** One figure. */
export interface Figure {
  readonly bench: string;
  readonly metric: string;
  readonly value: number;
  readonly unit: string;
  readonly ratioTo: string;
  readonly ratio: number;
}

/** Prints figures in the form that was asked for. */
export function report(figures: readonly Figure[]): void {
  const json = process.argv.includes("--json");
  for (const figure of figures)
    process.stdout.write(
      json
        ? `${JSON.stringify(figure)}\n`
        : `${figure.bench}: ${figure.metric} ${figure.value.toPrecision(4)} ${figure.unit} (${figure.ratio.toPrecision(3)} x ${figure.ratioTo})\n`,
    );
}

/** The least nanoseconds per unit of some runs; `run` says how many units it did. */
export function fastest(rounds: number, run: () => number): number {
  let best = Infinity;
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    const units = run();
    best = Math.min(best, ((performance.now() - start) * 1e6) / units);
  }
  return best;
}
