/** What a replay found, as a JSON document and as a short text. */
import type { SwapTierStats } from "@pagewright/vmm";
import type { LargePageStats } from "@pagewright/vmm";
import { grouped, textTable } from "../output.ts";

/** Frames of one zone of the machine. */
export interface ZoneReport {
  readonly name: string;
  readonly node: number;
  readonly frames: number;
  readonly freeFrames: number;
}

/** Everything that `pagewright replay --json` prints. Counts are of the replayed records, before whole pages are verified. */
export interface ReplayReport {
  /** Names of the replayed traces, joined by `+`. */
  readonly trace: string;
  /** Name of the machine. */
  readonly map: string;
  readonly policy: string;
  /** Swap tiers in use, by priority. */
  readonly swapTiers: readonly string[];
  readonly cpus: number;
  /** Accesses made. */
  readonly records: number;
  /** References of the recorded programs that they stand for. */
  readonly references: number;
  /** Distinct pages. */
  readonly pages: number;
  /** Frames that the programs' resident pages may have. */
  readonly frames: number;
  readonly loadsChecked: number;
  readonly fetchesChecked: number;
  /** Pages compared as a whole at the end. */
  readonly pagesVerified: number;
  /** Words that were wrong, and accesses that nobody could serve. */
  readonly mismatches: number;
  readonly faults: { readonly minor: number; readonly major: number; readonly total: number };
  readonly prefetched: number;
  readonly evictions: number;
  readonly writebacks: number;
  /** Pages read from and written to swap. */
  readonly swap: { readonly in: number; readonly out: number };
  /** What became of each store: slots, transfers, failures; compressed memory and the store behind it are one. */
  readonly swapStores: readonly SwapTierStats[];
  /** Of all processors' TLBs. A miss is a walk of the page tables; `kernelMisses` of them are the kernel's, while it serves faults. */
  readonly tlb: {
    readonly name: string;
    readonly hits: number;
    readonly misses: number;
    readonly kernelMisses: number;
  };
  /** Whether 2M pages were used, and what became of them: filled by faults, refused for lack of a block, assembled, split. */
  readonly largePages: { readonly pages: "4K" | "2M" } & LargePageStats;
  /** Frames beyond the limit: page tables, windows, stock. */
  readonly overheadFrames: number;
  readonly zones: readonly ZoneReport[];
  /**
   * Host time of the replayed records: from before the first access to after the last one, with every fault, eviction and comparison of words in between. Not in it:
   * what is made ready (decoding, expected contents, the stack, host memory for its frames, the rehearsal), and whole pages and audits afterwards.
   */
  readonly seconds: number;
  readonly recordsPerSecond: number;
  /** What was run on another stack before, so that the host's compiler has done its work; 0 records in a replay that is shorter than that. */
  readonly rehearsal: { readonly records: number; readonly seconds: number };
  readonly audit: { readonly ok: boolean; readonly checked: number; readonly problems: readonly string[] };
}

/** Returns whether everything held: no mismatch, a clean audit. */
export function isClean(report: ReplayReport): boolean {
  return report.mismatches === 0 && report.audit.ok;
}

/** Returns the report as a short text. */
export function reportText(report: ReplayReport): string {
  const { faults, swap, tlb, audit, largePages: large } = report;
  const hitRate = (100 * tlb.hits) / Math.max(1, tlb.hits + tlb.misses);
  const rows: [string, string][] = [
    ["trace", `${report.trace}: ${grouped(report.pages)} pages on ${report.map}`],
    ["memory", `${grouped(report.frames)} frames, ${report.policy}, swap: ${report.swapTiers.join(", ")}`],
    ["references", `${grouped(report.references)} in ${grouped(report.records)} records`],
    ["loads checked", `${grouped(report.loadsChecked)}, and ${grouped(report.fetchesChecked)} fetches`],
    ["pages verified", grouped(report.pagesVerified)],
    ["mismatches", grouped(report.mismatches)],
    ["faults", `${grouped(faults.minor)} minor, ${grouped(faults.major)} major`],
    ["evictions", `${grouped(report.evictions)}, ${grouped(report.writebacks)} written back`],
    ["swap", `${grouped(swap.out)} pages out, ${grouped(swap.in)} in`],
    ["TLB hits", `${hitRate.toFixed(3)} % of ${grouped(tlb.hits + tlb.misses)} look-ups (${tlb.name})`],
    ["TLB misses", `${grouped(tlb.misses - tlb.kernelMisses)} of programs, ${grouped(tlb.kernelMisses)} of the kernel`],
    ...(large.pages === "2M" ? [["2M pages", largeText(large)] as [string, string]] : []),
    ...report.zones.map((zone): [string, string] => ["zone", zoneText(zone)]),
    ["overhead", `${grouped(report.overheadFrames)} frames for page tables, windows and stock`],
    ["host time", `${report.seconds.toFixed(3)} s, ${speedText(report)}`],
    ["audit", audit.ok ? `clean: ${grouped(audit.checked)} facts checked` : `FAILED: ${audit.problems.join("; ")}`],
  ];
  return textTable(rows);
}

function largeText({ faults, fallbacks, collapses, splits }: ReplayReport["largePages"]): string {
  return `${grouped(faults)} filled, ${grouped(collapses)} assembled, ${grouped(splits)} split; ${grouped(fallbacks)} faults found no room`;
}

function zoneText({ name, node, frames, freeFrames }: ZoneReport): string {
  return `${name}, node ${node}: ${grouped(frames)} frames, ${grouped(freeFrames)} free`;
}

function speedText({ references, records, seconds }: ReplayReport): string {
  const perSecond = (count: number): string => `${(count / seconds / 1e6).toFixed(1)} M`;
  return `${perSecond(records)} records/s, ${perSecond(references)} references/s`;
}
