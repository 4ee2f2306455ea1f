// `npm run bench [-- PATTERN]`: every benchmark in a process of its own, one after another.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";

/** @param {string} folder @returns {string[]} */
function benchesIn(folder) {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".bench.ts") && !name.includes("node_modules"))
    .map((name) => join(folder, name));
}

const pattern = process.argv[2] ?? "";
const folders = [...readdirSync("packages").map((name) => `packages/${name}/bench`), "benchmarks"];
const files = folders.flatMap(benchesIn).filter((file) => file.includes(pattern));
let failed = 0;
for (const file of files) {
  console.log(`\n${file}`);
  const run = spawnSync(process.execPath, ["--expose-gc", "--conditions=@pagewright/source", "--import", "tsx", file], {
    stdio: "inherit",
  });
  if (run.status !== 0) failed++;
}
process.exit(failed === 0 ? 0 : 1);
