import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

interface Result {
  readonly nsPerEvent: number | null;
  readonly overhead: number;
  readonly failed: string | null;
}

/** Runs of everything on a trace, by turns, of which the best counts: other guests of a machine slow single runs down by a third. */
const TURNS = 2;
const MAIN = fileURLToPath(new URL("../../packages/cli/src/main.ts", import.meta.url));

function replay(file: string, options: readonly string[]): { readonly ns: number; readonly overhead: number } {
  const args = [
    "--conditions=@pagewright/source",
    "--import",
    "tsx",
    MAIN,
    "heap",
    file,
    ...options,
    "--here",
    "--json",
  ];
  const out = execFileSync(process.execPath, args, { encoding: "utf8", maxBuffer: 2 ** 24 });
  const { results } = JSON.parse(out) as { readonly results: readonly Result[] };
  const [result] = results;
  if (result === undefined || result.nsPerEvent === null) throw new Error(`${file}: ${result?.failed ?? "no result"}`);
  return { ns: result.nsPerEvent, overhead: result.overhead };
}

const geomean = (values: readonly number[]): number =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);

/**
 * Replays every trace of a folder (the first argument of the program that is no option) with each of several ways to start `pagewright heap`, in processes of their own that take
 * turns, and prints what each takes beside the first: time and footprint, as geometric means, and the worst time.
 *
 * @param variants options of the command, by the variant's name; the first is what the others stand beside.
 */
export function compareVariants(bench: string, variants: Readonly<Record<string, readonly string[]>>): void {
  const words = process.argv.slice(2);
  const folder =
    words.find((word) => !word.startsWith("--")) ?? join(process.env["PAGEWRIGHT_INPUTS"] ?? ".", "heap-traces");
  const isJson = words.includes("--json");
  const [base = ""] = Object.keys(variants);
  const times = new Map<string, number[]>();
  const footprints = new Map<string, number[]>();
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".bin.gz"))) {
    const best = new Map<string, { ns: number; overhead: number }>();
    for (let turn = 0; turn < TURNS; turn++)
      for (const [name, options] of Object.entries(variants)) {
        const { ns, overhead } = replay(join(folder, file), options);
        best.set(name, { ns: Math.min(ns, best.get(name)?.ns ?? Infinity), overhead });
      }
    const first = best.get(base) ?? { ns: NaN, overhead: NaN };
    for (const [name, { ns, overhead }] of best) {
      times.set(name, [...(times.get(name) ?? []), ns / first.ns]);
      footprints.set(name, [...(footprints.get(name) ?? []), overhead / first.overhead]);
      if (!isJson) console.log(`${file.replace(".bin.gz", "").padEnd(20)} ${name}: ${ns} ns, overhead ${overhead}`);
    }
  }
  for (const [name, values] of times) {
    if (name === base) continue;
    const figures = {
      "time an event": geomean(values),
      "time an event, worst trace": Math.max(...values),
      footprint: geomean(footprints.get(name) ?? []),
    };
    for (const [what, ratio] of Object.entries(figures))
      console.log(
        isJson
          ? JSON.stringify({ bench, metric: `${name}: ${what}`, value: ratio, unit: "ratio", ratioTo: base, ratio })
          : `${name}: ${what}: ${ratio.toFixed(2)} x ${base}`,
      );
  }
}
