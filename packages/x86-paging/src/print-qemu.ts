/**
 * The texts of QEMU's monitor, to the byte: `info tlb` and `info mem`.
 * Source: QEMU, target/i386/monitor.c (formats only; checked against recorded listings).
 */

import { PageDigits } from "./address.ts";
import { BoundedCursor } from "./bounded-cursor.ts";
import type { LeafBound } from "./bounded-cursor.ts";
import type { LeafCursor } from "./cursor.ts";
import { vpnOfRaw } from "./cursor.ts";
import type { PagingMode } from "./mode.ts";
import { MODE_PAE } from "./modes.ts";
import type { TableMemory } from "./ports.ts";
import { RIGHT_USER, RIGHT_WRITE } from "./rights.ts";
import type { PagingState } from "./state.ts";
import type { Vpn } from "./units.ts";

/** Restricts a listing to some pages, and to some leaves. */
export interface ListingOptions extends LeafBound {
  readonly vpn?: Vpn;
  readonly pages?: number;
  /** Leaves for which this is false are passed over. */
  readonly accept?: (leaf: LeafCursor) => boolean;
}

/** Sixteen digits of a position in index order, sign-extended as the mode wants. */
function canonicalDigits(digits: PageDigits, mode: PagingMode, raw: number): string {
  return digits.of(raw >= 2 ** (mode.addressBits - 12) ? raw : vpnOfRaw(mode, raw));
}

/** Which bits of the leaf's words each letter of `info tlb` shows: XGPDACTUW. */
const TLB_FLAGS = "XGPDACTUW";

/** NX as a bit of a frame number. */
const NX_FRAME = 2 ** 51;

/** The lines of `info tlb`: one per leaf, the leaf's own bits. In PAE tables QEMU leaves NX in the address. */
export function* qemuTlb(
  state: PagingState,
  memory: TableMemory,
  options: ListingOptions = {},
): Generator<string, void> {
  const cursor = new BoundedCursor(state, memory, options, options.vpn, options.pages);
  const accept = options.accept;
  const texts: string[] = [];
  const pages = new PageDigits();
  const frames = new PageDigits();
  const nxFrame = state.mode === MODE_PAE ? NX_FRAME : 0;
  while (cursor.next()) {
    if (accept !== undefined && !accept(cursor)) continue;
    const frame = cursor.high >= 2 ** 31 ? cursor.pfn + nxFrame : cursor.pfn;
    const bits = ((cursor.low & 0x1fe) >>> 1) | ((cursor.high >>> 31) << 8);
    const flags = (texts[bits] ??= flagsText(bits));
    yield `${pages.of(cursor.vpn)}: ${frames.of(frame)} ${flags}\n`;
  }
}

function flagsText(bits: number): string {
  return Array.from(TLB_FLAGS, (letter, i) => (((bits >>> (8 - i)) & 1) === 0 ? "-" : letter)).join("");
}

/** The lines of `info mem`: runs of pages with the same U/S and R/W, both ANDed over the levels. */
export function* qemuMem(
  state: PagingState,
  memory: TableMemory,
  options: ListingOptions = {},
): Generator<string, void> {
  const cursor = new BoundedCursor(state, memory, options, options.vpn, options.pages);
  const mode = state.mode;
  const accept = options.accept;
  const digits = new PageDigits();
  let start = -1;
  let end = 0;
  let rights = 0;
  while (cursor.next()) {
    if (accept !== undefined && !accept(cursor)) continue;
    const own = cursor.rights & (RIGHT_USER | RIGHT_WRITE);
    if (start >= 0 && (cursor.raw !== end || own !== rights)) {
      yield memLine(digits, mode, start, end, rights);
      start = -1;
    }
    if (start < 0) start = cursor.raw;
    end = cursor.raw + cursor.pages;
    rights = own;
  }
  if (start >= 0) yield memLine(digits, mode, start, end, rights);
}

function memLine(digits: PageDigits, mode: PagingMode, start: number, end: number, rights: number): string {
  const letters = `${(rights & RIGHT_USER) === 0 ? "-" : "u"}r${(rights & RIGHT_WRITE) === 0 ? "-" : "w"}`;
  return `${canonicalDigits(digits, mode, start)}-${canonicalDigits(digits, mode, end)} ${canonicalDigits(digits, mode, end - start)} ${letters}\n`;
}
