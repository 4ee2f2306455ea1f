/** The registers that have a say in paging. Source: SDM 3A, Control Registers; Protection Keys; PAT; SDM 3A, Interrupt 14. */

import { PagingError } from "./errors.ts";
import type { Register, RegisterField } from "./register.ts";

const bit = <Name extends string>(name: Name, at: number, text: string, zero?: string): RegisterField<Name> =>
  zero === undefined ? { name, at, width: 1, text } : { name, at, width: 1, text, zero };

/** The bits of CR0, for `decodeRegister`, `encodeRegister` and `explainRegister`. Source: SDM 3A, Control Registers. */
export const CR0: Register<"PE" | "MP" | "EM" | "TS" | "ET" | "NE" | "WP" | "AM" | "NW" | "CD" | "PG"> = {
  name: "CR0",
  bits: 32,
  fields: [
    bit("PE", 0, "protected mode", "real mode: PE is 0, paging cannot be on"),
    bit("MP", 1, "WAIT monitors the coprocessor"),
    bit("EM", 2, "x87 instructions fault"),
    bit("TS", 3, "task switched: the next x87 or SSE instruction faults"),
    bit("ET", 4, "x87 present"),
    bit("NE", 5, "x87 errors raise #MF"),
    bit(
      "WP",
      16,
      "write protect: the supervisor too needs R/W = 1 to write",
      "the supervisor may write to read-only pages (WP is 0)",
    ),
    bit("AM", 18, "alignment checks are possible"),
    bit("NW", 29, "not write-through"),
    bit("CD", 30, "caches disabled"),
    bit("PG", 31, "paging is on", "paging is off: addresses are physical"),
  ],
};

/** CR3 with PCID and LAM; bits 11:0 are PWT and PCD where CR4.PCIDE is 0. */
export const CR3: Register<"PCID" | "frame" | "LAM_U57" | "LAM_U48" | "NOFLUSH"> = {
  name: "CR3",
  bits: 64,
  fields: [
    {
      name: "PCID",
      at: 0,
      width: 12,
      text: "process-context identifier (with CR4.PCIDE = 0: bit 3 PWT, bit 4 PCD, others ignored)",
    },
    {
      name: "frame",
      at: 12,
      width: 40,
      text: "physical address of the root table",
      zero: "the root table is at physical address 0",
    },
    bit("LAM_U57", 61, "LAM57 for user addresses: bits 62:57 carry metadata"),
    bit("LAM_U48", 62, "LAM48 for user addresses: bits 62:48 carry metadata"),
    bit("NOFLUSH", 63, "on a write with PCIDE = 1: keep the PCID's translations"),
  ],
};

/** CR3 where CR4.PCIDE is 0. */
export const CR3_WITHOUT_PCID: Register<"PWT" | "PCD" | "frame" | "LAM_U57" | "LAM_U48"> = {
  name: "CR3",
  bits: 64,
  fields: [
    bit("PWT", 3, "the root table is cached write-through"),
    bit("PCD", 4, "the root table is not cached"),
    {
      name: "frame",
      at: 12,
      width: 40,
      text: "physical address of the root table",
      zero: "the root table is at physical address 0",
    },
    bit("LAM_U57", 61, "LAM57 for user addresses: bits 62:57 carry metadata"),
    bit("LAM_U48", 62, "LAM48 for user addresses: bits 62:48 carry metadata"),
  ],
};

/** The bits of CR4. Source: SDM 3A, Control Registers. */
export const CR4: Register<
  | "VME"
  | "PVI"
  | "TSD"
  | "DE"
  | "PSE"
  | "PAE"
  | "MCE"
  | "PGE"
  | "PCE"
  | "OSFXSR"
  | "OSXMMEXCPT"
  | "UMIP"
  | "LA57"
  | "VMXE"
  | "SMXE"
  | "FSGSBASE"
  | "PCIDE"
  | "OSXSAVE"
  | "KL"
  | "SMEP"
  | "SMAP"
  | "PKE"
  | "CET"
  | "PKS"
  | "UINTR"
  | "LAM_SUP"
  | "FRED"
