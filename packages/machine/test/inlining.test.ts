import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";

/** Bytecodes of the largest function that V8 makes part of a caller. */
const LARGEST_INLINED = 460;

test("what a load or store does after a miss is too large to become part of it: a loop of stores stays short", () => {
  const script = `
    import { firmwareMapOf, Machine, PhysicalMap } from "@pagewright/machine";
    const machine = new Machine({ map: new PhysicalMap(firmwareMapOf([{ base: 0n, length: 1n << 20n, type: 1 }])) });
    machine.cpus[0].store32(0, 1);`;
  const print = ["--print-bytecode", "--print-bytecode-filter=translate"];
  const source = ["--conditions=@pagewright/source", "--import", "tsx", "--input-type=module", "--eval", script];
  const { stdout, status } = spawnSync(process.execPath, [...print, ...source], { encoding: "utf8" });
  expect(status).toBe(0);
  const lengths = [...stdout.matchAll(/Bytecode length: (\d+)/g)].map((match) => Number(match[1]));
  expect(Math.max(...lengths)).toBeGreaterThan(LARGEST_INLINED);
});
