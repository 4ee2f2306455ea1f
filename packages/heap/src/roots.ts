import { ROOT } from "./block-bits.ts";
import type { BlockBits } from "./block-bits.ts";

/** The blocks that are kept alive by themselves: a bit for each (`BlockBits`), and a number for those that are roots more than once. */
export class Roots {
  readonly #bits: BlockBits;
  /** How often blocks are roots that are so more than once. */
  readonly #counts = new Map<number, number>();

  constructor(bits: BlockBits) {
    this.#bits = bits;
  }

  /** Whether a block is a root. */
  has(address: number): boolean {
    const place = this.#bits.find(address);
    return place >= 0 && this.#bits.has(place, ROOT);
  }

  /** Makes a block, of which there are bits, a root once more. */
  add(address: number): void {
    const place = this.#bits.find(address);
    if (this.#bits.has(place, ROOT)) this.#counts.set(address, (this.#counts.get(address) ?? 1) + 1);
    this.#bits.add(place, ROOT);
  }

  /** Makes a root one less often. */
  remove(address: number): void {
    const count = this.#counts.size === 0 ? undefined : this.#counts.get(address);
    if (count === undefined) this.#bits.delete(this.#bits.find(address), ROOT);
    else if (count === 2) this.#counts.delete(address);
    else this.#counts.set(address, count - 1);
  }

  /** Makes another block a root in place of this one, as often. */
  move(address: number, to: number): void {
    this.#bits.delete(this.#bits.find(address), ROOT);
    this.#bits.add(this.#bits.find(to), ROOT);
    const count = this.#counts.get(address);
    if (count !== undefined) this.#counts.set(to, count);
    this.#counts.delete(address);
  }

  /** Forgets all. */
  clear(): void {
    this.#bits.clear(ROOT);
    this.#counts.clear();
  }
}
