/** The recorded programs that benchmarks replay. */
import { readdirSync } from "node:fs";
import { DEFAULT_TRACE } from "../src/data.ts";

/** Paths of the page traces in PAGEWRIGHT_INPUTS whose names contain `part`; without such a folder, of the one shipped with the command. */
export function recordedTraces(part: string): string[] {
  const inputs = process.env["PAGEWRIGHT_INPUTS"];
  if (inputs === undefined) return [DEFAULT_TRACE];
  const folder = `${inputs}/page-traces`;
  return readdirSync(folder)
    .filter((name) => name.includes(part))
    .map((name) => `${folder}/${name}`);
}
