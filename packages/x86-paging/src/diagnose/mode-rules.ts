/** Findings about registers: paging off, the wrong mode for the tables, CR3 that points to the wrong place. */

import { formatBigint } from "../address.ts";
import type { PagingMode } from "../mode.ts";
import { levelOf } from "../mode.ts";
import { defineMode } from "../mode.ts";
import { MODE_32_BIT, MODE_4_LEVEL, MODE_5_LEVEL, MODE_PAE } from "../modes.ts";
import type { DiagnosisInput, Finding, Scene, Target } from "./finding.ts";
import { stateOf } from "./finding.ts";
import { isPlausibleTable, isZeroFrame, shiftedMemory, wouldWork } from "./reach.ts";

/** What is wrong when CR0.PG is 0: nothing else matters then. */
export function pagingOff(input: DiagnosisInput): Finding {
  const cr0 = BigInt(input.cr0);
  const shown = `CR0 is 0x${cr0.toString(16)}`;
  const reached = "so paging never came on";
  if ((cr0 & 0xffff_ffefn) === 8n) {
    return {
      rule: "cr0-value-8",
      sentence: `${shown}: it was loaded with the value 8, which is bit 3 (TS), instead of bit 31 (PG); PE was cleared too, so the processor left protected mode and paging stays off`,
    };
  }
  const shift =
    (cr0 & 1n) === 0n
      ? "PE (bit 0) is 0 as well: the processor is in real mode"
      : "the processor is in protected mode without paging";
  return { rule: "paging-off", sentence: `${shown}: PG (bit 31) is 0, ${reached}; ${shift}` };
}

interface Alternative {
  readonly rule: string;
  readonly mode: PagingMode;
  readonly sentence: string;
}

function alternativesOf(input: DiagnosisInput, mode: PagingMode): Alternative[] {
  const cr4 = `CR4 is 0x${BigInt(input.cr4).toString(16)}`;
  const efer = `EFER is 0x${BigInt(input.efer ?? 0).toString(16)}`;
  const list: Alternative[] = [];
  const add = (rule: string, meant: PagingMode, sentence: string): void => {
    if (meant !== mode) list.push({ rule, mode: meant, sentence });
  };
  if (mode === MODE_5_LEVEL)
    add(
      "la57-with-4-level-tables",
      MODE_4_LEVEL,
      `${cr4}: LA57 (bit 12) is set, but CR3 points to a 4-level hierarchy, so each table is read one level too high`,
    );
  if (mode === MODE_4_LEVEL)
    add(
      "la57-off-with-5-level-tables",
      MODE_5_LEVEL,
      `${cr4}: LA57 (bit 12) is 0, but CR3 points to a 5-level hierarchy, so each table is read one level too low`,
    );
  if (mode === MODE_PAE)
    add(
      "lme-off",
      MODE_4_LEVEL,
      `${efer}: LME (bit 8) is not set, so the 4-level tables are read as 32-bit PAE tables and CR3 as four page-directory pointers`,
    );
  if (mode.entryWords === 1) {
    add("pae-off", MODE_4_LEVEL, `${cr4}: PAE (bit 5) is not set, so the 8-byte entries are read as 4-byte ones`);
    add("pae-off", MODE_PAE, `${cr4}: PAE (bit 5) is not set, so the 8-byte entries are read as 4-byte ones`);
    add(
      "pse-off",
      MODE_32_BIT,
      `${cr4}: PSE (bit 4) is not set, so bit 7 of page-directory entries is ignored and 4M pages are read as tables`,
    );
  }
  if (mode === MODE_4_LEVEL)
    add("lme-on-with-pae-tables", MODE_PAE, `${efer}: LME (bit 8) is set, but CR3 points to PAE tables`);
  if (mode.entryWords === 2)
    add("pae-on-with-32-bit-tables", MODE_32_BIT, `${cr4}: PAE (bit 5) is set, but the tables have 4-byte entries`);
  return list;
}

