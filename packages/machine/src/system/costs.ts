/**
 * What things cost, in nanoseconds of virtual time. Every default is a published figure; where a range is published, the
 * range and the choice within it are given. Figures in cycles are of a clock of 4 GHz (a Core i7-6700K, Skylake).
 *
 * | cost | default | published | source |
 * |---|---|---|---|
 * | `secondTlb` | 2.25 | 9 cycles | Intel's top-down metrics for Skylake, `Mem_STLB_Hit_Cost` (A. Kleen, pmu-tools, `skl_client_ratios.py`) |
 * | `cacheHit` | 11 | 44 cycles | Intel 64 and IA-32 Architectures Optimization Reference Manual, "Cache Parameters of the Skylake Client Microarchitecture", L3, fastest latency |
 * | `memory` | 82 | 78 to 89 ns | Intel Memory Latency Checker, "idle latencies", own node of two-socket Xeon Scalable servers: 78.6 (Platinum 8269CY), 82.1, 89.3 |
 * | `uncached` | 547 | 520 to 947 ns, median 547 | R. Neugebauer et al., "Understanding PCIe performance for end host networking", SIGCOMM 2018: a 64-byte read over PCIe on a Xeon E5, by the device; a read by the processor crosses the same link twice |
 * | `pageFault` | 262.5 | 1050 cycles | L. Torvalds, "page fault costs", 2014: fault and return of an empty page fault on Haswell |
 * | `invlpg` | 65 | 237 to 260 cycles, 883 cache-cold | I. Molnar, "TLB flush multiple pages per IPI v5", linux-mm, 8 June 2015, `__flush_tlb_one` |
 * | `writeCr3` | 62.75 | 96 to 251 cycles, 366 cache-cold | the same, `__flush_tlb`, on the machine of the 883 cycles |
 * | `ipi` | 1300 | 1.3 to 2.7 µs | 1.3 µs from CPU to CPU: Y. Norov's IPI benchmark in "IPI virtualization support for VM", Linux KVM, 2022; up to 2.7 µs for 16 cores of 2 sockets: M. Kumar et al., "LATR: Lazy Translation Coherence", ASPLOS 2018 |
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

/** Cycles of a 4 GHz clock in a nanosecond. */
const CYCLES = 4;

/** The defaults of the table above. */
export const DEFAULT_COSTS: Costs = {
  secondTlb: 9 / CYCLES,
  cacheHit: 44 / CYCLES,
  memory: 82,
  uncached: 547,
  pageFault: 1050 / CYCLES,
  invlpg: 260 / CYCLES,
  writeCr3: 251 / CYCLES,
  ipi: 1300,
};

/** Relative distances between nodes as the ACPI SLIT has them: 10 is the node itself. */
export type Distances = readonly (readonly number[])[];

/**
 * Returns a distance table where every other node is `remote` away.
 *
 * The default of 17 is measured: 141 ns against 82 ns (Intel Memory Latency Checker, idle latencies of a two-socket Xeon
 * server; 15.6 to 18.4 on others). Firmware of the same server says 21 in its SLIT, and Linux takes 20 where there is no SLIT
 * (`REMOTE_DISTANCE`, include/linux/topology.h).
 */
export function uniformDistances(nodes: number, remote = 17): Distances {
  return Array.from({ length: nodes }, (_, from) =>
    Array.from({ length: nodes }, (__, to) => (from === to ? 10 : remote)),
  );
}
