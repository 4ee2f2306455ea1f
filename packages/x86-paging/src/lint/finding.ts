/** What lint reports, and what it may be told. */

import type { TableMemory } from "../ports.ts";
import type { PagingState } from "../state.ts";
import type { Pfn, Vpn } from "../units.ts";

/** The rules, by name. */
export type LintRule =
  | "writable-executable"
  | "user-in-upper-half"
  | "reserved-bits"
  | "beyond-maxphyaddr"
  | "memory-type-conflict"
  | "table-writable"
  | "linear-map"
  | "misaligned-leaf"
  | "loop"
  | "table-beyond-memory"
  | "not-global"
  | "no-guard-page"
  | "executable-alias"
  | "incomplete";

/** error: the processor faults or isolation is broken; warning: a known weakness; note: costs speed. */
export type LintSeverity = "error" | "warning" | "note";

/** One thing that lint found: which rule, how bad, where, and a sentence. */
export interface LintFinding {
  readonly rule: LintRule;
  readonly severity: LintSeverity;
  /** First page of the offending range; where a limit ended the search (`incomplete`), of the first leaf or table left out. */
  readonly vpn: Vpn;
  /** 4K pages. */
  readonly pages: number;
  /** First frame concerned; absent where none is. */
  readonly pfn?: Pfn;
  readonly sentence: string;
}

/** A range of frames, half-open. */
export interface FrameSpan {
  readonly start: Pfn;
  readonly end: Pfn;
}

/** A stack: its pages, the lowest first. */
export interface StackSpan {
  readonly vpn: Vpn;
  readonly pages: number;
}

/** Findings of one rule where nobody says otherwise: more say nothing new. */
export const FINDING_LIMIT = 1000;

/** What lint cannot see in the tables. */
export interface LintOptions {
  /** Root entry that refers to the root on purpose. */
  readonly recursiveSlot?: number;
  /** RAM, for the rule about linear maps. Without it that rule is silent. */
  readonly ram?: readonly FrameSpan[];
  /** Whether there is memory at a frame, for the rule about tables beyond it. Without it that rule is silent. */
  readonly has?: (pfn: Pfn) => boolean;
  /** Stacks, each of which should have an unmapped page below. */
  readonly stacks?: readonly StackSpan[];
  /** IA32_PAT (default: as after reset). */
  readonly pat?: bigint;
  /** CR4.PGE: look for missing global bits (default true). */
  readonly globalPages?: boolean;
  /** Other address spaces whose mappings count for aliases and writable tables. */
  readonly others?: readonly PagingState[];
  /** Leaves looked at per address space, at most (default 2^24). */
  readonly leafLimit?: number;
  /** Runs kept per address space, at most (default 2^20; some 200 bytes each). */
  readonly runLimit?: number;
  /** Tables looked at, and references from table to table, at most (default 2^20 of each). */
  readonly tableLimit?: number;
  /** Findings per rule, at most (default 1000). */
  readonly findingLimit?: number;
}

/** What the rules work on. */
export interface LintScene {
  readonly state: PagingState;
  readonly memory: TableMemory;
  readonly options: LintOptions;
  /** Merged runs of this address space. */
  readonly runs: readonly LintRun[];
  /** Runs of this and the other spaces, by frame. */
  readonly byFrame: readonly LintRun[];
  /** Whether another finding of a rule would still be kept: what is not need not be worded. */
  wants(rule: LintRule): boolean;
  /** Reports; the number per rule is limited. */
  report(finding: LintFinding): void;
}

/** A run as the rules want it. */
export interface LintRun {
  readonly vpn: Vpn;
  readonly pages: number;
  readonly pfn: Pfn;
  readonly rights: number;
  readonly attributes: number;
  readonly level: number;
}
