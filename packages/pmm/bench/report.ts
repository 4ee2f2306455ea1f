/** One figure of a benchmark, beside what it is compared with. */
export interface Figure {
  readonly bench: string;
  readonly metric: string;
  readonly value: number;
  readonly unit: string;
  readonly ratioTo?: string;
  readonly ratio?: number;
}

/** Prints figures: as JSON lines with `--json`, else to be read. */
export function report(figures: readonly Figure[]): void {
  for (const figure of figures) {
    if (process.argv.includes("--json")) {
      console.log(JSON.stringify(figure));
      continue;
    }
    const ratio = figure.ratio === undefined ? "" : `  ${figure.ratio.toFixed(2)} × ${figure.ratioTo ?? ""}`;
    console.log(`${figure.bench}  ${figure.metric}: ${figure.value.toFixed(2)} ${figure.unit}${ratio}`);
  }
}

/** The best of many short runs in ns per operation: a busy machine disturbs the mean, rarely the best. */
export function bestNs(operations: number, runs: number, run: (operations: number) => number): number {
  let best = Infinity;
  let sink = run(operations);
  for (let i = 0; i < runs; i += 1) {
    const start = performance.now();
    sink += run(operations);
    best = Math.min(best, ((performance.now() - start) * 1e6) / operations);
  }
  if (Number.isNaN(sink)) throw new Error("The runs add up to no number");
  return best;
}
