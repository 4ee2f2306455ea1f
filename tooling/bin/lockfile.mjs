// Fails when the lockfile would not install everywhere: an optional binary or an integrity hash is missing, or a registry
// host is written down.
import { readFileSync } from "node:fs";

const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
const problems = [];
for (const [path, entry] of Object.entries(lock.packages)) {
  if (!path.includes("node_modules/") || entry.link) continue;
  if (entry.resolved !== undefined) problems.push(`${path} names its registry: ${entry.resolved}`);
  if (entry.integrity === undefined && !entry.inBundle) problems.push(`${path} has no integrity hash`);
  for (const name of Object.keys(entry.optionalDependencies ?? {})) {
    const nested = `${path}/node_modules/${name}`;
    const hoisted = `node_modules/${name}`;
    if (lock.packages[nested] === undefined && lock.packages[hoisted] === undefined)
      problems.push(`${path}: the optional dependency ${name} is not in the lockfile`);
  }
}
if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exit(1);
}
