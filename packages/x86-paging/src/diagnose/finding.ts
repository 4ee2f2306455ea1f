/** What the diagnosis works on and what it reports. */

import type { PagingMode } from "../mode.ts";
import type { PagingRegisters } from "../from-registers.ts";
import { stateOfRegisters } from "../from-registers.ts";
import { bigintOfWords } from "../address.ts";
import type { WalkStep } from "../explain-walk.ts";
import type { TableMemory } from "../ports.ts";
import type { PagingState } from "../state.ts";
import type { Pfn } from "../units.ts";
import { physOf } from "../units.ts";

/** Memory of which one can ask what is there. */
export interface ImageMemory extends TableMemory {
  /** Whether the frame is RAM of the machine (contained in the image). */
  has(pfn: Pfn): boolean;
}

/** GDTR or IDTR: where the processor finds its segment descriptors or interrupt gates. */
export interface DescriptorTable {
  /** Linear address of the first descriptor. */
  readonly base: bigint;
  /** Size in bytes minus one. */
  readonly limit: number;
}

/** The machine at its first fault. Left out registers are not checked. */
export interface DiagnosisInput extends PagingRegisters {
  readonly rip: bigint;
  readonly rsp: bigint;
  readonly idtr: DescriptorTable;
  readonly gdtr?: DescriptorTable;
  readonly cr2?: bigint;
  /** Code segment selector; its low two bits are the CPL. */
  readonly cs?: bigint;
  readonly memory: ImageMemory;
}

/** One thing that is wrong, the level and entry to blame where there is one; the first of a diagnosis is the cause. */
export interface Finding {
  /** Name of the rule. */
  readonly rule: string;
  readonly sentence: string;
  /** Level of the guilty entry. */
  readonly level?: number;
  /** Physical address of its table. */
  readonly table?: bigint;
  readonly index?: number;
  /** Physical address of the entry. */
  readonly entryAddress?: bigint;
  readonly value?: bigint;
  /** The virtual address whose access fails. */
  readonly address?: bigint;
}

/** Something that the processor has to reach. */
export interface Target {
  /** "code", "stack", "gdt", "idt", "handler". */
  readonly what: TargetKind;
  readonly address: bigint;
  readonly access: number;
  /** How a sentence names it. */
  readonly text: string;
}

/** The kinds of target. */
export type TargetKind = "code" | "stack" | "gdt" | "idt" | "handler" | "fault";

/** What every rule gets. */
export interface Scene {
  readonly input: DiagnosisInput;
  readonly memory: ImageMemory;
  readonly state: PagingState;
  readonly targets: readonly Target[];
}

/** The paging state of the scene's registers, read in another mode or from another root where asked. */
export function stateOf(input: DiagnosisInput, override?: PagingMode, root?: Pfn): PagingState {
  const state = stateOfRegisters(input, input.memory, override);
  if (root !== undefined) state.root = root;
  return state;
}

/** A finding about the entry of one step. */
export function findingAt(rule: string, sentence: string, step: WalkStep, address: bigint): Finding {
  return {
    rule,
    sentence,
    level: step.level,
    table: BigInt(physOf(step.table)),
    index: step.index,
    entryAddress: step.entryAddress,
    value: bigintOfWords(step.low, step.high),
    address,
  };
}

/** How an entry of a table is called: PML4E, PDPTE, PDE, PTE. */
export function entryName(tableName: string): string {
  return tableName === "PT" ? "PTE" : `${tableName}E`;
}
