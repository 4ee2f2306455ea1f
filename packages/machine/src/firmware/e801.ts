/**
 * What the older BIOS calls tell: sizes only, from which a map is guessed as kernels did before E820.
 *
 * Source: INT 15h AX=E801h (two pairs of counts) and AH=88h (KiB above 1 MiB), as documented in Ralf Brown's Interrupt List.
 */
import { MachineError } from "../errors.ts";
import { E820_USABLE } from "./entry.ts";
import type { RawEntry } from "./entry.ts";

/** The registers after INT 15h AX=E801h. */
export interface E801Sizes {
  /** AX or CX: KiB between 1 and 16 MiB, at most 0x3c00. */
  readonly below16MiB: number;
  /** BX or DX: blocks of 64 KiB above 16 MiB. */
  readonly above16MiB: number;
  /** KiB of conventional memory, from INT 12h. Default 640. */
  readonly conventional?: number;
}

/**
 * Returns the entries that E801 sizes stand for. A full 15 MiB and what is above it are one range; less than that leaves
 * the hole that was asked for (an ISA hole). Throws `bad-argument` for counts that the registers cannot hold.
 */
export function entriesFromE801(sizes: E801Sizes): RawEntry[] {
  const { below16MiB, above16MiB, conventional = 640 } = sizes;
  const fits = (value: number, most: number): boolean => Number.isInteger(value) && value >= 0 && value <= most;
  if (!fits(below16MiB, 0x3c00) || !fits(above16MiB, 0xffff) || !fits(conventional, 640))
    throw new MachineError(
      "bad-argument",
      `No E801 sizes: ${conventional} KiB, ${below16MiB} KiB, ${above16MiB} × 64 KiB`,
      { ...sizes },
    );
  const out: RawEntry[] = [{ base: 0n, length: BigInt(conventional) << 10n, type: E820_USABLE }];
  const low = BigInt(below16MiB) << 10n;
  const high = BigInt(above16MiB) << 16n;
  if (below16MiB === 0x3c00) out.push({ base: 1n << 20n, length: low + high, type: E820_USABLE });
  else {
    out.push({ base: 1n << 20n, length: low, type: E820_USABLE });
    out.push({ base: 1n << 24n, length: high, type: E820_USABLE });
  }
  return out.filter((entry) => entry.length > 0n);
}
