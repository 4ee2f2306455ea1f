import { HeapError } from "./errors.ts";
import type { PageGuard } from "./guard.ts";
import type { BlockMemory, RangeSource } from "./ports.ts";

/** What is needed of an address space: `AddressSpace` of `@pagewright/vmm` has it. */
export interface MappableSpace<Request extends object> {
  /** Maps a region; its address, or a word that says why not. */
  map(request: Request & { readonly bytes: number; readonly alignment?: number }): number | string;
  unmap(address: number, bytes: number): unknown;
  protect(address: number, bytes: number, rights: number): unknown;
  /** Says that the contents of whole pages are not needed: they read as zero from now on. */
  advise?(address: number, bytes: number, advice: "dont-need"): unknown;
}

/** What is needed of a space's bytes: `SpaceMemory` of `@pagewright/vmm` has it. Each call answers how far it got. */
export interface SpaceBytes {
  load32(address: number): number;
  store32(address: number, value: number): boolean;
  copyIn(address: number, from: Uint8Array): number;
  copyOut(address: number, into: Uint8Array): number;
  fill(address: number, bytes: number, value: number): number;
}

const PAGE = 4096;
const READ_WRITE = 3;

/**
 * Regions of a virtual address space as a range source: a heap over it lives in demand-zero pages that can be swapped out, with
 * whatever cacheability, node or colour the mapping request asks for, and can take pages away to guard blocks.
 */
export class SpaceSource<Request extends object = object> implements RangeSource, BlockMemory, PageGuard {
  readonly #space: MappableSpace<Request>;
  readonly #bytes: SpaceBytes;
  readonly #request: Request;
  readonly #rights: number;

  /**
   * @param request what every region is mapped with besides its size: memory type, frame placement, lock …
   * @param rights what an accessible page may do; READ + WRITE by default (add USER for a user space).
   */
  constructor(space: MappableSpace<Request>, bytes: SpaceBytes, request: Request, rights: number = READ_WRITE) {
    this.#space = space;
    this.#bytes = bytes;
    this.#request = request;
    this.#rights = rights;
  }

  /** Maps a region of whole pages. */
  reserve(bytes: number, alignment: number): number {
    const pages = Math.ceil(bytes / PAGE) * PAGE;
    const address = this.#space.map({ ...this.#request, bytes: pages, alignment: Math.max(alignment, PAGE) });
    return typeof address === "number" ? address : -1;
  }

  /** Unmaps the pages that start in the range. A range ends where a region does. */
  release(address: number, bytes: number): void {
    const start = Math.ceil(address / PAGE) * PAGE;
    const end = Math.ceil((address + bytes) / PAGE) * PAGE;
    if (end > start) this.#space.unmap(start, end - start);
  }

  /** Gives the frames of the pages that lie wholly in the range back. */
  discard(address: number, bytes: number): void {
    const start = Math.ceil(address / PAGE) * PAGE;
    const end = Math.floor((address + bytes) / PAGE) * PAGE;
    if (end > start) this.#space.advise?.(start, end - start, "dont-need");
  }

  /** Takes pages away, so that touching them faults, or brings them back. */
  protect(address: number, bytes: number, access: "none" | "read-write"): void {
    this.#space.protect(address, bytes, access === "none" ? 0 : this.#rights);
  }

  #require(holds: boolean, address: number): void {
    if (!holds) throw new HeapError("no-memory", address, "the space could not reach the bytes of a block");
  }

  /** Sets bytes, faulting pages in. */
  fill(address: number, bytes: number, value: number): void {
    this.#require(this.#bytes.fill(address, bytes, value) === bytes, address);
  }

  /** Copies bytes, a page at a time; the ranges may overlap. */
  copy(from: number, to: number, bytes: number): void {
    const page = new Uint8Array(Math.min(bytes, PAGE));
    for (let done = 0; done < bytes; done += page.length) {
      const count = Math.min(page.length, bytes - done);
      // Upwards from the end where the target lies above the source, so that nothing is read after it was written.
      const at = to > from ? bytes - done - count : done;
      const part = page.subarray(0, count);
      const isCopied = this.#bytes.copyOut(from + at, part) === count && this.#bytes.copyIn(to + at, part) === count;
      this.#require(isCopied, to);
    }
  }

  /** The word at a multiple of 4. */
  load32(address: number): number {
    return this.#bytes.load32(address) | 0;
  }

  /** Sets the word at a multiple of 4. */
  store32(address: number, value: number): void {
    this.#require(this.#bytes.store32(address, value), address);
  }
}
