/** Every fact of the catalogue is held by one test or listed as a difference on purpose: none twice, none forgotten. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { expect, test } from "vitest";

import { FACTS } from "./facts.ts";
import { FURTHER_FACTS } from "./further-facts.ts";

const folder = fileURLToPath(new URL(".", import.meta.url));

/** The ids that the tests of this folder hold, each as often as it is held. */
function held(): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".test.ts"))
    .flatMap((name) => [...readFileSync(`${folder}${name}`, "utf8").matchAll(/^\s*fact\(\s*"([AB]\d{3})"/gm)])
    .map((match) => match[1] ?? "");
}

/** The ids that begin a row of a table of DIFFERENCES.md. */
function listed(): string[] {
  const text = readFileSync(new URL("../../DIFFERENCES.md", import.meta.url), "utf8");
  return [...text.matchAll(/^\| ([AB]\d{3}) /gm)].map((match) => match[1] ?? "");
}

test("every fact is held by one test or listed as one difference, and nothing else is", () => {
  expect(Object.keys(FACTS).length).toBe(215);
  const ids = [...Object.keys(FACTS), ...Object.keys(FURTHER_FACTS)];
  expect([...held(), ...listed()].sort()).toEqual([...ids].sort());
});
