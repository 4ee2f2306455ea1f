/** The manager beside the Linux of this computer: random operations come to the same, byte for byte. Needs Linux 6.13 or later (guard pages) and a C compiler. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { platform, release, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterAll, describe, expect, test } from "vitest";

import { MemorySwap, PlainMemory, Vmm } from "@pagewright/vmm";

import { rigOf } from "../kit/rig.ts";
import { Scenario, agrees, type Step } from "./linux/scenario.ts";

const OPERATIONS = 80;
const RUNS = 150;
const folder = mkdtempSync(join(tmpdir(), "pagewright-linux-"));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function isNewEnough(): boolean {
  const [major = 0, minor = 0] = release().split(".").map(Number);
  return platform() === "linux" && process.arch === "x64" && major * 1000 + minor >= 6013;
}

function compiled(): string | null {
  const program = join(folder, "program");
  const source = fileURLToPath(new URL("linux/program.c", import.meta.url));
  return spawnSync("cc", ["-O1", "-o", program, source]).status === 0 ? program : null;
}

/** The steps up to the first one that Linux takes in another way; empty: there is none. */
function disagreement(program: string, steps: readonly Step[]): string[] {
  const input = `${steps.map(({ line }) => line).join("\n")}\n`;
  const answers = execFileSync(program, [folder], { input, encoding: "utf8" }).split("\n");
  const at = steps.findIndex((step, number) => !agrees(step, answers[number] ?? "nothing"));
  if (at < 0) return [];
  return [...steps.slice(0, at + 1).map(({ line, ours }) => `${line} → ${ours}`), `Linux: ${answers[at] ?? "nothing"}`];
}

const program = isNewEnough() ? compiled() : null;

describe.skipIf(program === null)("what mmap and its kin do here", () => {
  test.each([
    ["plain tables", 1],
    ["x86 tables", 100_000],
  ])("is what Linux does, on %s", (name, first) => {
    for (let seed = first; seed < first + RUNS; seed++) {
      const memory = new PlainMemory(2048);
      const vmm =
        name === "x86 tables" ? rigOf().vmm : new Vmm({ frames: memory, window: memory, swap: [new MemorySwap(512)] });
      const scenario = new Scenario(vmm, seed);
      scenario.run(OPERATIONS);
      expect(disagreement(program ?? "", scenario.steps), `seed ${seed}`).toEqual([]);
    }
  });
});
