/**
 * The paging modes of x86, each one description.
 *
 *   63 62  59 58   52 51             M M−1            12 11  9 8 7 6 5  4   3   2   1   0
 *   NX key(4) ignored reserved(0)      address           avail G S D A PCD PWT U/S R/W P      4-level, 5-level, PAE
 *
 * S is PS at levels 2 and 3 (a leaf), PAT at level 1 and reserved above; the PAT bit of a 2M or 1G leaf is bit 12.
 * Source: SDM 3A, Paging; SDM 3C, EPT; APM 2, Nested Paging.
 */

import type { BitField, EntryBits, LevelDefinition, ModeDefinition, PagingMode } from "./mode.ts";
import { defineMode } from "./mode.ts";

const longBits: EntryBits = {
  present: [0],
  write: 1,
  user: 2,
  writeThrough: 3,
  cacheDisable: 4,
  accessed: 5,
  dirty: 6,
  global: 8,
  software: [9, 10, 11, 52, 53, 54, 55, 56, 57, 58],
  key: 59,
  noExecute: 63,
};

const address = (at: number): BitField => ({ at, width: 52 - at, to: at });
const span = (from: number, to: number): readonly number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

const pt: LevelDefinition = {
  name: "PT",
  shift: 12,
  indexBits: 9,
  leaf: "always",
  page: "4K",
  pat: 7,
  frame: address(12),
};
const pd: LevelDefinition = {
  name: "PD",
  shift: 21,
  indexBits: 9,
  leaf: { bit: 7 },
  page: "2M",
  pat: 12,
  table: address(12),
  frame: address(21),
  reservedLeaf: span(13, 20),
};
const pdpt: LevelDefinition = {
  name: "PDPT",
  shift: 30,
  indexBits: 9,
  leaf: { bit: 7 },
  page: "1G",
  pat: 12,
  table: address(12),
  frame: address(30),
  reservedLeaf: span(13, 29),
};
const pml4: LevelDefinition = {
  name: "PML4",
  shift: 39,
  indexBits: 9,
  leaf: "never",
  table: address(12),
  reservedTable: [7],
};
const pml5: LevelDefinition = {
  name: "PML5",
  shift: 48,
  indexBits: 9,
  leaf: "never",
  table: address(12),
  reservedTable: [7],
};

const longMode: ModeDefinition = {
  name: "4-level",
  entryBytes: 8,
  addressBits: 48,
  extension: "sign",
  physicalBits: 52,
  bits: longBits,
  inherit: "all-levels",
  rule: "x86",
  levels: [pt, pd, pdpt, pml4],
};

/** 4-level paging of 64-bit mode: 48-bit addresses; 4K, 2M and 1G pages. */
export const MODE_4_LEVEL: PagingMode = /* @__PURE__ */ defineMode(longMode);

/** 5-level paging of 64-bit mode (CR4.LA57): 57-bit addresses. */
export const MODE_5_LEVEL: PagingMode = /* @__PURE__ */ defineMode({
  ...longMode,
  name: "5-level",
  addressBits: 57,
  levels: [pt, pd, pdpt, pml4, pml5],
});

/** Protection keys and bits 62:52 do not exist under PAE: all but NX are reserved. */
const paeUpper = /* @__PURE__ */ span(52, 62);
const { key: _key, ...bitsWithoutKey } = longBits;

/**
 * PAE paging: 32-bit addresses, 8-byte entries, 4K and 2M pages. The four page-directory-pointer entries live in
 * registers that are loaded with CR3, carry no rights, and fault with #GP on reserved bits when loaded.
 */
export const MODE_PAE: PagingMode = /* @__PURE__ */ defineMode({
  name: "PAE",
  entryBytes: 8,
  addressBits: 32,
  extension: "ignored",
  physicalBits: 52,
  bits: { ...bitsWithoutKey, software: [9, 10, 11] },
  inherit: "all-levels",
  rule: "x86",
  levels: [
    { ...pt, reservedLeaf: paeUpper },
    { ...pd, reservedTable: paeUpper, reservedLeaf: [...span(13, 20), ...paeUpper] },
    {
      name: "PDPT",
      shift: 30,
      indexBits: 2,
      leaf: "never",
      table: address(12),
      reservedTable: [1, 2, 5, 6, 7, 8, ...span(52, 63)],
      withoutRights: true,
      inRegisters: true,
    },
  ],
});

const { noExecute: _nx, ...narrowBits } = bitsWithoutKey;
const narrowTable: BitField = { at: 12, width: 20, to: 12 };

