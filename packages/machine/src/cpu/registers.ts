/**
 * Control-register bits that memory management looks at. Source: Intel SDM volume 3A, Control Registers; Extended
 * Feature Enables.
 */

/** CR0.WP: supervisor writes obey R/W. */
export const CR0_WP: number = 2 ** 16;
/** CR0.NW: not write-through. */
export const CR0_NW: number = 2 ** 29;
/** CR0.CD: cache disable. */
export const CR0_CD: number = 2 ** 30;
/** CR0.PG: paging on. */
export const CR0_PG: number = 2 ** 31;
/** CR0.PE: protected mode. */
export const CR0_PE = 1;
/** CR4.PSE: 4M pages under 32-bit paging. */
export const CR4_PSE: number = 2 ** 4;
/** CR4.PAE: 8-byte entries. */
export const CR4_PAE: number = 2 ** 5;
/** CR4.PGE: global pages. */
export const CR4_PGE: number = 2 ** 7;
/** CR4.LA57: 5-level paging. */
export const CR4_LA57: number = 2 ** 12;
/** CR4.PCIDE: process-context identifiers. */
export const CR4_PCIDE: number = 2 ** 17;
/** CR4.SMEP: no supervisor fetches from user pages. */
export const CR4_SMEP: number = 2 ** 20;
/** CR4.SMAP: no supervisor data accesses to user pages. */
export const CR4_SMAP: number = 2 ** 21;
/** CR4.PKE: protection keys for user pages. */
export const CR4_PKE: number = 2 ** 22;
/** CR4.PKS: protection keys for supervisor pages. */
export const CR4_PKS: number = 2 ** 24;
/** EFER.LME: 64-bit paging. */
export const EFER_LME: number = 2 ** 8;
/** EFER.LMA: 64-bit paging is in force. */
export const EFER_LMA: number = 2 ** 10;
/** EFER.NXE: bit 63 of an entry forbids fetches. */
export const EFER_NXE: number = 2 ** 11;

/** Values of the registers that decide a translation. All are unsigned words; CR3 has two. */
export interface Registers {
  /** CR0. */
  readonly cr0: number;
  /** CR3, low word. */
  readonly cr3Low: number;
  /** CR3, high word (bit 31, the no-flush bit, never stays set). */
  readonly cr3High: number;
  /** CR4. */
  readonly cr4: number;
  /** EFER, low word. */
  readonly efer: number;
  /** PKRU. */
  readonly pkru: number;
  /** IA32_PKRS. */
  readonly pkrs: number;
}

/** What a CPU of the machine starts with: 64-bit paging with WP, PGE and NXE; CR3 is 0 and must be written. */
export const LONG_MODE: Registers = {
  cr0: CR0_PG + CR0_WP + CR0_PE,
  cr3Low: 0,
  cr3High: 0,
  cr4: CR4_PAE + CR4_PGE,
  efer: EFER_LME + EFER_LMA + EFER_NXE,
  pkru: 0,
  pkrs: 0,
};

/** What the hardware starts with: paging off, caches disabled. Source: SDM 3A, Processor State After Reset. */
export const RESET_STATE: Registers = {
  cr0: CR0_CD + CR0_NW + 2 ** 4,
  cr3Low: 0,
  cr3High: 0,
  cr4: 0,
  efer: 0,
  pkru: 0,
  pkrs: 0,
};
