/**
 * A second walker, deliberately slow: bigint throughout, one mode after the other spelt out from the manual's figures, sharing
 * nothing with the package but the names of the errors.
 */

/** What the oracle knows of a processor. */
export interface OracleRegisters {
  readonly mode: "4-level" | "5-level" | "PAE" | "32-bit" | "32-bit without PSE";
  readonly root: bigint;
  readonly pdptes: readonly bigint[];
  readonly maxphyaddr: number;
  readonly wp: boolean;
  readonly smep: boolean;
  readonly smap: boolean;
  readonly nxe: boolean;
  readonly pke: boolean;
  readonly pks: boolean;
  readonly pkru: bigint;
  readonly pkrs: bigint;
}

/** An access. */
export interface OracleAccess {
  readonly kind: "read" | "write" | "fetch";
  readonly user: boolean;
  readonly implicit: boolean;
  readonly ac: boolean;
  readonly shadowStack: boolean;
}

/** How it ends. `used` are the addresses of the entries read, root first. */
export type OracleOutcome =
  | { readonly kind: "ok"; readonly pa: bigint; readonly used: readonly bigint[]; readonly rights: string }
  | { readonly kind: "gp" }
  | { readonly kind: "pf"; readonly error: number; readonly used: readonly bigint[] };

const bit = (value: bigint, n: number): boolean => ((value >> BigInt(n)) & 1n) === 1n;
const bits = (value: bigint, high: number, low: number): bigint =>
  (value >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n);

interface Step {
  readonly entry: bigint;
  readonly level: number;
  readonly leaf: boolean;
  /** PAE page-directory-pointer entries have no rights. */
  readonly silent: boolean;
}

/** Walks from the manual: SDM 3A, chapter Paging. `read` returns an entry of 8 (or 4) bytes at a physical address. */
export function oracleWalk(
  regs: OracleRegisters,
  read: (address: bigint, bytes: number) => bigint,
  va: bigint,
  access: OracleAccess,
): OracleOutcome {
  const long = regs.mode === "4-level" || regs.mode === "5-level";
  const width = regs.mode === "5-level" ? 57 : 48;
  if (long && BigInt.asUintN(64, BigInt.asIntN(width, va)) !== va) return { kind: "gp" };
  const user = access.user && !access.implicit;
  let error = 0;
  if (access.kind === "write") error |= 2;
  if (user) error |= 4;
  if (
    access.kind === "fetch"
    && ((regs.nxe && regs.mode !== "32-bit" && regs.mode !== "32-bit without PSE") || regs.smep)
  )
    error |= 16;
  if (access.shadowStack) error |= 64;
  const used: bigint[] = [];
  const steps: Step[] = [];
  const fail = (more: number): OracleOutcome => ({ kind: "pf", error: error | more, used });

  if (regs.mode === "32-bit" || regs.mode === "32-bit without PSE") {
    const pdeAddress = regs.root + bits(va, 31, 22) * 4n;
    used.push(pdeAddress);
    const pde = read(pdeAddress, 4);
    if (!bit(pde, 0)) return fail(0);
    if (regs.mode === "32-bit" && bit(pde, 7)) {
      const usable = Math.min(regs.maxphyaddr, 40) - 32;
      if (bit(pde, 21)) return fail(9);
      for (let n = Math.max(0, usable); n < 8; n++) if (bit(pde, 13 + n)) return fail(9);
      steps.push({ entry: pde, level: 2, leaf: true, silent: false });
      return judge((bits(pde, 20, 13) << 32n) | (bits(pde, 31, 22) << 22n) | bits(va, 21, 0));
    }
    steps.push({ entry: pde, level: 2, leaf: false, silent: false });
    const pteAddress = (bits(pde, 31, 12) << 12n) + bits(va, 21, 12) * 4n;
    used.push(pteAddress);
    const pte = read(pteAddress, 4);
    if (!bit(pte, 0)) return fail(0);
    steps.push({ entry: pte, level: 1, leaf: true, silent: false });
    return judge((bits(pte, 31, 12) << 12n) | bits(va, 11, 0));
  }

  let table = regs.root;
  const top = regs.mode === "5-level" ? 5 : regs.mode === "4-level" ? 4 : 3;
  for (let level = top; level >= 1; level--) {
    const low = 12 + 9 * (level - 1);
    const pointer = regs.mode === "PAE" && level === 3;
    const index = bits(va, pointer ? 31 : low + 8, low);
    const address = table + index * 8n;
    used.push(address);
    const entry = pointer ? (regs.pdptes[Number(index)] ?? 0n) : read(address, 8);
    if (!bit(entry, 0)) return fail(0);
    const leaf = level === 1 || (level <= 3 && !pointer && bit(entry, 7));
    if (isReserved(entry, level, leaf, pointer)) return fail(9);
    steps.push({ entry, level, leaf, silent: pointer });
    const frame = bits(entry, 51, 12) << 12n;
    if (leaf) {
      const size = 1n << BigInt(low);
      return judge((frame / size) * size + (va % size));
    }
    table = frame;
  }
  throw new Error("a walk without a leaf");

  function isReserved(entry: bigint, level: number, leaf: boolean, pointer: boolean): boolean {
    if (regs.maxphyaddr < 52 && bits(entry, 51, regs.maxphyaddr) !== 0n) return true;
    if (pointer) return bits(entry, 63, 52) !== 0n || bits(entry, 2, 1) !== 0n || bits(entry, 8, 5) !== 0n;
    if (!regs.nxe && bit(entry, 63)) return true;
    if (regs.mode === "PAE" && bits(entry, 62, 52) !== 0n) return true;
    if (level >= 4 && bit(entry, 7)) return true;
    if (leaf && level === 2 && bits(entry, 20, 13) !== 0n) return true;
    return leaf && level === 3 && bits(entry, 29, 13) !== 0n;
  }

  function judge(pa: bigint): OracleOutcome {
    const speaking = steps.filter((step) => !step.silent);
    const writable = speaking.every((step) => bit(step.entry, 1));
    const userPage = speaking.every((step) => bit(step.entry, 2));
    const narrow = regs.mode === "32-bit" || regs.mode === "32-bit without PSE";
    const executable = narrow || speaking.every((step) => !bit(step.entry, 63));
    const leaf = speaking.at(-1)?.entry ?? 0n;
    let denied = false;
    if (access.shadowStack) {
      const above = speaking.slice(0, -1).every((step) => bit(step.entry, 1));
      denied = !(above && !bit(leaf, 1) && bit(leaf, 6) && user === userPage);
    } else if (user) {
      denied = !userPage || (access.kind === "write" && !writable) || (access.kind === "fetch" && !executable);
    } else {
      if (access.kind === "fetch") denied = !executable || (userPage && regs.smep);
      else if (userPage && regs.smap && (access.implicit || !access.ac)) denied = true;
      if (access.kind === "write" && !writable && regs.wp) denied = true;
    }
    let keyed = false;
    if (long && access.kind !== "fetch") {
      const key = bits(leaf, 62, 59);
      const register = userPage ? (regs.pke ? regs.pkru : 0n) : regs.pks ? regs.pkrs : 0n;
      if (bit(register, Number(key * 2n))) keyed = true;
      if (bit(register, Number(key * 2n + 1n)) && access.kind === "write" && (user || regs.wp)) keyed = true;
    }
    if (denied || keyed) return fail(1 | (keyed ? 32 : 0));
    const rights = `r${writable ? "w" : "-"}${executable ? "x" : "-"}${userPage ? "u" : "-"}`;
    return { kind: "ok", pa, used, rights };
  }
}
