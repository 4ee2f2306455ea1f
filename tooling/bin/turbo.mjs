// Runs turbo with telemetry off on every platform.
import { spawnSync } from "node:child_process";

const result = spawnSync("npx", ["--no-install", "turbo", ...process.argv.slice(2)], {
  stdio: "inherit",
  shell: process.platform === "win32",
  env: { ...process.env, TURBO_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1", TURBO_NO_UPDATE_NOTIFIER: "1" },
});
process.exit(result.status ?? 1);
