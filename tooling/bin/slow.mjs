// `npm run slow [-- PATTERN]`: the exhaustive suites that `npm test` leaves out.
import { spawnSync } from "node:child_process";

const result = spawnSync("npx", ["--no-install", "vitest", "run", ...process.argv.slice(2)], {
  stdio: "inherit",
  shell: process.platform === "win32",
  env: { ...process.env, PAGEWRIGHT_SLOW: "1" },
});
process.exit(result.status ?? 1);
