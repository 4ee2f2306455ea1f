/** One thing explained: a value, and what it says line by line. */
import type { Explanation, Register } from "@pagewright/x86-paging";
import {
  CR0,
  CR3,
  CR3_WITHOUT_PCID,
  CR4,
  EFER,
  explainRegister,
  PAGE_FAULT_ERROR,
  PAT,
  PKRS,
  PKRU,
} from "@pagewright/x86-paging";
import { hex } from "../paging-options.ts";

/** What is explained, and how. */
export interface Item {
  /** "CR0", "page-fault error code", "PDE" … */
  readonly name: string;
  /** The value as a hex string; absent for plain sentences. */
  readonly value?: string;
  readonly sentence: string;
  readonly lines: readonly ExplainedLine[];
}

/** One field of the value. */
export interface ExplainedLine {
  readonly name: string;
  readonly bits: string;
  readonly value: string;
  readonly text: string;
}

/** Registers by the names that users type. */
const REGISTERS: Readonly<Record<string, Register<string>>> = {
  cr0: CR0,
  cr3: CR3_WITHOUT_PCID,
  "cr3+pcid": CR3,
  cr4: CR4,
  efer: EFER,
  pkru: PKRU,
  pkrs: PKRS,
  pat: PAT,
  error: PAGE_FAULT_ERROR,
  pf: PAGE_FAULT_ERROR,
  "#pf": PAGE_FAULT_ERROR,
};

/** The names that {@link explainNamed} knows. */
export const REGISTER_NAMES: readonly string[] = [
  "cr0",
  "cr2",
  "cr3",
  "cr3+pcid",
  "cr4",
  "efer",
  "pkru",
  "pkrs",
  "pat",
  "error",
];

function line({ name, bits, value, text }: Explanation): ExplainedLine {
  return { name, bits, value: hex(value), text };
}

/** Explains a register or error code by name, or returns undefined for a name that is none. */
export function explainNamed(name: string, value: bigint): Item | undefined {
  const key = name.toLowerCase();
  if (key === "cr2")
    return { name: "CR2", value: hex(value), sentence: `CR2: the last page fault was at ${hex(value)}`, lines: [] };
  const register = REGISTERS[key];
  if (register === undefined) return undefined;
  const lines = explainRegister(register, value).map(line);
  return {
    name: register.name,
    value: hex(value),
    sentence: `${register.name} ${hex(value)}: ${lines.map((item) => item.text).join("; ") || "all zero"}`,
    lines,
  };
}