> = {
  name: "CR4",
  bits: 64,
  fields: [
    bit("VME", 0, "virtual-8086 extensions"),
    bit("PVI", 1, "protected-mode virtual interrupts"),
    bit("TSD", 2, "RDTSC only at CPL 0"),
    bit("DE", 3, "debugging extensions"),
    bit("PSE", 4, "4M pages under 32-bit paging"),
    bit("PAE", 5, "8-byte entries: PAE, or long mode with EFER.LME"),
    bit("MCE", 6, "machine checks"),
    bit("PGE", 7, "global pages"),
    bit("PCE", 8, "RDPMC at any CPL"),
    bit("OSFXSR", 9, "SSE"),
    bit("OSXMMEXCPT", 10, "SSE errors raise #XM"),
    bit("UMIP", 11, "SGDT, SIDT, SLDT, SMSW, STR only at CPL 0"),
    bit("LA57", 12, "5-level paging: 57-bit addresses"),
    bit("VMXE", 13, "VMX"),
    bit("SMXE", 14, "SMX"),
    bit("FSGSBASE", 16, "RDFSBASE and its kin"),
    bit("PCIDE", 17, "process-context identifiers"),
    bit("OSXSAVE", 18, "XSAVE"),
    bit("KL", 19, "key locker"),
    bit("SMEP", 20, "the supervisor may not execute user pages"),
    bit("SMAP", 21, "the supervisor may not access user data unless EFLAGS.AC = 1"),
    bit("PKE", 22, "protection keys for user pages"),
    bit("CET", 23, "control-flow enforcement: shadow stacks"),
    bit("PKS", 24, "protection keys for supervisor pages"),
    bit("UINTR", 25, "user interrupts"),
    bit("LAM_SUP", 28, "LAM for supervisor addresses"),
    bit("FRED", 32, "flexible return and event delivery"),
  ],
};

/** The bits of IA32_EFER (MSR 0xc0000080). Source: SDM 3A, Extended Feature Enable Register; AMD64 APM 2. */
export const EFER: Register<"SCE" | "LME" | "LMA" | "NXE" | "SVME" | "LMSLE" | "FFXSR" | "TCE"> = {
  name: "EFER",
  bits: 64,
  fields: [
    bit("SCE", 0, "SYSCALL"),
    bit("LME", 8, "long mode enabled", "long mode is not enabled (LME is 0)"),
    bit("LMA", 10, "long mode active", "long mode is not active (LMA is 0)"),
    bit("NXE", 11, "bit 63 of an entry forbids execution", "bit 63 of every entry is reserved (NXE is 0)"),
    bit("SVME", 12, "AMD virtualization"),
    bit("LMSLE", 13, "long-mode segment limits"),
    bit("FFXSR", 14, "fast FXSAVE"),
    bit("TCE", 15, "translation cache extension"),
  ],
};

/** The bits of the error code that a page fault pushes. Source: SDM 3A, Interrupt 14. */
export const PAGE_FAULT_ERROR: Register<"P" | "W" | "U" | "RSVD" | "I" | "PK" | "SS" | "HLAT" | "SGX"> = {
  name: "page-fault error code",
  bits: 32,
  fields: [
    bit("P", 0, "the entries were present: a right, key or reserved bit is to blame", "an entry was not present"),
    bit("W", 1, "the access was a write", "the access was a read or fetch"),
    bit("U", 2, "made in user mode (CPL 3)", "made in supervisor mode"),
    bit("RSVD", 3, "a reserved bit is 1 in an entry of the walk"),
    bit("I", 4, "the access was an instruction fetch"),
    bit("PK", 5, "a protection key denies the access"),
    bit("SS", 6, "the access was a shadow-stack access"),
    bit("HLAT", 7, "the fault came up in HLAT paging"),
    bit("SGX", 15, "an SGX access-control rule was violated, paging allowed the access"),
  ],
};

