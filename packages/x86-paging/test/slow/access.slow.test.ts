/**
 * Every combination of the bits that decide an access, in the manner of kvm-unit-tests' access test: two levels' R/W, U/S, NX and P, the leaf's reserved bits,
 * key and dirty bit, against every setting of WP, SMEP, SMAP, NXE, PKE, PKS, AC, privilege and kind. Each is judged by the slow walker.
 */
import {
  ACCESS_AC,
  ACCESS_FETCH,
  ACCESS_IMPLICIT,
  ACCESS_READ,
  ACCESS_SHADOW_STACK,
  ACCESS_USER,
  ACCESS_WRITE,
  MODE_4_LEVEL,
  MODE_PAE,
  PagingState,
  TRANSLATED,
  Walk,
  walk,
} from "@pagewright/x86-paging";
import { expect, test } from "vitest";
import { SparseMemory } from "../support/memory.ts";
import type { OracleAccess, OracleRegisters } from "../support/oracle.ts";
import { oracleWalk } from "../support/oracle.ts";

/** Bits of the directory entry (first four) and of the leaf. */
const ENTRY_BITS: readonly (readonly ["directory" | "leaf", bigint])[] = [
  ["directory", 1n],
  ["directory", 2n],
  ["directory", 4n],
  ["directory", 1n << 63n],
  ["directory", 1n << 51n],
  ["leaf", 1n],
  ["leaf", 2n],
  ["leaf", 4n],
  ["leaf", 64n],
  ["leaf", 1n << 51n],
  ["leaf", 1n << 59n],
  ["leaf", 1n << 63n],
];

/** All accesses that exist. */
function accesses(): { access: number; oracle: OracleAccess }[] {
  const list: { access: number; oracle: OracleAccess }[] = [];
  for (const kind of ["read", "write", "fetch"] as const) {
    for (let bits = 0; bits < 16; bits++) {
      const oracle = {
        kind,
        user: (bits & 1) !== 0,
        ac: (bits & 2) !== 0,
        implicit: (bits & 4) !== 0,
        shadowStack: (bits & 8) !== 0,
      };
      if (kind === "fetch" && (oracle.implicit || oracle.shadowStack)) continue;
      const number = { read: ACCESS_READ, write: ACCESS_WRITE, fetch: ACCESS_FETCH }[kind];
      const flags =
        (oracle.user ? ACCESS_USER : 0)
        | (oracle.ac ? ACCESS_AC : 0)
        | (oracle.implicit ? ACCESS_IMPLICIT : 0)
        | (oracle.shadowStack ? ACCESS_SHADOW_STACK : 0);
      list.push({ access: number | flags, oracle });
    }
  }
  return list;
}

test.each([
  ["4K pages, 4-level", "4-level", false],
  ["2M pages, 4-level", "4-level", true],
  ["4K pages, PAE", "PAE", false],
  ["2M pages, PAE", "PAE", true],
] as const)("every access against every entry and every setting: %s", (_name, mode, large) => {
  const memory = new SparseMemory();
  for (let pfn = 1; pfn < 6; pfn++) memory.make(pfn);
  memory.write(0x1000n, 0x2007n);
  memory.write(0x2000n, 0x3007n);
  const all = accesses();
  const into = new Walk();
  const read = (address: bigint, bytes: number): bigint => memory.read(address, bytes);
  let wrong = 0;
  for (let entries = 0; entries < 2 ** ENTRY_BITS.length; entries++) {
    let directory = 0x4000n;
    let leaf = large ? 0x80n : 0x5000n;
    ENTRY_BITS.forEach(([where, bit], i) => {
      if (((entries >> i) & 1) === 0) return;
      if (where === "directory") directory |= bit;
      else leaf |= bit;
    });
    memory.write(0x3000n, large ? leaf : directory);
    memory.write(0x4000n, leaf);
    if (large) memory.write(0x2000n, (directory & ~0x4000n) | 0x3000n);
    for (let settings = 0; settings < 64; settings++) {
      const on = (bit: number): boolean => ((settings >> bit) & 1) === 1;
      const regs: OracleRegisters = {
        mode,
        root: 0x1000n,
        pdptes: [large ? 0x3001n : 0x3001n, 0n, 0n, 0n],
        maxphyaddr: 46,
        wp: on(0),
        smep: on(1),
        smap: on(2),
        nxe: on(3),
        pke: on(4),
        pks: on(5),
        pkru: 4n + 8n,
        pkrs: 8n,
      };
      const state = new PagingState({
        mode: mode === "PAE" ? MODE_PAE : MODE_4_LEVEL,
        root: 1,
        maxPhysicalBits: 46,
        noExecute: regs.nxe,
        writeProtect: regs.wp,
        smep: regs.smep,
        smap: regs.smap,
        userKeys: regs.pke,
        supervisorKeys: regs.pks,
        pkru: 12,
        pkrs: 8,
      });
      state.rootEntries[0] = 0x3001;
      for (const { access, oracle } of all) {
        const expected = oracleWalk(regs, read, 0x123n, oracle);
        const code = walk(state, memory, 0x123, 0, access, into);
        const wanted = expected.kind === "ok" ? TRANSLATED : expected.kind === "pf" ? expected.error : -2;
        if (code !== wanted && wrong++ === 0)
          expect(code, `entries ${entries} settings ${settings} access ${access}`).toBe(wanted);
      }
    }
  }
  expect(wrong).toBe(0);
});
