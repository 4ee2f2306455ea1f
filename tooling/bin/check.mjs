// `npm test`: every check there is, quick ones side by side; needs no build beforehand.
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { step } from "./run.mjs";

process.chdir(fileURLToPath(new URL("../..", import.meta.url)));
const report = "node_modules/.cache/pagewright-unit.json";
mkdirSync("node_modules/.cache", { recursive: true });
rmSync(report, { force: true });

async function inOrder(...steps) {
  const outcomes = [];
  for (const run of steps) outcomes.push(await run());
  return outcomes;
}

const unit = () =>
  step("unit tests and README blocks", [
    "vitest",
    "run",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
    "--silent",
  ]);

const outcomes = (
  await Promise.all([
    inOrder(
      () => step("lockfile", ["node", "tooling/bin/lockfile.mjs"]),
      () => step("types", ["tsc", "-p", "tsconfig.json"]),
      () => step("build", ["node", "tooling/bin/turbo.mjs", "run", "build", "--output-logs=errors-only"]),
      () => step("packed tarballs", ["node", "tooling/bin/packed.mjs"]),
      () => step("bundle sizes", ["node", "tooling/bin/sizes.mjs", "--check"]),
    ),
    inOrder(
      () => step("format", ["prettier", "--check", "--log-level", "warn", "."]),
      () => step("lint", ["eslint", "--cache", "--cache-location", "node_modules/.cache/eslint/", "."]),
      () => step("documentation", ["typedoc"]),
    ),
  ])
).flat();
outcomes.push(await unit());

let passed = outcomes.filter((outcome) => outcome.ok).length;
let failed = outcomes.length - passed;
let skipped = 0;
try {
  const tests = JSON.parse(readFileSync(report, "utf8"));
  passed += tests.numPassedTests;
  failed += tests.numFailedTests;
  skipped = tests.numPendingTests + (tests.numTodoTests ?? 0);
  for (const file of tests.testResults)
    for (const test of file.assertionResults)
      if (test.status === "skipped" || test.status === "pending") process.stderr.write(`  skipped: ${test.fullName}\n`);
} catch (error) {
  failed++;
  process.stderr.write(`the unit tests left no report: ${String(error)}\n`);
}
process.stdout.write(`${passed} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}\n`);
process.exit(failed === 0 ? 0 : 1);
