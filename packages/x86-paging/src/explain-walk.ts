/** A walk told step by step: every level's entry, what was checked, the first check that failed, and the error code that follows. */

import { bigintOfWords, formatBigint } from "./address.ts";
import { keyOf } from "./attributes.ts";
import type { EntryExplanation, ReservedCause } from "./explain-entry.ts";
import { explainEntry, reservedText } from "./explain-entry.ts";
import type { PagingMode } from "./mode.ts";
import { levelOf } from "./mode.ts";
import type { TableMemory } from "./ports.ts";
import { explainRegister } from "./register.ts";
import { PAGE_FAULT_ERROR } from "./registers.ts";
import {
  ACCESS_AC,
  ACCESS_FETCH,
  ACCESS_IMPLICIT,
  ACCESS_KIND,
  ACCESS_SHADOW_STACK,
  ACCESS_USER,
  ACCESS_WRITE,
  RIGHT_EXECUTE,
  RIGHT_READ,
  RIGHT_USER,
  RIGHT_WRITE,
} from "./rights.ts";
import type { PagingState } from "./state.ts";
import type { Pfn } from "./units.ts";
import { physOf } from "./units.ts";
import {
  EPT_MISCONFIGURATION,
  EPT_VIOLATION,
  entryRights,
  isKeyDenied,
  NON_CANONICAL,
  TRANSLATED,
  Walk,
  walkExact,
} from "./walk.ts";

/** The check that a walk failed. */
export type WalkCheck =
  | "canonical"
  | "present"
  | "reserved"
  | "user"
  | "read"
  | "write"
  | "execute"
  | "smep"
  | "smap"
  | "key"
  | "shadow-stack";

/** One entry of the walk. */
export interface WalkStep {
  readonly level: number;
  readonly name: string;
  /** Frame of the table. */
  readonly table: Pfn;
  readonly index: number;
  /** Physical address of the entry. */
  readonly entryAddress: bigint;
  readonly low: number;
  readonly high: number;
  readonly entry: EntryExplanation;
}

/** Where a walk failed. */
export interface WalkFailure {
  readonly check: WalkCheck;
  /** Level of the entry to blame; 0 where no entry is. */
  readonly level: number;
  /** For "reserved": why the bits are. */
  readonly reserved: readonly ReservedCause[];
  readonly sentence: string;
}

/** A walk in data and words. */
export interface WalkExplanation {
  readonly address: bigint;
  readonly access: number;
  /** `TRANSLATED`, an error code, `NON_CANONICAL`, or an EPT exit. */
  readonly code: number;
  /** Physical address reached; absent where the walk failed. */
  readonly physical?: bigint;
  readonly steps: readonly WalkStep[];
  /** Rights accumulated as far as the walk went. */
  readonly rights: number;
  readonly failure?: WalkFailure;
  /** The whole story, one sentence a line. */
  readonly sentences: readonly string[];
}

/** "user-mode write" and the like. */
export function accessText(access: number): string {
  const kind = access & ACCESS_KIND;
  const what = kind === ACCESS_WRITE ? "write" : kind === ACCESS_FETCH ? "instruction fetch" : "read";
  const shadow = (access & ACCESS_SHADOW_STACK) === 0 ? "" : "shadow-stack ";
  if ((access & ACCESS_IMPLICIT) !== 0) return `implicit supervisor ${shadow}${what}`;
  const ac = (access & (ACCESS_AC | ACCESS_USER)) === ACCESS_AC ? " with AC = 1" : "";
  return `${(access & ACCESS_USER) === 0 ? "supervisor" : "user"} ${shadow}${what}${ac}`;
}

/** Explains the walk for one access. Reads what `walk` would read and changes nothing. */
export function explainWalk(
  state: PagingState,
  memory: TableMemory,
  low: number,
  high: number,
  access: number,
): WalkExplanation {
  const walk = new Walk();
  const code = walkExact(state, memory, low, high, access, walk);
  const address = bigintOfWords(low, high);
  const steps = stepsOf(state, walk);
  const failure = code === TRANSLATED ? undefined : failureOf(state, walk, steps, access, code);
  const sentences = [`${accessText(access)} of ${formatBigint(address)} (${state.mode.name})`];
  for (const step of steps)
    sentences.push(`[${step.index}] at ${formatBigint(step.entryAddress)}: ${step.entry.sentence}`);
  if (failure !== undefined) sentences.push(`fails: ${failure.sentence}`, ...codeText(code, walk));
  const base = { address, access, code, steps, rights: walk.rights, sentences };
  if (failure !== undefined) return { ...base, failure };
  const physical = BigInt(physOf(walk.pfn)) + (address & 0xfffn);
  sentences.push(`translates to ${formatBigint(physical)}`);
  return { ...base, physical };
}

