import { existsSync } from "node:fs";

import { describe, test } from "vitest";

/**
 * Registers tests over the full development inputs, a folder named by the environment variable `PAGEWRIGHT_INPUTS`. Where
 * it is unset the group is reported as skipped, by its name.
 *
 * @param name what the tests claim
 * @param register registers the tests; `dir` is the folder
 */
export function withInputs(name: string, register: (dir: string) => void): void {
  const dir = process.env["PAGEWRIGHT_INPUTS"];
  if (dir === undefined || dir === "") {
    test.skip(`${name} (PAGEWRIGHT_INPUTS is unset)`, () => undefined);
    return;
  }
  if (!existsSync(dir)) throw new Error(`PAGEWRIGHT_INPUTS names ${dir}, which does not exist`);
  describe(name, () => {
    register(dir);
  });
}
