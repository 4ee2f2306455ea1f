/** The recorded programs that these benchmarks run. */
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const SHIPPED = fileURLToPath(new URL("../../packages/cli/data/sqlite-index.window.pgt.gz", import.meta.url));

/** Paths of the page traces in PAGEWRIGHT_INPUTS whose names contain `part`; without such a folder, of the one shipped with the command. */
export function recordedTraces(part: string): string[] {
  const inputs = process.env["PAGEWRIGHT_INPUTS"];
  if (inputs === undefined) return [SHIPPED];
  const folder = `${inputs}/page-traces`;
  return readdirSync(folder)
    .filter((name) => name.includes(part))
    .map((name) => `${folder}/${name}`);
}
