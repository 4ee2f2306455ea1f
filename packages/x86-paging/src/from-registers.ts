/** From control registers to the paging mode and state that they select. */

import type { PagingMode } from "./mode.ts";
import { MODE_32_BIT, MODE_32_BIT_NO_PSE, MODE_4_LEVEL, MODE_5_LEVEL, MODE_PAE, MODE_UNPAGED } from "./modes.ts";
import type { TableMemory } from "./ports.ts";
import { levelOf } from "./mode.ts";
import type { PagingOptions } from "./state.ts";
import { PagingState } from "./state.ts";
import { wordsOfBigint } from "./address.ts";

/** The registers that select a paging mode. Values may be numbers where they are exact. */
export interface PagingRegisters {
  readonly cr0: bigint | number;
  readonly cr3: bigint | number;
  readonly cr4: bigint | number;
  readonly efer?: bigint | number;
  readonly pkru?: bigint | number;
  readonly pkrs?: bigint | number;
  /** MAXPHYADDR (default 52, 40 under 32-bit paging). */
  readonly maxPhysicalBits?: number;
  /** SME/SEV C-bit. */
  readonly encryptionBit?: number;
}

const bitOf = (value: bigint, bit: number): boolean => ((value >> BigInt(bit)) & 1n) === 1n;

/** The paging mode that CR0.PG, CR4.PAE, CR4.LA57, CR4.PSE and EFER.LME select. Source: SDM 3A, Paging Modes and Control Bits. */
export function modeOfRegisters(registers: PagingRegisters): PagingMode {
  const cr0 = BigInt(registers.cr0);
  const cr4 = BigInt(registers.cr4);
  if (!bitOf(cr0, 31)) return MODE_UNPAGED;
  if (!bitOf(cr4, 5)) return bitOf(cr4, 4) ? MODE_32_BIT : MODE_32_BIT_NO_PSE;
  if (!bitOf(BigInt(registers.efer ?? 0), 8)) return MODE_PAE;
  return bitOf(cr4, 12) ? MODE_5_LEVEL : MODE_4_LEVEL;
}

/** The options of a `PagingState` that these registers ask for, `override` first (to read tables in another mode, say). */
export function optionsOfRegisters(registers: PagingRegisters, override?: PagingMode): PagingOptions {
  const mode = override ?? modeOfRegisters(registers);
  const cr0 = BigInt(registers.cr0);
  const cr3 = BigInt(registers.cr3);
  const cr4 = BigInt(registers.cr4);
  const long = mode.keyShift >= 0;
  const width = Math.min(registers.maxPhysicalBits ?? 52, mode.definition.physicalBits);
  return {
    mode,
    root: Number((cr3 >> 12n) & (long ? 0xff_ffff_ffffn : 0xfffffn)),
    maxPhysicalBits: width,
    noExecute: bitOf(BigInt(registers.efer ?? 0), 11),
    writeProtect: bitOf(cr0, 16),
    smep: bitOf(cr4, 20),
    smap: bitOf(cr4, 21),
    userKeys: bitOf(cr4, 22),
    supervisorKeys: bitOf(cr4, 24),
    pkru: Number(registers.pkru ?? 0),
    pkrs: Number(registers.pkrs ?? 0),
    lamUser: !long ? 0 : bitOf(cr3, 61) ? 57 : bitOf(cr3, 62) ? 48 : 0,
    lamSupervisor: long && bitOf(cr4, 28) ? (mode.depth === 5 ? 57 : 48) : 0,
    ...(registers.encryptionBit === undefined ? {} : { encryptionBit: registers.encryptionBit }),
  };
}

/**
 * Loads the four page-directory-pointer entries of PAE paging into the state, as a write of CR3 does. Returns the index of the
 * first entry with a reserved bit set (the processor raises #GP and CR3 stays), or −1. Source: SDM 3A, PDPTE Registers.
 */
export function loadPdptes(state: PagingState, memory: TableMemory, cr3: bigint | number): number {
  const [low] = wordsOfBigint(BigInt(cr3));
  const words = memory.words(low >>> 12);
  const at = memory.base(low >>> 12) + ((low & 0xfe0) >>> 2);
  const loaded = words.slice(at, at + 8);
  for (let i = 0; i < 4; i++) {
    const entryLow = loaded[2 * i] ?? 0;
    const entryHigh = loaded[2 * i + 1] ?? 0;
    const n = state.mode.depth;
    if (
      (entryLow & 1) !== 0
      && ((entryLow & state.reservedTableLow[n]!) !== 0 || (entryHigh & state.reservedTableHigh[n]!) !== 0)
    )
      return i;
  }
  state.rootEntries.fill(0);
  state.rootEntries.set(loaded);
  return -1;
}

/**
 * A state ready to walk: mode and features by the registers, and under PAE the four pointer entries read from `memory`
 * (an entry with reserved bits is kept as it is found, so that a walk reports it).
 */
export function stateOfRegisters(registers: PagingRegisters, memory: TableMemory, override?: PagingMode): PagingState {
  const state = new PagingState(optionsOfRegisters(registers, override));
  const root = state.mode.depth > 0 ? levelOf(state.mode, state.mode.depth) : undefined;
  if (root?.inRegisters === true && loadPdptes(state, memory, registers.cr3) >= 0) {
    const [low] = wordsOfBigint(BigInt(registers.cr3));
    const at = memory.base(state.root) + ((low & 0xfe0) >>> 2);
    state.rootEntries.set(memory.words(state.root).slice(at, at + 8));
  }
  return state;
}