/** The upper levels taken off a mode, as if CR3 pointed to a lower table; addresses above its reach are not looked at. */
function truncated(mode: PagingMode, depth: number): PagingMode {
  const levels = mode.definition.levels.slice(0, depth);
  const top = levelOf(mode, depth);
  return defineMode({
    ...mode.definition,
    name: `${mode.name} from its ${top.name}`,
    levels,
    addressBits: top.shift + top.definition.indexBits,
    extension: "ignored",
  });
}

/**
 * Whether the tables would have worked in another mode, at the address that CR3's low bits add, or read from a lower level.
 * Asked when a target is not reached; returns the first that would.
 */
export function wrongRoot(scene: Scene, target: Target): Finding | undefined {
  const { input, memory, state } = scene;
  const address = target.address;
  for (const alternative of alternativesOf(input, state.mode)) {
    if (wouldWork(scene, stateOf(input, alternative.mode), memory, target)) {
      return {
        rule: alternative.rule,
        sentence: `${alternative.sentence}; read as ${alternative.mode.name} tables they map code and stack`,
        address,
      };
    }
  }
  const cr3 = BigInt(input.cr3);
  const offset = Number(cr3 & 0xff8n);
  const root = Number((cr3 >> 12n) & 0xff_ffff_ffffn);
  if (
    offset !== 0
    && !state.mode.levels[state.mode.depth]?.inRegisters
    && wouldWork(scene, state, shiftedMemory(memory, root, offset), target)
  ) {
    return {
      rule: "cr3-misaligned-table",
      sentence: `CR3 is 0x${cr3.toString(16)}: the root table lies at an address that is not 4 KiB aligned; the processor ignores the low 12 bits and reads the table ${formatSmall(offset)} bytes too early`,
      address,
    };
  }
  const top = state.mode.depth;
  for (let depth = top - 1; depth >= 2; depth--) {
    const shorter = truncated(state.mode, depth);
    if (!wouldWork(scene, stateOf(input, shorter, root), memory, target)) continue;
    const name = levelOf(state.mode, depth).name;
    const rootName = levelOf(state.mode, top).name;
    return {
      rule: `cr3-points-to-${name.toLowerCase()}`,
      sentence: `CR3 is 0x${cr3.toString(16)}, which is the address of a ${name} instead of the ${rootName}, so each table is read ${top - depth === 1 ? "one level" : `${top - depth} levels`} too high`,
      address,
    };
  }
  return rootElsewhere(scene, target, root);
}

/** CR3 beyond RAM, or at an empty frame; where some frame would serve as the root, it is named. */
function rootElsewhere(scene: Scene, target: Target, root: number): Finding | undefined {
  const { input, memory, state } = scene;
  const cr3 = BigInt(input.cr3);
  const beyond = !memory.has(root);
  if (!beyond && !isZeroFrame(memory, root)) return undefined;
  const candidates = beyond || state.mode.depth < 3 ? [] : nearbyRoots(scene, target, root);
  const hint =
    candidates.length === 0
      ? ""
      : `; the frame at ${formatBigint(BigInt(candidates[0] ?? 0) << 12n)} would serve as the root`;
  return {
    rule: beyond ? "cr3-beyond-memory" : "cr3-points-to-empty-table",
    sentence: `CR3 is 0x${cr3.toString(16)}: ${beyond ? "there is no memory at that address" : "the table there is empty"}${hint}`,
    address: target.address,
  };
}

/** Frames within 64 of the root that would work as one. */
function nearbyRoots(scene: Scene, target: Target, root: number): number[] {
  const found: number[] = [];
  for (let pfn = Math.max(0, root - 64); pfn <= root + 64; pfn++) {
    if (!isPlausibleTable(scene.state, scene.memory, pfn, scene.state.mode.depth)) continue;
    if (wouldWork(scene, stateOf(scene.input, undefined, pfn), scene.memory, target)) found.push(pfn);
  }
  return found;
}

function formatSmall(value: number): string {
  return `0x${value.toString(16)}`;
}