function stepsOf(state: PagingState, walk: Walk): WalkStep[] {
  const mode = state.mode;
  const steps: WalkStep[] = [];
  for (let n = mode.depth; n >= walk.level && walk.level > 0; n--) {
    const low = walk.lows[n]!;
    const high = walk.highs[n]!;
    const table = walk.tables[n]!;
    const index = walk.indices[n]!;
    const entryAddress = BigInt(physOf(table)) + BigInt(index * mode.entryWords * 4);
    steps.push({
      level: n,
      name: levelOf(mode, n).name,
      table,
      index,
      entryAddress,
      low,
      high,
      entry: explainEntry(state, n, low, high),
    });
  }
  return steps;
}

function codeText(code: number, walk: Walk): string[] {
  if (code === NON_CANONICAL) return ["raises #GP(0) (#SS(0) for a stack access)"];
  if (code === EPT_VIOLATION) return [`EPT violation, exit qualification 0x${walk.qualification.toString(16)}`];
  if (code === EPT_MISCONFIGURATION) return ["EPT misconfiguration"];
  const words = explainRegister(PAGE_FAULT_ERROR, BigInt(code)).map((line) => line.text);
  return [`raises #PF with error code 0x${code.toString(16)}: ${words.join("; ")}`];
}

function failureOf(
  state: PagingState,
  walk: Walk,
  steps: readonly WalkStep[],
  access: number,
  code: number,
): WalkFailure {
  const plain = (check: WalkCheck, level: number, sentence: string): WalkFailure => ({
    check,
    level,
    reserved: [],
    sentence,
  });
  const mode = state.mode;
  if (code === NON_CANONICAL) return plain("canonical", 0, `the address is not canonical in ${mode.addressBits} bits`);
  const last = steps.at(-1);
  if (last === undefined && code === EPT_VIOLATION)
    return plain("canonical", 0, `the guest-physical address is wider than ${mode.addressBits} bits`);
  if (last === undefined) return plain("present", 0, "no entry was read");
  if (last.entry.kind === "not-present") return plain("present", last.level, `the ${last.name} entry is not present`);
  if (last.entry.reserved.length > 0) {
    const causes = last.entry.reserved.map((item) => item.cause);
    return {
      check: "reserved",
      level: last.level,
      reserved: causes,
      sentence: reservedText(last.entry.reserved),
    };
  }
  return rightsFailure(state, walk, steps, access);
}

/** The first level, from the root, whose entry lacks a right; the leaf where all have it. */
function lacking(mode: PagingMode, steps: readonly WalkStep[], right: number): WalkStep | undefined {
  return (
    steps.find((step) => (entryRights(mode, levelOf(mode, step.level), step.low, step.high) & right) === 0)
    ?? steps.at(-1)
  );
}

function rightsFailure(state: PagingState, walk: Walk, steps: readonly WalkStep[], access: number): WalkFailure {
  const mode = state.mode;
  const kind = access & ACCESS_KIND;
  const user = (access & (ACCESS_USER | ACCESS_IMPLICIT)) === ACCESS_USER;
  const rights = walk.rights;
  const leaf = steps.at(-1);
  const lack = (check: WalkCheck, right: number, text: string): WalkFailure => {
    const step = mode.definition.inherit === "leaf" ? leaf : lacking(mode, steps, right);
    return {
      check,
      level: step?.level ?? 0,
      reserved: [],
      sentence: `${text} (${step?.name ?? ""} entry ${step?.index ?? 0})`,
    };
  };
  const atLeaf = (check: WalkCheck, text: string): WalkFailure => ({
    check,
    level: leaf?.level ?? 0,
    reserved: [],
    sentence: text,
  });
  if ((access & ACCESS_SHADOW_STACK) !== 0)
    return atLeaf("shadow-stack", "the page is not a shadow-stack page of this privilege");
  if (user && (rights & RIGHT_USER) === 0 && mode.userMask !== 0)
    return lack("user", RIGHT_USER, "U/S is 0: the page is the supervisor's");
  if (kind === ACCESS_FETCH && (rights & RIGHT_EXECUTE) === 0)
    return lack("execute", RIGHT_EXECUTE, "execution is forbidden");
  const reaching = !user && (rights & RIGHT_USER) !== 0 && mode.userMask !== 0;
  if (kind === ACCESS_FETCH && reaching)
    return atLeaf("smep", "the supervisor may not execute a user page (SMEP): U/S is 1 at every level");
  const denied = state.allowed[((access & 63) << 5) | rights] !== 1;
  if (denied && kind === ACCESS_WRITE && (rights & RIGHT_WRITE) === 0) return lack("write", RIGHT_WRITE, "R/W is 0");
  if (denied && reaching)
    return atLeaf("smap", "the supervisor may not access a user page (SMAP) without EFLAGS.AC = 1");
  const key = keyOf(mode, walk.high);
  if (isKeyDenied(state, rights, key, access)) return atLeaf("key", `protection key ${key} denies the access`);
  if ((rights & RIGHT_READ) === 0) return lack("read", RIGHT_READ, "the page is not readable");
  return atLeaf("execute", "the access is denied");
}
