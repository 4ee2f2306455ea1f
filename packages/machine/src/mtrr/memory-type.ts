/**
 * Memory types: how a processor may cache a range, and what comes out where MTRRs and PAT speak of the same address.
 * Encodings and rules: Intel SDM volume 3A, Memory Type Range Registers; Page Attribute Table.
 */
import type { Cacheability } from "../map/region.ts";

/** The types, by their encoding in MTRRs and PAT. `UC-` exists in the PAT only: uncachable unless an MTRR says WC. */
export type MemoryType = "UC" | "WC" | "WT" | "WP" | "WB" | "UC-";

const ENCODINGS: Readonly<Record<MemoryType, number>> = { UC: 0, WC: 1, WT: 4, WP: 5, WB: 6, "UC-": 7 };

const BY_ENCODING: readonly (MemoryType | undefined)[] = ["UC", "WC", undefined, undefined, "WT", "WP", "WB", "UC-"];

/** Returns the encoding of a type in an MTRR or PAT field: UC 0, WC 1, WT 4, WP 5, WB 6, and in the PAT alone UC- 7. */
export function encodingOf(type: MemoryType): number {
  return ENCODINGS[type];
}

/** Returns the type of an encoding, undefined for the reserved ones (2 and 3, and above 7). */
export function typeOfEncoding(encoding: number): MemoryType | undefined {
  return BY_ENCODING[encoding];
}

/** Returns the type that a region of the map asks for. */
export function typeOfCacheability(cacheability: Cacheability): MemoryType {
  switch (cacheability) {
    case "write-back":
      return "WB";
    case "write-through":
      return "WT";
    case "write-combining":
      return "WC";
    case "write-protect":
      return "WP";
    case "uncachable":
      return "UC";
  }
}

/** Returns the type that kernels print as `write-back`, `uncachable` …; undefined for any other text. */
export function typeOfKernelName(name: string): MemoryType | undefined {
  switch (name) {
    case "write-back":
      return "WB";
    case "write-through":
      return "WT";
    case "write-combining":
      return "WC";
    case "write-protect":
      return "WP";
    case "uncachable":
    case "uncacheable":
      return "UC";
    default:
      return undefined;
  }
}

/**
 * Returns the effective type of an access: PAT type × MTRR type, with caches on (CR0.CD = 0).
 *
 * ```
 *           MTRR: UC    WC    WT    WP    WB
 *  PAT UC         UC    UC    UC    UC    UC
 *  PAT UC-        UC    WC    UC    WC*   UC
 *  PAT WC         WC    WC    WC    WC    WC
 *  PAT WT         UC    UC*   WT    WT*   WT
 *  PAT WP         UC    UC*   WP*   WP    WP
 *  PAT WB         UC    WC    WT    WP    WB
 * ```
 *
 * Cells marked * were undefined in early editions of the manual, which since says that all processors with MTRRs and PAT give
 * what stands here. Source: Intel SDM volume 3A, "Effective Page-Level Memory Types for Pentium III and More Recent Processor
 * Families" (table 11-7 of edition 253668-032), note 3; Xen's table of the same (xen/arch/x86/hvm/mtrr.c) agrees in all cells.
 */
export function combineTypes(pat: MemoryType, mtrr: MemoryType): MemoryType {
  switch (pat) {
    case "UC":
    case "WC":
      return pat;
    case "UC-":
      return mtrr === "WC" || mtrr === "WP" ? "WC" : "UC";
    case "WT":
    case "WP":
      return mtrr === "WT" || mtrr === "WP" || mtrr === "WB" ? pat : "UC";
    case "WB":
      return mtrr;
  }
}

/** Returns what two overlapping variable MTRRs give: UC wins, WT wins over WB; null: undefined by the manual. */
export function overlapTypes(a: MemoryType, b: MemoryType): MemoryType | null {
  if (a === b) return a;
  if (a === "UC" || b === "UC") return "UC";
  const through = (a === "WT" && b === "WB") || (a === "WB" && b === "WT");
  return through ? "WT" : null;
}
