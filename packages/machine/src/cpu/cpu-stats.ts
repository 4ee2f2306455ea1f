import type { PhysAddr } from "../units.ts";

/** Figures of a CPU. */
export interface CpuStats {
  /** Loads, stores and other data accesses whose translation was in the TLB (either level). */
  readonly dataHits: number;
  /** Of these, those that only the second level had. */
  readonly dataSecondHits: number;
  /** Data accesses that needed a walk. */
  readonly dataMisses: number;
  /** Fetches whose translation was in the TLB. */
  readonly codeHits: number;
  /** Of these, those that only the second level had. */
  readonly codeSecondHits: number;
  /** Fetches that needed a walk. */
  readonly codeMisses: number;
  /** Paging-structure entries read by walks below the exact path. */
  readonly walkReads: number;
  /** Page faults raised, spurious ones included. */
  readonly pageFaults: number;
  /** General-protection faults for non-canonical addresses. */
  readonly protectionFaults: number;
}

/** Who is told of every access of a CPU while the short way is closed. */
export interface AccessMeter {
  /** An access to the line of memory at `address`. */
  access(address: PhysAddr): void;
  /** A bulk operation on the `count` bytes at `address`, all in one frame: each line of memory, each transfer of a device. */
  transfer(address: PhysAddr, count: number): void;
  /** A page fault that is about to be delivered. */
  pageFault(): void;
}
