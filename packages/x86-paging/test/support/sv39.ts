/**
 * RISC-V Sv39, defined from outside of the package, and a slow walker of it from the manual.
 * Source: RISC-V Instruction Set Manual, volume 2, Sv39: Page-Based 39-bit Virtual-Memory System.
 */

import type { LevelDefinition, PagingMode } from "@pagewright/x86-paging";
import { defineMode } from "@pagewright/x86-paging";

/** PPN at bits 53:10, rights in the leaf alone, a leaf is what may be read or executed; 63:54 are reserved without Svnapot and Svpbmt. */
const level = (name: string, shift: number, page: string): LevelDefinition => ({
  name,
  shift,
  indexBits: 9,
  leaf: shift === 12 ? "always" : "rights",
  page,
  table: { at: 10, width: 44, to: 12 },
  frame: { at: 10 + (shift - 12), width: 44 - (shift - 12), to: shift },
  reservedTable: [4, 6, 7, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63],
  reservedLeaf: [...Array.from({ length: shift - 12 }, (_, i) => 10 + i), 54, 55, 56, 57, 58, 59, 60, 61, 62, 63],
});

/** Sv39: 39-bit addresses, sign-extended; 4K, 2M and 1G pages; physical addresses of 56 bits. */
export const SV39: PagingMode = defineMode({
  name: "Sv39",
  entryBytes: 8,
  addressBits: 39,
  extension: "sign",
  physicalBits: 56,
  bits: { present: [0], read: 1, write: 2, execute: 3, user: 4, global: 5, accessed: 6, dirty: 7, software: [8, 9] },
  inherit: "leaf",
  rule: "riscv",
  levels: [level("L0", 12, "4K"), level("L1", 21, "2M"), level("L2", 30, "1G")],
});

/** What the outcome depends on: satp's root, sstatus.MXR. */
export interface Sv39Registers {
  readonly root: bigint;
  readonly mxr: boolean;
}

/** An access; `sum` is sstatus.SUM. */
export interface Sv39Access {
  readonly kind: "read" | "write" | "fetch";
  readonly user: boolean;
  readonly sum: boolean;
}

/** How it ends: every fault is a page fault, told apart by its cause. `leaf` is the address of the entry that maps. */
export type Sv39Outcome =
  | { readonly kind: "ok"; readonly pa: bigint; readonly leaf: bigint }
  | { readonly kind: "not canonical" | "invalid" | "reserved" | "denied" };

const bit = (value: bigint, n: number): boolean => ((value >> BigInt(n)) & 1n) === 1n;

/** The translation algorithm, steps 1 to 8; accessed and dirty bits are kept by hardware (Svadu). */
export function oracleSv39(
  regs: Sv39Registers,
  read: (address: bigint, bytes: number) => bigint,
  va: bigint,
  access: Sv39Access,
): Sv39Outcome {
  if (BigInt.asUintN(64, BigInt.asIntN(39, va)) !== va) return { kind: "not canonical" };
  let table = regs.root;
  for (let i = 2; i >= 0; i--) {
    const vpn = (va >> BigInt(12 + 9 * i)) & 0x1ffn;
    const address = table + vpn * 8n;
    const pte = read(address, 8);
    if (!bit(pte, 0)) return { kind: "invalid" };
    const [r, w, x, u] = [bit(pte, 1), bit(pte, 2), bit(pte, 3), bit(pte, 4)];
    if ((w && !r) || pte >> 54n !== 0n) return { kind: "reserved" };
    const ppn = (pte >> 10n) & ((1n << 44n) - 1n);
    if (!r && !x) {
      if (i === 0) return { kind: "denied" };
      if (u || bit(pte, 6) || bit(pte, 7)) return { kind: "reserved" };
      table = ppn << 12n;
      continue;
    }
    const size = 1n << BigInt(9 * i);
    if (ppn % size !== 0n) return { kind: "reserved" };
    const reach = access.user ? u : !u || (access.sum && access.kind !== "fetch");
    const right = access.kind === "fetch" ? x : access.kind === "write" ? w : r || (regs.mxr && x);
    if (!reach || !right) return { kind: "denied" };
    return { kind: "ok", pa: (ppn << 12n) + (va & ((size << 12n) - 1n)), leaf: address };
  }
  return { kind: "invalid" };
}
