/** What the adapter needs of a processor; `@pagewright/machine`'s Cpu fits. */
import type { VirtAddr } from "../units.ts";

/** Copies within a processor's view. */
export interface KernelBulk {
  /** Copies `count` bytes from one address to another; false: faulted. */
  move(from: VirtAddr, to: VirtAddr, count: number): boolean;
}

/** A processor in the hands of the kernel. */
export interface KernelCpu {
  /** Its number, from 0. */
  readonly id: number;
  /** Current privilege level. */
  readonly cpl: number;
  /** Host memory into which {@link viewOf} indexes. */
  readonly words: Uint32Array;
  /** Copies within its view. */
  readonly bulk: KernelBulk;
  /** Sets the privilege level. */
  setCpl(cpl: number): void;
  /** Translates an address for an access (0 read, 1 write): the index of its word in {@link words}, −1 if it faulted. */
  viewOf(va: VirtAddr, access: number): number;
  /** Copies bytes into memory; false: faulted. */
  copyIn(va: VirtAddr, bytes: Uint8Array): boolean;
  /** Copies memory out; false: faulted. */
  copyOut(va: VirtAddr, into: Uint8Array): boolean;
  /** Fills memory with a byte; false: faulted. */
  fill(va: VirtAddr, count: number, byte: number): boolean;
  /** Drops the translation of a page, global or not. */
  invlpg(va: VirtAddr): void;
  /** Changes the root, and drops all translations but global ones. */
  writeCr3(low: number, high?: number): void;
  /** Drops translations: type 2, all of them with global ones. */
  invpcid(type: number, pcid: number, va: VirtAddr): void;
}
