import { invariant, MachineError } from "../errors.ts";
import { encodingOf, typeOfEncoding } from "./memory-type.ts";
import type { MemoryType } from "./memory-type.ts";

/** The eight entries of the PAT after reset: WB WT UC- UC, twice. Source: SDM 3A, Programming the PAT. */
export const PAT_RESET: readonly MemoryType[] = ["WB", "WT", "UC-", "UC", "WB", "WT", "UC-", "UC"];

/** What Linux programs: entry 1 is WC, entry 5 WP, entry 7 WT. Source: Linux, arch/x86/mm/pat/memtype.c. */
export const PAT_LINUX: readonly MemoryType[] = ["WB", "WC", "UC-", "UC", "WB", "WP", "UC-", "WT"];

/**
 * The page attribute table of one CPU (IA32_PAT, MSR 0x277): eight memory types, chosen by the bits PAT, PCD, PWT of a
 * leaf entry as index 4·PAT + 2·PCD + PWT.
 */
export class Pat {
  #types: readonly MemoryType[] = PAT_RESET;

  /** The eight types, by index. */
  get types(): readonly MemoryType[] {
    return this.#types;
  }

  /** Returns the type of an index 0 … 7. */
  type(index: number): MemoryType {
    return this.#types[index] ?? "UC";
  }

  /** Programs all eight entries; `bad-argument` unless there are eight. */
  program(types: readonly MemoryType[]): void {
    if (types.length !== 8)
      throw new MachineError("bad-argument", `A PAT has eight entries, not ${types.length}`, { types });
    this.#types = [...types];
  }

  /** Programs it from the MSR's (low, high) words; `bad-argument` (#GP in hardware) for a reserved encoding. */
  writeMsr(low: number, high: number): void {
    const types: MemoryType[] = [];
    for (let index = 0; index < 8; index++) {
      const byte = Math.floor((index < 4 ? low : high) / 2 ** (8 * (index % 4))) & 0xff;
      const type = typeOfEncoding(byte);
      if (type === undefined)
        throw new MachineError("bad-argument", `PAT entry ${index} has the reserved encoding ${byte} (#GP)`, {
          index,
          byte,
        });
      types.push(type);
    }
    this.#types = types;
  }

  /** Returns the MSR's [low, high] words. */
  readMsr(): readonly [low: number, high: number] {
    const word = (first: number): number =>
      this.#types.slice(first, first + 4).reduce((sum, type, at) => sum + encodingOf(type) * 2 ** (8 * at), 0);
    return [word(0), word(4)];
  }

  /** Throws `broken-invariant` unless there are eight entries. */
  check(): void {
    invariant(this.#types.length === 8, "a PAT has eight entries");
  }

  /** Returns the first index that gives `type`, or −1: which entry bits a page table must use for it. */
  indexOf(type: MemoryType): number {
    return this.#types.indexOf(type);
  }
}
