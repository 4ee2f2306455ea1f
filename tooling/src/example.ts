import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { expect, test } from "vitest";

/** The ```text block of an example's README: what the program prints, word for word. */
function promisedOutput(readme: string): string {
  const match = /^```text\n([\s\S]*?)^```$/m.exec(readme);
  if (match === null) throw new Error("The README has no ```text block with the program's output");
  return match[1] ?? "";
}

/**
 * Runs an example's `main.ts` as a program of its own, from source, and asserts that it prints exactly what the ```text
 * block of the example's README promises.
 *
 * @param importer `import.meta.url` of the test, which lies beside `main.ts` and `README.md`
 * @param args what the program is started with
 */
export function testExample(importer: string, args: readonly string[] = []): void {
  test("prints what its README promises", () => {
    const main = fileURLToPath(new URL("main.ts", importer));
    const run = spawnSync(process.execPath, ["--conditions=@pagewright/source", "--import", "tsx", main, ...args], {
      encoding: "utf8",
    });
    expect(run.stderr).toBe("");
    expect(run.status).toBe(0);
    expect(run.stdout).toBe(promisedOutput(readFileSync(new URL("README.md", importer), "utf8")));
  });
}
