import type { Command } from "commander";
import { MachineEngine, WalkerEngine } from "../conformance/engines.ts";
import type { Engine } from "../conformance/engines.ts";
import type { MmuCase } from "../conformance/mmu-case.ts";
import { agrees, parseCases, resultText } from "../conformance/mmu-case.ts";
import { readText } from "../files.ts";
import { failCheck, print, textTable } from "../output.ts";

/** Failures listed, at most. */
const LISTED = 100;

interface Failure {
  readonly id: string;
  readonly engine: string;
  readonly expected: string;
  readonly got: string;
}

interface Count {
  passed: number;
  failed: number;
}

interface FileReport {
  readonly file: string;
  readonly cases: number;
  readonly walker: Count;
  readonly mmu: Count;
}

/** Adds `pagewright conformance FILE…`: recorded MMU cases through the walker and the machine's MMU. */
export function registerConformance(program: Command): void {
  program
    .command("conformance")
    .summary("recorded MMU cases through the walker and the machine's MMU")
    .description(
      "Run recorded memory accesses through the walker and through a CPU of the machine, and compare outcome and entries.",
    )
    .argument("<file...>", "recorded cases, one JSON object a line, plain or .gz")
    .option("--json", "print one JSON document")
    .action((files: string[], options: { readonly json?: boolean }) => {
      const failures: Failure[] = [];
      const reports = files.map((file) => runFile(file, failures));
      const sum = (pick: (count: Count) => number): number =>
        reports.reduce((total, { walker, mmu }) => total + pick(walker) + pick(mmu), 0);
      const passed = sum((count) => count.passed);
      const failed = sum((count) => count.failed);
      if (failed > 0) failCheck();
      print(
        options.json,
        () => ({ files: reports, passed, failed, failures }),
        () => textOf(reports, failures, passed, failed),
      );
    });
}

function runFile(file: string, failures: Failure[]): FileReport {
  const cases = parseCases(readText(file), file);
  const walker = runCases(cases, new WalkerEngine(), failures);
  const mmu = runCases(cases, new MachineEngine(), failures);
  return { file, cases: cases.length, walker, mmu };
}

function runCases(cases: readonly MmuCase[], engine: Engine, failures: Failure[]): Count {
  const count: Count = { passed: 0, failed: 0 };
  for (const one of cases) {
    const failure = runCase(one, engine);
    if (failure === undefined) count.passed++;
    else {
      count.failed++;
      if (failures.length < LISTED) failures.push(failure);
    }
  }
  return count;
}

/** Entries are compared where the access succeeded: what a fault leaves behind on the way is the processor's own affair. */
function runCase(one: MmuCase, engine: Engine): Failure | undefined {
  const got = engine.run(one);
  const about = { id: one.id, engine: engine.name };
  if (!agrees(one.expected, got)) return { ...about, expected: resultText(one.expected), got: resultText(got) };
  if (one.expected.outcome !== "ok") return undefined;
  for (const entry of one.entries) {
    const after = engine.entryAt(entry.address);
    if (after === entry.after) continue;
    const text = (value: bigint): string => `entry at 0x${entry.address.toString(16)}: 0x${value.toString(16)}`;
    return { ...about, expected: text(entry.after), got: text(after) };
  }
  return undefined;
}

function textOf(reports: readonly FileReport[], failures: readonly Failure[], passed: number, failed: number): string {
  const rows = reports.map(({ file, cases, walker, mmu }) => [
    file,
    cases,
    walker.passed,
    walker.failed,
    mmu.passed,
    mmu.failed,
  ]);
  const table = textTable([["file", "cases", "walker passed", "failed", "mmu passed", "failed"], ...rows]);
  const lines = failures.map(({ id, engine, expected, got }) => `${id} (${engine}): expected ${expected}, got ${got}`);
  return [table, ...lines, `${passed} passed, ${failed} failed`].join("\n");
}
