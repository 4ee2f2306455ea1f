/** Attributes between the ports' words (rights.ts) and x86-paging's. */
import {
  ATTR_ACCESSED,
  ATTR_DIRTY,
  ATTR_GLOBAL,
  ATTR_TYPE_SHIFT,
  RIGHT_EXECUTE,
  RIGHT_READ,
  RIGHT_USER,
  RIGHT_WRITE,
} from "@pagewright/x86-paging";

import { ACCESSED, DIRTY, EXECUTE, GLOBAL, PRESENT, READ, TYPE_MASK, TYPE_SHIFT, USER, WRITE } from "../rights.ts";

/**
 * Index into the page attribute table for each memory type, with the table that Linux programs (WB, WC, UC−, UC, WB, WP, UC−, WT), by MemoryType number:
 * write-back, write-through, write-combining, uncached-minus, uncached.
 */
export const LINUX_PAT: readonly number[] = [0, 7, 1, 2, 3];

/** Translates attribute words by table look-up: 256 words one way, the fields the other. */
export class AttributeMap {
  readonly #toPacked: Uint32Array = new Uint32Array(256);
  readonly #typeOfPat: Uint8Array = new Uint8Array(8);

  /** With the PAT index of each memory type. `noExecute`: the tables can forbid execution. */
  constructor(patIndex: readonly number[], noExecute: boolean) {
    patIndex.forEach((pat, type) => (this.#typeOfPat[pat] = type));
    for (let word = 0; word < 256; word++) {
      const pat = patIndex[(word & TYPE_MASK) >> TYPE_SHIFT] ?? 0;
      this.#toPacked[word] =
        RIGHT_READ
        | ((word & WRITE) !== 0 ? RIGHT_WRITE : 0)
        | ((word & EXECUTE) !== 0 || !noExecute ? RIGHT_EXECUTE : 0)
        | ((word & USER) !== 0 ? RIGHT_USER : 0)
        | ((word & GLOBAL) !== 0 ? ATTR_GLOBAL : 0)
        | (pat << ATTR_TYPE_SHIFT);
    }
  }

  /** x86-paging's attributes for a port's attribute word. Whatever the word says, x86 pages can be read. */
  packed(attributes: number): number {
    return this.#toPacked[attributes & 255]!;
  }

  /** The port's state word for x86-paging's attributes of a present page. */
  state(packed: number): number {
    return (
      PRESENT
      | READ
      | ((packed & RIGHT_WRITE) !== 0 ? WRITE : 0)
      | ((packed & RIGHT_EXECUTE) !== 0 ? EXECUTE : 0)
      | ((packed & RIGHT_USER) !== 0 ? USER : 0)
      | ((packed & ATTR_GLOBAL) !== 0 ? GLOBAL : 0)
      | ((packed & ATTR_ACCESSED) !== 0 ? ACCESSED : 0)
      | ((packed & ATTR_DIRTY) !== 0 ? DIRTY : 0)
      | (this.#typeOfPat[(packed >>> ATTR_TYPE_SHIFT) & 7]! << TYPE_SHIFT)
    );
  }
}
