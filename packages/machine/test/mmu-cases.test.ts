import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { withInputs } from "@pagewright/tooling/inputs";
import { describe, expect, test } from "vitest";
import { CaseRunner } from "./mmu-cases.ts";
import type { MmuCase } from "./mmu-cases.ts";

const parse = (text: string): MmuCase[] =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as MmuCase);

/** Whether an access did what is expected, to the last digit; `ok ` alone where the case does not record the physical address. */
function agrees(got: string, expected: string): boolean {
  return expected === "ok " ? got.startsWith(expected) : got === expected;
}

/** Runs every case cold, warm, and after a change of the leaf that is not flushed; returns what differed. */
function failures(cases: readonly MmuCase[]): string[] {
  const runner = new CaseRunner();
  const out: string[] = [];
  for (const one of cases) {
    const cpu = runner.cpuFor(one);
    const expected = runner.expected(one);
    const cold = runner.access(cpu, one);
    if (!agrees(cold, expected)) out.push(`${one.id} cold: ${cold}, expected ${expected}`);
    if (one.result.outcome === "ok")
      for (const entry of one.entries) {
        const after = runner.read(cpu, Number(entry.addr));
        if (after !== BigInt(entry.after)) out.push(`${one.id} entry ${entry.addr}: ${after.toString(16)}`);
      }
    const walks = cpu.mmu.counts.dataMisses + cpu.mmu.counts.codeMisses;
    const warm = runner.access(cpu, one);
    if (!agrees(warm, expected)) out.push(`${one.id} warm: ${warm}, expected ${expected}`);
    const walked = cpu.mmu.counts.dataMisses + cpu.mmu.counts.codeMisses - walks;
    if (walked !== (one.result.outcome === "ok" ? 0 : 1)) out.push(`${one.id} warm: ${walked} walks`);
    const leaf = one.entries.at(-1);
    if (one.result.outcome !== "ok" || leaf === undefined) continue;
    runner.write(cpu, Number(leaf.addr), 0n);
    const stale = runner.access(cpu, one);
    cpu.invlpg(Number(BigInt.asIntN(64, BigInt(one.va))));
    const fresh = runner.access(cpu, one);
    if (!agrees(stale, expected) && stale !== fresh) out.push(`${one.id} stale: ${stale}`);
    if (!fresh.startsWith("fault 14")) out.push(`${one.id} after INVLPG: ${fresh}`);
  }
  runner.check();
  return out;
}

describe("recorded MMU cases through a CPU", () => {
  test("a sample behaves as recorded, cold, warm and stale", () => {
    const text = readFileSync(join(import.meta.dirname, "data/mmu-sample.jsonl"), "utf8");
    expect(failures(parse(text))).toEqual([]);
  });
});

withInputs("all recorded MMU cases through a CPU", (dir) => {
  for (const name of readdirSync(join(dir, "mmu")))
    test(`${name} behaves as recorded, cold, warm and stale`, () => {
      const text = gunzipSync(readFileSync(join(dir, "mmu", name))).toString("utf8");
      expect(failures(parse(text)).slice(0, 10)).toEqual([]);
    });
});
