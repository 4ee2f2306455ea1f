/**
 * What things cost, in nanoseconds of virtual time.
 *
 * | cost | default | source |
 * |---|---|---|
 * | `secondTlb` | 1.75 | 7 cycles at 4 GHz: Intel Optimization Reference Manual, Skylake, "STLB hit: 7 cycle penalty" |
 * | `cacheHit` | 10 | 40 cycles at 4 GHz: the same, L3 latency 44 cycles on Skylake client |
 * | `memory` | 80 | idle local DRAM latency of a two-socket Skylake server, Intel Memory Latency Checker documentation |
 * | `uncached` | 300 | order of a PCIe read round trip; a non-posted read crosses the link twice (PCI Express Base Specification) |
 * | `pageFault` | 250 | 1000 cycles: order of exception entry and IRET measured by lmbench-like tests on x86 |
 * | `invlpg` | 30 | 120 cycles: Agner Fog, Instruction tables, INVLPG on Skylake |
 * | `writeCr3` | 50 | about 200 cycles: Agner Fog, Instruction tables, MOV CR3 |
 * | `ipi` | 1000 | order of 1 µs from ICR write to handler: Amit, "Optimizing the TLB Shootdown Algorithm with Page Access Tracking", USENIX ATC 2017 |
 */
export interface Costs {
  /** Second-level TLB hit. */
  readonly secondTlb: number;
  /** An access, or a read of a page-table entry, that the last-level cache answers. */
  readonly cacheHit: number;
  /** One that memory of the own node answers; other nodes cost `distance / 10` times this. */
  readonly memory: number;
  /** An access to uncachable or device memory. */
  readonly uncached: number;
  /** Delivery of a page fault and return from it. */
  readonly pageFault: number;
  /** INVLPG. */
  readonly invlpg: number;
  /** MOV to CR3. */
  readonly writeCr3: number;
  /** An inter-processor interrupt, from sending to arrival. */
  readonly ipi: number;
}

/** The defaults of the table above. */
export const DEFAULT_COSTS: Costs = {
  secondTlb: 1.75,
  cacheHit: 10,
  memory: 80,
  uncached: 300,
  pageFault: 250,
  invlpg: 30,
  writeCr3: 50,
  ipi: 1000,
};

/** Relative distances between nodes as the ACPI SLIT has them: 10 is the node itself, 21 a common neighbour. */
export type Distances = readonly (readonly number[])[];

/** Returns a distance table where every other node is `remote` away (default 21, as two-socket servers report). */
export function uniformDistances(nodes: number, remote = 21): Distances {
  return Array.from({ length: nodes }, (_, from) =>
    Array.from({ length: nodes }, (__, to) => (from === to ? 10 : remote)),
  );
}
