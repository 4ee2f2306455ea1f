import type { Allocator, HeapStats } from "./allocator.ts";

/**
 * An allocator in front of another one that does everything as that one does: what the debug heap, quotas, tracers and
 * profilers start from. Wrappers compose in any order, and an allocator without one pays nothing.
 */
export class Wrapper implements Allocator {
  /** The allocator behind this one. */
  protected readonly inner: Allocator;

  constructor(inner: Allocator) {
    this.inner = inner;
  }

  /** As the allocator behind. */
  allocate(size: number, alignment = 0, hint = 0): number {
    return this.inner.allocate(size, alignment, hint);
  }
  /** As the allocator behind. */
  free(address: number): void {
    this.inner.free(address);
  }
  /** As the allocator behind. */
  resize(address: number, size: number, alignment = 0, hint = 0): number {
    return this.inner.resize(address, size, alignment, hint);
  }
  /** As the allocator behind. */
  usableSize(address: number): number {
    return this.inner.usableSize(address);
  }
  /** As the allocator behind. */
  owns(address: number): boolean {
    return this.inner.owns(address);
  }
  /** As the allocator behind. */
  stats(): HeapStats {
    return this.inner.stats();
  }
  /** As the allocator behind. */
  check(): void {
    this.inner.check();
  }
  /** As the allocator behind. */
  walk(visit: (address: number, bytes: number) => void): void {
    this.inner.walk(visit);
  }
  /** As the allocator behind. */
  reset(): void {
    this.inner.reset();
  }
  /** As the allocator behind. */
  destroy(): void {
    this.inner.destroy();
  }
}
