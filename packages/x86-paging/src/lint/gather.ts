/** The runs that the rules work on, gathered up to the limits that keep hostile tables from filling memory. */

import { bigintOfVpn, formatBigint } from "../address.ts";
import { LEAF_LIMIT, RUN_LIMIT } from "../bounded-cursor.ts";
import { LeafCursor, rawOfVpn } from "../cursor.ts";
import type { TableMemory } from "../ports.ts";
import { runs } from "../runs.ts";
import type { PagingState } from "../state.ts";
import type { LintFinding, LintOptions, LintRun } from "./finding.ts";

/** The runs of an address space in index order. What the limits leave out is reported as one finding. O(leaves looked at). */
export function gatherRuns(
  state: PagingState,
  memory: TableMemory,
  options: LintOptions,
  report: (finding: LintFinding) => void,
): LintRun[] {
  const leafLimit = options.leafLimit ?? LEAF_LIMIT;
  const runLimit = options.runLimit ?? RUN_LIMIT;
  const kept: LintRun[] = [];
  for (const run of runs(state, memory, { leafLimit })) {
    if (kept.length >= runLimit) break;
    kept.push(run);
  }
  const last = kept.at(-1);
  const rest = new LeafCursor(state, memory);
  if (last !== undefined) rest.seek(rawOfVpn(state.mode, last.vpn) + last.pages);
  if (rest.next()) {
    const { vpn, pages, pfn } = rest;
    const root = formatBigint(BigInt(state.root) * 4096n);
    const sentence = `the tables at ${root} map more than is looked at (${leafLimit} leaves or ${runLimit} runs): ${kept.length} runs were, nothing from ${formatBigint(bigintOfVpn(vpn))} on`;
    report({ rule: "incomplete", severity: "warning", vpn, pages, pfn, sentence });
  }
  return kept;
}
