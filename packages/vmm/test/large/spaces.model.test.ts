/** The model test of all operations on spaces and objects, in a world that has room for 2M pages and uses them wherever it can. */
import { expect, test } from "vitest";

import { runLarge } from "../model/large-run.ts";

for (const [name, odds] of [
  ["ports that work", 2 ** 30],
  ["one port call in 15 fails", 15],
] as const)
  test(`random operations with 2M pages agree with a Map of pages: ${name}`, async () => {
    const { faults, splits } = await runLarge([1, 2], odds, 160);
    expect(faults).toBeGreaterThan(3);
    expect(splits).toBeGreaterThan(1);
  });
