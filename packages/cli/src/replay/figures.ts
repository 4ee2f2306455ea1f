/** What the layers counted during a replay, as its report has it. */
import { ROOMY_TLB } from "@pagewright/machine";
import type { AuditReport, Stack } from "@pagewright/stack";
import type { ReplayReport } from "./report.ts";
import type { Replay } from "./set-up.ts";
import type { TracedProgram } from "./traced-program.ts";

type Checked = Pick<ReplayReport, "loadsChecked" | "fetchesChecked" | "mismatches">;
type Speed = Pick<ReplayReport, "seconds" | "recordsPerSecond" | "rehearsal">;
type Figures = Omit<ReplayReport, keyof Checked | keyof Speed | "pagesVerified" | "audit">;

/** Returns what the layers counted; to be taken before whole pages are verified, which faults them in again. */
export function figuresOf({ name, request, machine, programs, frames, stack, tiers, kernel }: Replay): Figures {
  const { stats } = stack.vmm;
  const pmm = stack.pmm.stats();
  return {
    trace: name,
    map: machine,
    policy: stack.vmm.core.policy.name,
    swapTiers: tiers.names,
    cpus: request.cpus,
    records: sumOf(programs, ({ trace }) => trace.records.length),
    references: sumOf(programs, ({ trace }) => trace.references),
    pages: sumOf(programs, ({ trace }) => trace.vpns.length),
    frames,
    faults: { minor: stats.minorFaults, major: stats.majorFaults, total: stats.minorFaults + stats.majorFaults },
    prefetched: stats.prefetched,
    evictions: stats.evictions,
    writebacks: stats.writebacks,
    swap: { in: stats.swapIns, out: stats.swapOuts },
    swapStores: stack.vmm.swapTiers(),
    tlb: { name: request.tlb ?? ROOMY_TLB.name, ...translationsOf(stack), kernelMisses: kernel.misses },
    largePages: { pages: request.pages ?? "4K", ...stack.vmm.large.stats() },
    overheadFrames: pmm.usedFrames - stack.vmm.residentPages,
    zones: pmm.zones.map(({ name, node, frames, freeFrames }) => ({ name, node, frames, freeFrames })),
  };
}

/** Returns what the programs compared word by word. */
export function checkedBy(programs: readonly TracedProgram[]): Checked {
  return {
    loadsChecked: sumOf(programs, ({ loadsChecked }) => loadsChecked),
    fetchesChecked: sumOf(programs, ({ fetchesChecked }) => fetchesChecked),
    mismatches: sumOf(programs, ({ mismatches }) => mismatches),
  };
}

/** Returns two audits as one. */
export function bothOf(before: AuditReport, after: AuditReport): AuditReport {
  return {
    ok: before.ok && after.ok,
    checked: before.checked + after.checked,
    problems: [...before.problems, ...after.problems],
  };
}

/** Returns the sum of a figure over all items. */
export function sumOf<T>(items: readonly T[], figure: (item: T) => number): number {
  return items.reduce((sum, item) => sum + figure(item), 0);
}

function translationsOf(stack: Stack): Pick<ReplayReport["tlb"], "hits" | "misses"> {
  const figures = stack.machine.cpus.map((cpu) => cpu.stats());
  return {
    hits: sumOf(figures, ({ dataHits, codeHits }) => dataHits + codeHits),
    misses: sumOf(figures, ({ dataMisses, codeMisses }) => dataMisses + codeMisses),
  };
}
