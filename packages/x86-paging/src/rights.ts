/**
 * Rights (what a translation allows) and accesses (what is attempted), both as small integers that index one table.
 *
 *   rights   bit 4 XU   3 X   2 U   1 W   0 R
 *   access   bit 5 shadow stack   4 EFLAGS.AC   3 implicit   2 user (CPL 3)   1:0 read 0, write 1, fetch 2
 */

/** The translation may be read. Always set on x86 tables; EPT and RISC-V have a bit for it. */
export const RIGHT_READ = 1;
/** R/W is 1 in every entry of the walk. */
export const RIGHT_WRITE = 2;
/** U/S is 1 in every entry of the walk. */
export const RIGHT_USER = 4;
/** No entry of the walk forbids execution. */
export const RIGHT_EXECUTE = 8;
/** EPT with mode-based execute control: instruction fetches from user-mode linear addresses are allowed. */
export const RIGHT_USER_EXECUTE = 16;
/** All rights at once: what a walk starts from. */
export const ALL_RIGHTS = 31;

/** A data read. */
export const ACCESS_READ = 0;
/** A data write (or read-modify-write). */
export const ACCESS_WRITE = 1;
/** An instruction fetch. */
export const ACCESS_FETCH = 2;
/** The two bits that tell read, write and fetch. */
export const ACCESS_KIND = 3;
/** Made at CPL 3. */
export const ACCESS_USER = 4;
/** An implicit supervisor access (descriptor tables, TSS): supervisor whatever the CPL, and EFLAGS.AC does not help. */
export const ACCESS_IMPLICIT = 8;
/** EFLAGS.AC is 1: with SMAP, explicit supervisor data accesses to user pages are allowed. */
export const ACCESS_AC = 16;
/** A shadow-stack access (CALL, RET, WRSS …; WRUSS is one with `ACCESS_USER`). */
export const ACCESS_SHADOW_STACK = 32;
/** How many access numbers there are. */
export const ACCESS_COUNT = 64;

/** The features that decide which rights an access needs. All off: an i386. */
export interface RightsPolicy {
  /** CR0.WP: supervisor writes need R/W. */
  readonly writeProtect: boolean;
  /** CR4.SMEP: no supervisor fetch from user pages. */
  readonly smep: boolean;
  /** CR4.SMAP: no supervisor data access to user pages unless explicit with EFLAGS.AC = 1. */
  readonly smap: boolean;
  /** EPT "mode-based execute control": user fetches need XU instead of X. */
  readonly modeBasedExecute: boolean;
  /** RISC-V mstatus.MXR: executable pages may be read. */
  readonly executableReadable: boolean;
}

/** Which family of rules a mode follows. */
export type RightsRule = "x86" | "ept" | "riscv";

/**
 * Whether `rights` allow `access`; keys and the shadow-stack encoding are not looked at.
 * Source: SDM 3A, Access Rights; Intel SDM 3C, EPT Violations; RISC-V privileged, Sv32 algorithm.
 */
export function allows(rule: RightsRule, policy: RightsPolicy, rights: number, access: number): boolean {
  const kind = access & ACCESS_KIND;
  const user = (access & (ACCESS_USER | ACCESS_IMPLICIT)) === ACCESS_USER;
  if (rule === "ept") {
    if (kind === ACCESS_WRITE) return (rights & RIGHT_WRITE) !== 0;
    if (kind === ACCESS_READ) return (rights & RIGHT_READ) !== 0;
    return (rights & (policy.modeBasedExecute && user ? RIGHT_USER_EXECUTE : RIGHT_EXECUTE)) !== 0;
  }
  const userPage = (rights & RIGHT_USER) !== 0;
  if (user && !userPage) return false;
  const helped = (access & (ACCESS_AC | ACCESS_IMPLICIT)) === ACCESS_AC;
  if (rule === "riscv") return allowsRiscv(policy, rights, kind, !user && userPage, helped);
  if (kind === ACCESS_FETCH) return (rights & RIGHT_EXECUTE) !== 0 && (user || !userPage || !policy.smep);
  if (!user && userPage && policy.smap && !helped) return false;
  if (kind === ACCESS_READ) return (rights & RIGHT_READ) !== 0;
  return (rights & RIGHT_WRITE) !== 0 || (!user && !policy.writeProtect);
}

function allowsRiscv(policy: RightsPolicy, rights: number, kind: number, reaching: boolean, helped: boolean): boolean {
  if (reaching && (kind === ACCESS_FETCH || !helped)) return false;
  if (kind === ACCESS_FETCH) return (rights & RIGHT_EXECUTE) !== 0;
  if (kind === ACCESS_WRITE) return (rights & RIGHT_WRITE) !== 0;
  return (rights & (RIGHT_READ | (policy.executableReadable ? RIGHT_EXECUTE : 0))) !== 0;
}

/** `R-X U` as four letters: read, write, execute, user, a dash where missing. */
export function rightsText(rights: number): string {
  const letter = (bit: number, text: string): string => ((rights & bit) === 0 ? "-" : text);
  return letter(RIGHT_READ, "r") + letter(RIGHT_WRITE, "w") + letter(RIGHT_EXECUTE, "x") + letter(RIGHT_USER, "u");
}
