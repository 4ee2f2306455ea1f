/** Whether the processor can reach a target, in the mode that the registers select or in one that was perhaps meant. */

import { wordsOfBigint } from "../address.ts";
import type { WalkExplanation } from "../explain-walk.ts";
import { explainWalk } from "../explain-walk.ts";
import { isLeaf, levelOf } from "../mode.ts";
import type { TableMemory } from "../ports.ts";
import type { PagingState } from "../state.ts";
import type { Pfn } from "../units.ts";
import { TRANSLATED, isReserved } from "../walk.ts";
import { tableFrameOf, leafFrameOf } from "../mode.ts";
import type { ImageMemory, Scene, Target } from "./finding.ts";

/** The walk to a target. */
export function walkTo(state: PagingState, memory: TableMemory, target: Target): WalkExplanation {
  const [low, high] = wordsOfBigint(target.address);
  return explainWalk(state, memory, low, high, target.access);
}

/** Whether a walk ended in RAM. */
export function arrives(walk: WalkExplanation, memory: ImageMemory): boolean {
  return walk.code === TRANSLATED && walk.physical !== undefined && memory.has(Number(walk.physical >> 12n));
}

/** Whether, under another state, code, stack and the target at hand would all be reached. */
export function wouldWork(scene: Scene, state: PagingState, memory: TableMemory, target: Target): boolean {
  const wanted = scene.targets.filter((item) => item.what === "code" || item.what === "stack" || item === target);
  return wanted.every((item) => arrives(walkTo(state, memory, item), scene.memory));
}

/** Whether a frame holds what looks like a table of a level: something present, nothing reserved, everything within RAM or a plausible device. */
export function isPlausibleTable(state: PagingState, memory: ImageMemory, pfn: Pfn, n: number): boolean {
  if (!memory.has(pfn)) return false;
  const mode = state.mode;
  const level = levelOf(mode, n);
  const words = memory.words(pfn);
  const base = memory.base(pfn);
  let present = 0;
  for (let i = 0; i < level.entries; i++) {
    const low = words[base + i * mode.entryWords]!;
    const high = mode.entryWords === 2 ? words[base + i * 2 + 1]! : 0;
    if ((low & mode.presentMask) === 0) continue;
    const leaf = isLeaf(mode, level, low);
    if (isReserved(state, level, low, high, leaf)) return false;
    if (!leaf && !memory.has(tableFrameOf(level, low, high))) return false;
    if (leaf && leafFrameOf(level, low, high) >= 2 ** (state.maxPhysicalBits - 12)) return false;
    present++;
  }
  return present > 0;
}

/** Whether all words of a frame are zero. */
export function isZeroFrame(memory: TableMemory, pfn: Pfn): boolean {
  const words = memory.words(pfn);
  const base = memory.base(pfn);
  for (let i = 0; i < 1024; i++) if (words[base + i]! !== 0) return false;
  return true;
}

/** A byte of physical memory, −1 outside of it. */
export function byteAt(memory: ImageMemory, address: bigint): number {
  const pfn = Number(address >> 12n);
  if (!memory.has(pfn)) return -1;
  const offset = Number(address & 0xfffn);
  return (memory.words(pfn)[memory.base(pfn) + (offset >> 2)]! >>> ((offset & 3) * 8)) & 255;
}

/** Memory in which one frame reads as the 4096 bytes that begin at an unaligned address. */
export function shiftedMemory(memory: ImageMemory, root: Pfn, offset: number): TableMemory {
  const words = new Uint32Array(1024);
  for (let i = 0; i < 1024; i++) {
    const at = i + (offset >> 2);
    const pfn = root + (at >> 10);
    words[i] = memory.words(pfn)[memory.base(pfn) + (at & 1023)]!;
  }
  return {
    words: (pfn) => (pfn === root ? words : memory.words(pfn)),
    base: (pfn) => (pfn === root ? 0 : memory.base(pfn)),
  };
}
