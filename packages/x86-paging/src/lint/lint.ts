/** Lint for page tables: every rule over one address space. */

import { vpnHigh, vpnLow } from "../address.ts";
import { ACCESS_READ } from "../rights.ts";
import type { TableMemory } from "../ports.ts";
import type { PagingState } from "../state.ts";
import type { Vpn } from "../units.ts";
import { Walk, walkExact } from "../walk.ts";
import { gatherRuns } from "./gather.ts";
import { FINDING_LIMIT } from "./finding.ts";
import type { LintFinding, LintOptions, LintRule, LintRun, LintScene } from "./finding.ts";
import {
  lintExecutableAliases,
  lintLinearMap,
  lintMemoryTypes,
  lintRights,
  lintStacks,
  lintWritableTables,
} from "./run-rules.ts";
import { lintTables } from "./table-rules.ts";

/**
 * Everything that is wrong or weak in a set of tables, rule by rule. Bounded in time and memory for any tables: leaves
 * and tables looked at, runs kept and findings are limited, and what a limit leaves out is a finding, `incomplete`. O(n log n) in the runs.
 */
export function lint(state: PagingState, memory: TableMemory, options: LintOptions = {}): LintFinding[] {
  const findings: LintFinding[] = [];
  const counts = new Map<LintRule, number>();
  const limit = options.findingLimit ?? FINDING_LIMIT;
  const report = (finding: LintFinding): void => {
    const count = counts.get(finding.rule) ?? 0;
    counts.set(finding.rule, count + 1);
    if (count < limit) findings.push(finding);
  };
  const wants = (rule: LintRule): boolean => (counts.get(rule) ?? 0) < limit;
  const own = gatherRuns(state, memory, options, report);
  const all = [...own];
  for (const other of options.others ?? []) for (const run of gatherRuns(other, memory, options, report)) all.push(run);
  const byFrame = distinctFrames(all);
  const scene: LintScene = { state, memory, options, runs: own, byFrame, wants, report };
  const tables = lintTables(scene);
  lintRights(scene);
  lintWritableTables(scene, tables);
  lintExecutableAliases(scene);
  lintMemoryTypes(scene);
  lintLinearMap(scene);
  lintStacks(scene, (vpn) => isMapped(state, memory, vpn));
  return findings;
}

/** Runs by frame, those that map the same frames with the same rights (one table at many addresses) only once. */
function distinctFrames(all: readonly LintRun[]): LintRun[] {
  const seen = new Set<string>();
  const kept = all.filter((run) => {
    const key = `${run.pfn} ${run.pages} ${run.rights}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
  return kept.sort((a, b) => a.pfn - b.pfn);
}

const EVERYTHING = new Walk();

/** Whether an entry maps the page, whatever its rights. */
function isMapped(state: PagingState, memory: TableMemory, vpn: Vpn): boolean {
  const code = walkExact(state, memory, vpnLow(vpn), vpnHigh(vpn), ACCESS_READ, EVERYTHING);
  return code < 0 ? code === -1 : (code & 1) !== 0;
}
