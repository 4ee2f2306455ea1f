/**
 * A recorded program in one address space whose pages lie in frames and in a store that answers later. Every store writes a word that nothing else
 * writes, every load is compared with what was stored; a page whose access is a bus error counts as lost and is not used any more.
 */
import type { AddressSpace } from "@pagewright/vmm";
import { SpaceMemory } from "@pagewright/vmm";
import { STORE, type PageTrace } from "pagewright";

const PAGE = 4096;
/** Two words of a page are used: that of the latest store and that of the first. */
const WORDS = 2;

/** What a run came to. */
export interface TracedRun {
  /** Accesses made. */
  readonly records: number;
  /** Loads that found what was stored. */
  readonly right: number;
  /** Loads that found anything else. */
  readonly wrong: number;
  /** Pages whose content the store has lost: each was a bus error. */
  readonly lost: ReadonlySet<number>;
}

/** Runs the records of a trace; `between(record)` may await anything before each. */
export async function runTraced(
  space: AddressSpace,
  trace: PageTrace,
  between: (record: number) => Promise<void> | undefined,
): Promise<TracedRun> {
  const at = space.map({ bytes: trace.vpns.length * PAGE });
  if (typeof at === "string") throw new Error(`nothing can be mapped: ${at}`);
  const expected = new Uint32Array(trace.vpns.length * WORDS);
  const lost = new Set<number>();
  const memory = new SpaceMemory(space);
  let right = 0;
  let wrong = 0;
  const count = trace.records.length;
  for (let record = 0; record < count + trace.vpns.length; record++) {
    await between(record);
    // After the last record every page is loaded once more.
    const word = trace.records[record] ?? (record - count) * 4;
    const page = word >>> 2;
    if (lost.has(page)) continue;
    const address = at + page * PAGE + (record % WORDS) * 2048;
    const known = page * WORDS + (record % WORDS);
    const isStore = record < count && (word & 3) === STORE;
    if (isStore) expected[known] = Math.imul(record + 1, 0x9e3779b1);
    const outcome = await finished(space, memory, () =>
      isStore ? (memory.store32(address, expected[known] ?? 0) ? 0 : -1) : memory.load32(address),
    );
    if (outcome === -1) lost.add(page);
    else if (!isStore && outcome === expected[known]) right++;
    else if (!isStore) wrong++;
  }
  return { records: count, right, wrong, lost };
}

/** Repeats an access until it does not have to wait any more; −1: a bus error. */
async function finished(space: AddressSpace, memory: SpaceMemory, access: () => number): Promise<number> {
  for (;;) {
    const value = access();
    if (value >= 0) return value;
    if (memory.fault === "bus") return -1;
    if (memory.fault !== "pending" || space.pending === null) throw new Error(`an access failed: ${memory.fault}`);
    await space.pending;
  }
}