const keyRegister = (name: string): Register<string> => ({
  name,
  bits: 32,
  fields: Array.from({ length: 16 }, (_, key) => [
    bit(`AD${key}`, 2 * key, `key ${key}: no data access`),
    bit(`WD${key}`, 2 * key + 1, `key ${key}: no writes`),
  ]).flat(),
});

/** PKRU: rights by protection key for user pages. */
export const PKRU: Register<string> = /* @__PURE__ */ keyRegister("PKRU");
/** IA32_PKRS: the same for supervisor pages. */
export const PKRS: Register<string> = /* @__PURE__ */ keyRegister("IA32_PKRS");

/** Names of the memory types by number; 2 and 3 are reserved, 7 is UC− in the PAT only. */
export const MEMORY_TYPE_NAMES: readonly string[] = ["UC", "WC", "reserved 2", "reserved 3", "WT", "WP", "WB", "UC-"];

/** IA32_PAT: eight memory types, selected by PAT, PCD and PWT of a leaf. */
export const PAT: Register<string> = {
  name: "IA32_PAT",
  bits: 64,
  fields: /* @__PURE__ */ Array.from({ length: 8 }, (_, i) => ({
    name: `PA${i}`,
    at: 8 * i,
    width: 3,
    text: `PAT=${i >> 2} PCD=${(i >> 1) & 1} PWT=${i & 1}`,
    values: MEMORY_TYPE_NAMES,
  })),
};

/** IA32_PAT after reset: WB, WT, UC−, UC, twice. */
export const PAT_AT_RESET = 0x0007_0406_0007_0406n;

/** The descriptor that INVPCID takes, and its type. */
export interface InvpcidDescriptor {
  /** 0 one address of one PCID, 1 one PCID, 2 everything with global translations, 3 everything but global ones. */
  readonly type: 0 | 1 | 2 | 3;
  /** 0 … 4095. */
  readonly pcid: number;
  /** The address, for type 0. */
  readonly address: bigint;
}

/** What the types of INVPCID do. */
export const INVPCID_TYPES: readonly string[] = [
  "one address in one PCID (not global)",
  "all of one PCID (not global)",
  "all PCIDs, global translations included",
  "all PCIDs (not global)",
];

/** The two quadwords of an INVPCID descriptor. Throws `bad-register` for a PCID above 4095. */
export function encodeInvpcid(descriptor: InvpcidDescriptor): readonly [bigint, bigint] {
  const { pcid, address } = descriptor;
  if (!Number.isInteger(pcid) || pcid < 0 || pcid > 4095)
    throw new PagingError("bad-register", `PCID ${pcid} is not within 0 … 4095`, { pcid });
  return [BigInt(pcid), BigInt.asUintN(64, address)];
}

/** The descriptor in two quadwords. Throws `bad-register` where bits 63:12 of the first are not 0, or the type is above 3: #GP on the processor. */
export function decodeInvpcid(type: number, first: bigint, second: bigint): InvpcidDescriptor {
  if (first >> 12n !== 0n) throw new PagingError("bad-register", "bits 63:12 of an INVPCID descriptor must be 0", {});
  if (type !== 0 && type !== 1 && type !== 2 && type !== 3)
    throw new PagingError("bad-register", `INVPCID has no type ${type}`, { type });
  return { type, pcid: Number(first), address: second };
}

/** An INVPCID descriptor in words. */
export function explainInvpcid(descriptor: InvpcidDescriptor): string {
  const what = INVPCID_TYPES[descriptor.type] ?? "";
  const pcid = descriptor.type < 2 ? `, PCID ${descriptor.pcid}` : "";
  const address = descriptor.type === 0 ? `, address 0x${descriptor.address.toString(16)}` : "";
  return `INVPCID type ${descriptor.type}: ${what}${pcid}${address}`;
}
