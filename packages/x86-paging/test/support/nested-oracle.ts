/**
 * The slow walkers of the nested formats, and of both dimensions together: bigint throughout, spelt out from the manuals' figures.
 * Sources: SDM 3C, EPT Translation Mechanism and EPT-Induced VM Exits; APM 2, Nested Paging.
 */

import type { OracleAccess, OracleOutcome, OracleRegisters } from "./oracle.ts";
import { oracleWalk } from "./oracle.ts";

/** Reads an entry of so many bytes at a physical address. */
export type Read = (address: bigint, bytes: number) => bigint;

/** What EPT's outcome depends on. */
export interface EptRegisters {
  readonly format: "EPT";
  readonly levels: 4 | 5;
  readonly root: bigint;
  readonly maxphyaddr: number;
  /** Execute-only translations are supported. */
  readonly executeOnly: boolean;
  /** Mode-based execute control. */
  readonly modeBased: boolean;
  /** EPTP bit 6. */
  readonly accessedDirty: boolean;
}

/** What NPT's outcome depends on: hCR3, the host's MAXPHYADDR and EFER.NXE. */
export interface NptRegisters {
  readonly format: "NPT";
  readonly levels: 4 | 5;
  readonly root: bigint;
  readonly maxphyaddr: number;
  readonly nxe: boolean;
}

/** An access to a guest-physical address. `user`: through a user-mode linear address. */
export interface NestedAccess {
  readonly kind: "read" | "write" | "fetch";
  readonly user: boolean;
}

/** How a nested walk ends. A qualification's bit 6 is defined only under mode-based execute control. */
export type NestedOutcome =
  | { readonly kind: "ok"; readonly pa: bigint; readonly used: readonly bigint[]; readonly type: number }
  | { readonly kind: "misconfiguration" }
  | { readonly kind: "violation"; readonly qualification: number }
  | { readonly kind: "npf"; readonly error: number }
  | { readonly kind: "outside" };

const bit = (value: bigint, n: number): boolean => ((value >> BigInt(n)) & 1n) === 1n;
const bits = (value: bigint, high: number, low: number): bigint =>
  (value >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n);

/** Extended page tables. An address wider than the tables is a violation. */
export function oracleEpt(regs: EptRegisters, read: Read, gpa: bigint, access: NestedAccess): NestedOutcome {
  const tried = access.kind === "read" ? 1 : access.kind === "write" ? 2 : 4;
  if (gpa >> BigInt(regs.levels === 4 ? 48 : 57) !== 0n) return { kind: "violation", qualification: tried };
  const entries: bigint[] = [];
  const used: bigint[] = [];
  let table = regs.root;
  for (let level = regs.levels as number; ; level--) {
    const shift = 3 + 9 * level;
    const address = table + bits(gpa, shift + 8, shift) * 8n;
    const entry = read(address, 8);
    used.push(address);
    entries.push(entry);
    const present = bits(entry, 2, 0) !== 0n || (regs.modeBased && bit(entry, 10));
    if (!present) return { kind: "violation", qualification: tried };
    const leaf = level === 1 || (level <= 3 && bit(entry, 7));
    if (!bit(entry, 0)) {
      if (bit(entry, 1)) return { kind: "misconfiguration" };
      if (!regs.executeOnly) return { kind: "misconfiguration" };
    }
    if (regs.maxphyaddr < 52 && bits(entry, 51, regs.maxphyaddr) !== 0n) return { kind: "misconfiguration" };
    if (level >= 4 && bits(entry, 7, 3) !== 0n) return { kind: "misconfiguration" };
    if (!leaf && level < 4 && bits(entry, 6, 3) !== 0n) return { kind: "misconfiguration" };
    if (leaf && level > 1 && bits(entry, shift - 1, 12) !== 0n) return { kind: "misconfiguration" };
    if (leaf && [2n, 3n, 7n].includes(bits(entry, 5, 3))) return { kind: "misconfiguration" };
    table = bits(entry, 51, 12) << 12n;
    if (!leaf) continue;
    const every = (n: number): boolean => entries.every((one) => bit(one, n));
    const fetchBit = regs.modeBased && access.user ? 10 : 2;
    if (every(access.kind === "read" ? 0 : access.kind === "write" ? 1 : fetchBit)) {
      return { kind: "ok", pa: table + bits(gpa, shift - 1, 0), used, type: Number(bits(entry, 5, 3)) };
    }
    const allowed = (every(0) ? 8 : 0) | (every(1) ? 16 : 0) | (every(2) ? 32 : 0);
    return { kind: "violation", qualification: tried | allowed | (regs.modeBased && every(10) ? 64 : 0) };
  }
}

