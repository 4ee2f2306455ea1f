/**
 * Shapes of TLBs: what a CPU is built with.
 */
import type { TlbShape } from "./tlb-array.ts";

/** The arrays of a CPU's TLB and its paging-structure caches. A shape of null: the CPU has no such array. */
export interface TlbGeometry {
  /** What reports call it. */
  readonly name: string;
  /** First level, data: per page size. */
  readonly data: { readonly "4K": TlbShape; readonly "2M": TlbShape; readonly "1G": TlbShape };
  /** First level, instructions; a 1G page is held as 2M pieces. */
  readonly code: { readonly "4K": TlbShape; readonly "2M": TlbShape };
  /**
   * Second level: 4K and 2M pages in one array, for data and instructions unless these have one of their own (`code`); 1G pages
   * in another or, without that, as the 2M pieces that were used.
   */
  readonly second: { readonly shared: TlbShape | null; readonly code?: TlbShape; readonly "1G": TlbShape | null };
  /** Entries of the caches of PML4, PDPT and PD entries; 0: none. */
  readonly structures: { readonly pml4: number; readonly pdpt: number; readonly pd: number };
  /** Which entry of a full set goes: the least recently used, or the oldest. */
  readonly replacement: "lru" | "oldest";
}

/**
 * A large one-level TLB: no processor has it. It keeps simulations fast, since nearly every access hits; what it
 * holds it may hold, because hardware may be of any size.
 */
export const ROOMY_TLB: TlbGeometry = {
  name: "roomy",
  data: { "4K": { sets: 2048, ways: 4 }, "2M": { sets: 64, ways: 4 }, "1G": { sets: 4, ways: 4 } },
  code: { "4K": { sets: 256, ways: 4 }, "2M": { sets: 64, ways: 4 } },
  second: { shared: null, "1G": null },
  structures: { pml4: 16, pdpt: 16, pd: 64 },
  replacement: "oldest",
};

/**
 * 64 entries in 16 sets of 4 for data and the same for instructions, least recently used: a common first level, and the
 * one whose misses on traces are known exactly. No second level, no paging-structure caches.
 */
export const PLAIN_64X4_TLB: TlbGeometry = {
  name: "plain-64x4",
  data: { "4K": { sets: 16, ways: 4 }, "2M": { sets: 8, ways: 4 }, "1G": { sets: 1, ways: 4 } },
  code: { "4K": { sets: 16, ways: 4 }, "2M": { sets: 8, ways: 4 } },
  second: { shared: null, "1G": null },
  structures: { pml4: 0, pdpt: 0, pd: 0 },
  replacement: "lru",
};

/**
 * Intel Skylake (client and server cores alike). Source: Intel 64 and IA-32 Architectures Optimization Reference Manual, "TLB
 * Parameters of the Skylake Client Microarchitecture": ITLB 4K 128 entries 8 ways, 2M/4M 8 entries a thread; DTLB 4K 64
 * entries 4 ways, 2M/4M 32 entries 4 ways, 1G 4 entries 4 ways; STLB 4K and 2M together 1536 entries 12 ways, 1G 16 entries 4
 * ways. Sizes of the paging-structure caches are published neither there nor in the SDM ("Caching Paging Structures" leaves
 * them to the processor): 4, 4 and 32 entries are assumed. Replacement is not published: least recently used is assumed.
 */
export const SKYLAKE_TLB: TlbGeometry = {
  name: "skylake",
  data: { "4K": { sets: 16, ways: 4 }, "2M": { sets: 8, ways: 4 }, "1G": { sets: 1, ways: 4 } },
  code: { "4K": { sets: 16, ways: 8 }, "2M": { sets: 1, ways: 8 } },
  second: { shared: { sets: 128, ways: 12 }, "1G": { sets: 4, ways: 4 } },
  structures: { pml4: 4, pdpt: 4, pd: 32 },
  replacement: "lru",
};

/**
 * AMD Zen 2. Sources: CPUID functions 8000_0005h, 8000_0006h and 8000_0019h of a Ryzen 5 3600X: L1 DTLB and L1 ITLB 64 fully
 * associative entries each for all page sizes; L2 DTLB 2048 entries for 4K and 2M pages, L2 ITLB 1024 entries 8 ways, no 1G
 * pages in either. AMD Software Optimization Guide for AMD Family 17h Models 30h and Greater Processors, "L2 Translation
 * Lookaside Buffers" and "Hardware Page Table Walkers": 16 ways of the L2 DTLB, 1G pages are held there in 2M pieces, 64
 * entries of a page-directory cache for PML4 and PDPT entries; PD entries live in the L2 DTLB.
 *
 * Simplified: the one first-level array for all sizes is one array of 64 per size; the page-directory cache is 32 + 32
 * entries; PD entries have 64 entries of their own instead of room in the L2 DTLB, whose ways are not skewed by page size.
 */
export const ZEN2_TLB: TlbGeometry = {
  name: "zen2",
  data: { "4K": { sets: 1, ways: 64 }, "2M": { sets: 1, ways: 64 }, "1G": { sets: 1, ways: 64 } },
  code: { "4K": { sets: 1, ways: 64 }, "2M": { sets: 1, ways: 64 } },
  second: { shared: { sets: 128, ways: 16 }, code: { sets: 128, ways: 8 }, "1G": null },
  structures: { pml4: 32, pdpt: 32, pd: 64 },
  replacement: "lru",
};
