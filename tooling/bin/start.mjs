// `npm start`: builds the packages and replays a real program on a real machine's memory map.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

import { step } from "./run.mjs";

process.chdir(fileURLToPath(new URL("../..", import.meta.url)));
process.env["PAGEWRIGHT_JS_ONLY"] = "1";
const built = await step("build", ["node", "tooling/bin/turbo.mjs", "run", "build", "--output-logs=errors-only"]);
if (!built.ok) process.exit(1);
const result = spawnSync(process.execPath, ["packages/cli/dist/main.js", "replay", ...process.argv.slice(2)], {
  stdio: "inherit",
});
process.exit(result.status ?? 1);
