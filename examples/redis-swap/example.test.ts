import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { expect, test } from "vitest";

import { installedServer } from "./redis-server.ts";

const program = installedServer();

test.skipIf(program === null)(`prints what its README promises (${program ?? "redis-server is not installed"})`, () => {
  const main = fileURLToPath(new URL("main.ts", import.meta.url));
  const run = spawnSync(process.execPath, ["--conditions=@pagewright/source", "--import", "tsx", main], {
    encoding: "utf8",
  });
  const promised = /^```text\n([^]*?)^```$/m.exec(readFileSync(new URL("README.md", import.meta.url), "utf8"));
  expect(run.stderr).toBe("");
  expect(run.stdout).toBe(promised?.[1]);
});
