/**
 * The process contexts (PCIDs) of one processor: which spaces' translations it may still hold, and up to which invalidation each of them is true.
 *
 * ```
 *  slot        0          1          2
 *  PCID        1          2          3            0 is the kernel's own
 *  space       7          9          4
 *  generation  12 = now   3 behind   8 = now      7 and 4 come back without a flush; 9 drops what it missed first
 * ```
 * Without PCIDs there is one slot, and each change of space drops everything but global translations.
 *
 * Source: Intel SDM 3A, Process-Context Identifiers; Linux, arch/x86/mm/tlb.c, choose_new_asid.
 */

/** A processor's contexts. */
export class Contexts {
  /** Whether translations are tagged: PCIDs are on. */
  readonly tagged: boolean;
  /** Space of each slot, −1 for none. */
  readonly #asids: Int32Array;
  /** Generation of the space's invalidations that the slot's translations are true for. */
  readonly #generations: Float64Array;
  #next = 0;

  /** Contexts for `count` spaces at once; 0: PCIDs are off. */
  constructor(count: number) {
    this.tagged = count > 0;
    this.#asids = new Int32Array(Math.max(1, count)).fill(-1);
    this.#generations = new Float64Array(Math.max(1, count));
  }

  /** The slot that holds translations of a space, −1 if none does. */
  find(asid: number): number {
    return this.#asids.indexOf(asid);
  }

  /** Gives a slot to a space, the one given away longest ago; what it held is to be flushed. */
  claim(asid: number): number {
    const slot = this.#next;
    this.#next = slot + 1 === this.#asids.length ? 0 : slot + 1;
    this.#asids[slot] = asid;
    return slot;
  }

  /** A space is no more: what is still there of it is never used again. */
  forget(asid: number): void {
    const slot = this.find(asid);
    if (slot >= 0) this.#asids[slot] = -1;
  }

  /** The space of a slot, −1 for none. */
  asidOf(slot: number): number {
    return this.#asids[slot] ?? -1;
  }

  /** The generation that a slot's translations are true for. */
  generationOf(slot: number): number {
    return this.#generations[slot]!;
  }

  /** A slot's translations are true for `generation` from now on. */
  reach(slot: number, generation: number): void {
    this.#generations[slot] = generation;
  }

  /** The PCID of a slot. */
  pcidOf(slot: number): number {
    return this.tagged ? slot + 1 : 0;
  }

  /** The slot of a PCID, −1 for the kernel's own. */
  slotOf(pcid: number): number {
    return this.tagged ? pcid - 1 : 0;
  }
}