/** AMD's nested tables: the long-mode format, every access a user access, no keys, no SMEP, no SMAP. */
export function oracleNpt(regs: NptRegisters, read: Read, gpa: bigint, access: NestedAccess): NestedOutcome {
  const width = regs.levels === 4 ? 48 : 57;
  if (gpa >> BigInt(width) !== 0n) return { kind: "outside" };
  const host: OracleRegisters = {
    mode: regs.levels === 4 ? "4-level" : "5-level",
    root: regs.root,
    pdptes: [],
    maxphyaddr: regs.maxphyaddr,
    wp: false,
    smep: false,
    smap: false,
    nxe: regs.nxe,
    pke: false,
    pks: false,
    pkru: 0n,
    pkrs: 0n,
  };
  const spelt = BigInt.asUintN(64, BigInt.asIntN(width, gpa));
  const plain = { kind: access.kind, user: true, implicit: false, ac: false, shadowStack: false };
  const outcome = oracleWalk(host, read, spelt, plain);
  if (outcome.kind === "ok") return { kind: "ok", pa: outcome.pa, used: outcome.used, type: 0 };
  return outcome.kind === "gp" ? { kind: "outside" } : { kind: "npf", error: outcome.error };
}

/** Either format. */
export function oracleNested(
  regs: EptRegisters | NptRegisters,
  read: Read,
  gpa: bigint,
  access: NestedAccess,
): NestedOutcome {
  return regs.format === "EPT" ? oracleEpt(regs, read, gpa, access) : oracleNpt(regs, read, gpa, access);
}

/** How a walk of both dimensions ends: in the guest, or refused by the nested tables. */
export type PlanarOutcome =
  | { readonly kind: "guest"; readonly outcome: OracleOutcome }
  | { readonly kind: "ok"; readonly gpa: bigint; readonly pa: bigint }
  | { readonly kind: "nested"; readonly page: bigint; readonly inTables: boolean; readonly outcome: NestedOutcome };

class Refused extends Error {
  readonly page: bigint;
  readonly outcome: NestedOutcome;

  constructor(page: bigint, outcome: NestedOutcome) {
    super("the nested tables refuse");
    this.page = page;
    this.outcome = outcome;
  }
}

/** Both dimensions by brute force: the guest's walk, each of its reads sent through a nested walk of its own, then the final address. */
export function oraclePlanar(
  guest: OracleRegisters,
  nested: EptRegisters | NptRegisters,
  read: Read,
  va: bigint,
  access: OracleAccess,
): PlanarOutcome {
  const writes = nested.format === "NPT" || nested.accessedDirty;
  const through: Read = (address, bytes) => {
    const outcome = oracleNested(nested, read, address, { kind: writes ? "write" : "read", user: true });
    if (outcome.kind !== "ok") throw new Refused(address >> 12n, outcome);
    return read(outcome.pa, bytes);
  };
  try {
    const own = oracleWalk(guest, through, va, access);
    if (own.kind !== "ok") return { kind: "guest", outcome: own };
    const user = own.rights.endsWith("u");
    const outcome = oracleNested(nested, read, own.pa, { kind: access.kind, user });
    if (outcome.kind !== "ok") return { kind: "nested", page: own.pa >> 12n, inTables: false, outcome };
    return { kind: "ok", gpa: own.pa, pa: outcome.pa };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { kind: "nested", page: error.page, inTables: true, outcome: error.outcome };
  }
}
