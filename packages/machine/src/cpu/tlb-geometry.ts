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
  /** Second level, shared by data and instructions: 4K and 2M pages in one array, 1G pages in another. */
  readonly second: { readonly shared: TlbShape | null; readonly "1G": TlbShape | null };
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
 * Intel Skylake (client and server cores alike). Source: Intel 64 and IA-32 Architectures Optimization Reference Manual,
 * Skylake microarchitecture, table "TLB Parameters of the Skylake Microarchitecture": DTLB 4K 64 entries 4 ways, 2M/4M 32
 * entries 4 ways, 1G 4 entries; ITLB 4K 128 entries 8 ways, 2M/4M 8 entries per thread; STLB shared 4K/2M 1536 entries 12
 * ways, 1G 16 entries 4 ways. Sizes of the paging-structure caches are not published; those here are of the order that
 * measurements in the literature suggest.
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
 * AMD Zen 2. Source: AMD Software Optimization Guide for AMD Family 17h Models 30h and Greater Processors, section
 * "L1/L2 TLB": L1 DTLB 64 fully associative entries for all page sizes; L1 ITLB 64 fully associative; L2 DTLB 2048
 * entries 16 ways for 4K/2M (no 1G); 64 page-directory cache entries. The first level's one array for all sizes is
 * modelled as one array per size.
 */
export const ZEN2_TLB: TlbGeometry = {
  name: "zen2",
  data: { "4K": { sets: 1, ways: 64 }, "2M": { sets: 1, ways: 64 }, "1G": { sets: 1, ways: 64 } },
  code: { "4K": { sets: 1, ways: 64 }, "2M": { sets: 1, ways: 64 } },
  second: { shared: { sets: 128, ways: 16 }, "1G": null },
  structures: { pml4: 4, pdpt: 16, pd: 64 },
  replacement: "lru",
};