function narrowMode(large: boolean): PagingMode {
  const directory: LevelDefinition = { name: "PD", shift: 22, indexBits: 10, leaf: "never", table: narrowTable };
  const largeDirectory: LevelDefinition = {
    ...directory,
    leaf: { bit: 7 },
    page: "4M",
    pat: 12,
    frame: { at: 22, width: 10, to: 22 },
    frameExtension: { at: 13, width: 8, to: 32 },
    reservedLeaf: [21],
  };
  return defineMode({
    name: large ? "32-bit" : "32-bit without PSE",
    entryBytes: 4,
    addressBits: 32,
    extension: "ignored",
    physicalBits: 40,
    bits: { ...narrowBits, software: [9, 10, 11] },
    inherit: "all-levels",
    rule: "x86",
    levels: [
      { name: "PT", shift: 12, indexBits: 10, leaf: "always", page: "4K", pat: 7, frame: narrowTable },
      large ? largeDirectory : directory,
    ],
  });
}

/** 32-bit paging with CR4.PSE: 4K and 4M pages, the latter with physical addresses of up to 40 bits (PSE-36). */
export const MODE_32_BIT: PagingMode = /* @__PURE__ */ narrowMode(true);

/** 32-bit paging with CR4.PSE = 0: bit 7 of a page-directory entry is ignored. */
export const MODE_32_BIT_NO_PSE: PagingMode = /* @__PURE__ */ narrowMode(false);

const eptBits: EntryBits = {
  present: [0, 1, 2],
  read: 0,
  write: 1,
  execute: 2,
  memoryType: 3,
  ignorePat: 6,
  accessed: 8,
  dirty: 9,
  userExecute: 10,
  software: [11, 52, 53, 54, 55, 56],
};
const eptTable = /* @__PURE__ */ span(3, 6);
const eptMode: ModeDefinition = {
  name: "EPT 4-level",
  entryBytes: 8,
  addressBits: 48,
  extension: "zero",
  physicalBits: 52,
  bits: eptBits,
  inherit: "all-levels",
  rule: "ept",
  levels: [
    { name: "EPT PT", shift: 12, indexBits: 9, leaf: "always", page: "4K", frame: address(12) },
    {
      name: "EPT PD",
      shift: 21,
      indexBits: 9,
      leaf: { bit: 7 },
      page: "2M",
      table: address(12),
      frame: address(21),
      reservedTable: eptTable,
      reservedLeaf: span(12, 20),
    },
    {
      name: "EPT PDPT",
      shift: 30,
      indexBits: 9,
      leaf: { bit: 7 },
      page: "1G",
      table: address(12),
      frame: address(30),
      reservedTable: eptTable,
      reservedLeaf: span(12, 29),
    },
    { name: "EPT PML4", shift: 39, indexBits: 9, leaf: "never", table: address(12), reservedTable: span(3, 7) },
  ],
};

/** Intel extended page tables, 4 levels: guest-physical addresses of 48 bits. */
export const MODE_EPT: PagingMode = /* @__PURE__ */ defineMode(eptMode);

/** Intel extended page tables, 5 levels: guest-physical addresses of 57 bits. */
export const MODE_EPT_5_LEVEL: PagingMode = /* @__PURE__ */ defineMode({
  ...eptMode,
  name: "EPT 5-level",
  addressBits: 57,
  levels: [
    ...eptMode.levels,
    { name: "EPT PML5", shift: 48, indexBits: 9, leaf: "never", table: address(12), reservedTable: span(3, 7) },
  ],
});

/** AMD nested paging: the host's 4-level format for guest-physical addresses; every nested access is a user access. */
export const MODE_NPT: PagingMode = /* @__PURE__ */ defineMode({
  ...longMode,
  name: "NPT 4-level",
  extension: "zero",
});

/** AMD nested paging with 5 levels. */
export const MODE_NPT_5_LEVEL: PagingMode = /* @__PURE__ */ defineMode({
  ...longMode,
  name: "NPT 5-level",
  extension: "zero",
  addressBits: 57,
  levels: [pt, pd, pdpt, pml4, pml5],
});

/** Paging off: a 32-bit address is its own translation. */
export const MODE_UNPAGED: PagingMode = /* @__PURE__ */ defineMode({
  name: "unpaged",
  entryBytes: 8,
  addressBits: 32,
  extension: "ignored",
  physicalBits: 32,
  bits: { present: [0] },
  inherit: "leaf",
  rule: "x86",
  levels: [],
});
