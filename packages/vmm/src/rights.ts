/**
 * Rights and state of a translation as the ports speak of them, independent of any processor's entry format.
 *
 * ```
 *  bit  10  9   8   7   6 5 4   3   2   1   0
 *       D   A   P   G   TYPE    U   X   W   R
 *      └── state ──┘   └───── asked for ─────┘
 * ```
 */

/** Loads are allowed. */
export const READ = 1;
/** Stores are allowed. */
export const WRITE = 2;
/** Instruction fetches are allowed. */
export const EXECUTE = 4;
/** User mode may use the page; without it only supervisor mode may. */
export const USER = 8;
/** The four rights together. */
export const RIGHTS_MASK = 15;

/** First bit of the memory type within an attribute word. */
export const TYPE_SHIFT = 4;
/** The bits of the memory type within an attribute word. */
export const TYPE_MASK = 112;

/** The translation survives a change of address space (kernel half only). */
export const GLOBAL = 128;

/** State: a translation is there. */
export const PRESENT = 256;
/** State: the page was used since the bit was last cleared. */
export const ACCESSED = 512;
/** State: the page was stored to since the bit was last cleared. */
export const DIRTY = 1024;

/** Memory types by number, in the order of {@link MEMORY_TYPES}: 0 write-back … 4 uncached. */
export type MemoryType = 0 | 1 | 2 | 3 | 4;

/** Cached, stores written later (the default). */
export const WRITE_BACK: MemoryType = 0;
/** Cached, stores written at once. */
export const WRITE_THROUGH: MemoryType = 1;
/** Not cached, stores gathered into bursts (framebuffers). */
export const WRITE_COMBINING: MemoryType = 2;
/** Not cached unless an MTRR says write-combining. */
export const UNCACHED_MINUS: MemoryType = 3;
/** Not cached, strictly ordered (device registers). */
export const UNCACHED: MemoryType = 4;

/** Names of the memory types, by number. */
export const MEMORY_TYPES: readonly string[] = [
  "write-back",
  "write-through",
  "write-combining",
  "uncached-minus",
  "uncached",
];

/** The attribute word of rights with a memory type. */
export function withType(rights: number, type: MemoryType): number {
  return (rights & ~TYPE_MASK) | (type << TYPE_SHIFT);
}

/** The memory type within an attribute word. */
export function typeOf(attributes: number): MemoryType {
  return ((attributes & TYPE_MASK) >> TYPE_SHIFT) as MemoryType;
}

/** Rights as people write them: `rwxu`, `-` where a right is missing. */
export function rightsText(rights: number): string {
  return (
    ((rights & READ) !== 0 ? "r" : "-")
    + ((rights & WRITE) !== 0 ? "w" : "-")
    + ((rights & EXECUTE) !== 0 ? "x" : "-")
    + ((rights & USER) !== 0 ? "u" : "-")
  );
}
