/** What a CPU's registers say of walks, for x86-paging's compiled state. */
import {
  MODE_32_BIT,
  MODE_32_BIT_NO_PSE,
  MODE_4_LEVEL,
  MODE_5_LEVEL,
  MODE_PAE,
  MODE_UNPAGED,
} from "@pagewright/x86-paging";
import type { PagingMode, PagingOptions } from "@pagewright/x86-paging";
import * as bits from "./registers.ts";
import type { Registers } from "./registers.ts";

/** Whether a register has a bit, which may be its highest. */
export function has(word: number, bit: number): boolean {
  return Math.floor(word / bit) % 2 === 1;
}

function modeOf({ cr0, cr4, efer }: Registers): PagingMode {
  if (!has(cr0, bits.CR0_PG)) return MODE_UNPAGED;
  if (!has(cr4, bits.CR4_PAE)) return has(cr4, bits.CR4_PSE) ? MODE_32_BIT : MODE_32_BIT_NO_PSE;
  if (!has(efer, bits.EFER_LME)) return MODE_PAE;
  return has(cr4, bits.CR4_LA57) ? MODE_5_LEVEL : MODE_4_LEVEL;
}

/** Whether a mode has PCIDs and protection keys. */
export function isLong(mode: PagingMode): boolean {
  return mode === MODE_4_LEVEL || mode === MODE_5_LEVEL;
}

/** The frame of the root table that CR3 names. */
export function rootOf(cr3Low: number, cr3High: number): number {
  return (cr3High & 0xfffff) * 2 ** 20 + Math.floor(cr3Low / 4096);
}

/** The options of a walk under `registers`, on a CPU with physical addresses of `physicalBits` bits. */
export function pagingOptionsOf(registers: Registers, physicalBits: number): PagingOptions {
  const { cr0, cr3Low, cr3High, cr4, efer, pkru, pkrs } = registers;
  const mode = modeOf(registers);
  const long = isLong(mode);
  return {
    mode,
    root: rootOf(cr3Low, cr3High),
    maxPhysicalBits: Math.min(physicalBits, mode.definition.physicalBits),
    noExecute: has(efer, bits.EFER_NXE),
    writeProtect: has(cr0, bits.CR0_WP),
    smep: has(cr4, bits.CR4_SMEP),
    smap: has(cr4, bits.CR4_SMAP),
    userKeys: long && has(cr4, bits.CR4_PKE),
    supervisorKeys: long && has(cr4, bits.CR4_PKS),
    pkru,
    pkrs,
  };
}
