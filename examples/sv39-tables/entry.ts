/**
 * Page-table entries of RISC-V Sv39 (RISCV, "Sv39: Page-Based 39-bit Virtual-Memory System" and "Svpbmt").
 *
 * ```
 *  63  62 61  60 … 54  53 ………………… 10  9 8  7 6 5 4 3 2 1 0
 *  N   PBMT   reserved  PPN (44 bits)    RSW  D A G U X W R V
 *      0 as the memory is · 1 not cached, idempotent · 2 input/output
 * ```
 * An entry with V and none of R, W, X leads to the next table. Two things that the manager asks for have no encoding, and use the bits that are
 * left to software:
 *
 * - a page that is there but has no rights: V is 0 (the processor then ignores all other bits) and {@link KEPT} says that the rest holds;
 * - write-through and uncached-minus: encoded as their stricter neighbours, and {@link WEAKER} says which was meant.
 */
import {
  ACCESSED,
  DIRTY,
  EXECUTE,
  GLOBAL,
  PRESENT,
  READ,
  UNCACHED,
  UNCACHED_MINUS,
  USER,
  WRITE,
  WRITE_BACK,
  WRITE_COMBINING,
  WRITE_THROUGH,
  typeOf,
  withType,
  type Pfn,
} from "@pagewright/vmm";

/** The entry is valid. */
export const V = 1;
/** Loads are allowed. */
export const R = 2;
/** Stores are allowed (only together with R: W alone is reserved). */
export const W = 4;
/** Fetches are allowed. */
export const X = 8;
/** User mode may use the page. */
export const U = 16;
/** The translation is the same in all spaces. */
export const G = 32;
/** The page was used. */
export const A = 64;
/** The page was stored to. */
export const D = 128;
/** For software: the entry holds although V is 0. */
export const KEPT = 256;
/** For software: the weaker of the two memory types that share an encoding. */
export const WEAKER = 512;

/** PBMT by the manager's memory type: write-back, write-through, write-combining, uncached-minus, uncached. */
const PBMT: readonly [number, number, number, number, number] = [0, 1, 1, 2, 2];
const PBMT_SHIFT = 29;
const PPN_LOW_SHIFT = 10;
const PPN_LOW_VALUES = 2 ** 22;

/** The two words of an entry. */
export interface EntryWords {
  /** Bits 31:0. */
  low: number;
  /** Bits 63:32. */
  high: number;
}

/** The words of a leaf: a frame with attributes and state (bits of `@pagewright/vmm`). */
export function leafWords(pfn: Pfn, state: number): EntryWords {
  const type = typeOf(state);
  const rights = ((state & READ) !== 0 ? R : 0) + ((state & WRITE) !== 0 ? W : 0) + ((state & EXECUTE) !== 0 ? X : 0);
  const legal = (rights & W) !== 0 ? rights | R : rights;
  const flags =
    (legal === 0 ? KEPT : V)
    + legal
    + ((state & USER) !== 0 ? U : 0)
    + ((state & GLOBAL) !== 0 ? G : 0)
    + ((state & ACCESSED) !== 0 ? A : 0)
    + ((state & DIRTY) !== 0 ? D : 0)
    + (type === WRITE_THROUGH || type === UNCACHED_MINUS ? WEAKER : 0);
  return {
    low: (((pfn & (PPN_LOW_VALUES - 1)) << PPN_LOW_SHIFT) | flags) >>> 0,
    high: Math.floor(pfn / PPN_LOW_VALUES) + PBMT[type] * 2 ** PBMT_SHIFT,
  };
}

/** The words of an entry that leads to the table in `pfn`. */
export function pointerWords(pfn: Pfn): EntryWords {
  return {
    low: (((pfn & (PPN_LOW_VALUES - 1)) << PPN_LOW_SHIFT) | V) >>> 0,
    high: Math.floor(pfn / PPN_LOW_VALUES),
  };
}

/** The frame of an entry. */
export function frameOf(entry: EntryWords): Pfn {
  return (entry.high & (PPN_LOW_VALUES - 1)) * PPN_LOW_VALUES + (entry.low >>> PPN_LOW_SHIFT);
}

/** Whether the entry leads to another table. */
export function isPointer(entry: EntryWords): boolean {
  return (entry.low & (V | R | W | X)) === V;
}

/** Attributes and state of a leaf in the manager's bits; 0 where the entry maps nothing. */
export function stateOf(entry: EntryWords): number {
  const { low, high } = entry;
  if ((low & (V | KEPT)) === 0) return 0;
  const state =
    PRESENT
    + ((low & R) !== 0 ? READ : 0)
    + ((low & W) !== 0 ? WRITE : 0)
    + ((low & X) !== 0 ? EXECUTE : 0)
    + ((low & U) !== 0 ? USER : 0)
    + ((low & G) !== 0 ? GLOBAL : 0)
    + ((low & A) !== 0 ? ACCESSED : 0)
    + ((low & D) !== 0 ? DIRTY : 0);
  const weaker = (low & WEAKER) !== 0;
  const pbmt = (high >>> PBMT_SHIFT) & 3;
  if (pbmt === 0) return withType(state, WRITE_BACK);
  if (pbmt === 1) return withType(state, weaker ? WRITE_THROUGH : WRITE_COMBINING);
  return withType(state, weaker ? UNCACHED_MINUS : UNCACHED);
}
