import { moveBlock, NO_ADDRESS, requireInvariant, requireRequest } from "./allocator.ts";
import type { Allocator, HeapStats } from "./allocator.ts";
import { HeapError } from "./errors.ts";
import { LiveTable } from "./live-table.ts";
import { Pool } from "./pool.ts";
import type { BlockMemory, RangeSource } from "./ports.ts";
import { Wrapper } from "./wrapper.ts";

/** A page belongs to one pool: the bytes that pools take at once are a multiple of it. */
const PAGE = 4096;
/** The page that an address lies in. */
function pageOf(address: number): number {
  return (address | 0) === address ? address >> 12 : Math.floor(address / PAGE);
}

/** Bytes of the largest slot: four of them fill a page. */
const LARGEST = 1024;
const MOST_TYPES = 65535;

/**
 * The hint that a block is of a type.
 *
 * @param type the program's own, 1 … 65535.
 * @param lifetime bits of `Hint`, for blocks that no pool takes.
 */
export function typeHint(type: number, lifetime = 0): number {
  return type * 4 + (lifetime & 3);
}

/**
 * A pool for each type of block, over any allocator: blocks with the hint {@link typeHint} share pages with blocks of their type alone, so that walking all of one type touches
 * nothing else, a stale pointer meets a block of its own type, and a type's blocks can end together ({@link endType}). The first block of a type says how large its slots are; larger and aligned
 * ones, those above 1 KiB and those without a type are the allocator's.
 *
 * Cost: a table look-up for each free; for each type a page that is in part unused.
 */
export class TypePools extends Wrapper {
  readonly #memory: Partial<Pick<BlockMemory, "copy">>;
  /** By type; null for one whose blocks are too large, undefined before its first block. */
  readonly #pools: (Pool | null | undefined)[] = [];
  /** From an address / 4096 to the number of the page, of which the key and the pool are known. */
  readonly #pages: LiveTable = new LiveTable((page) => this.#keys[page] ?? NaN);
  readonly #keys: number[] = [];
  readonly #owners: Allocator[] = [];
  /** Numbers of pages that were given back. */
  readonly #unused: number[] = [];
  /** The page that was asked about last, and whose it is. */
  #lastKey = NaN;
  #lastOwner: Allocator;

  /** @param memory the bytes of the blocks: without, one that outgrows its slot is not moved. */
  constructor(inner: Allocator, memory: Partial<Pick<BlockMemory, "copy">> = {}) {
    super(inner);
    this.#memory = memory;
    this.#lastOwner = inner;
  }

  /** Out of the type's pool, where the hint names one and the block fits; else out of the allocator behind. */
  override allocate(size: number, alignment = 0, hint = 0): number {
    const type = hint >>> 2;
    if (type === 0 || alignment !== 0) return this.inner.allocate(size, alignment, hint & 3);
    const known = this.#pools[type];
    const pool = known === undefined ? this.#addPool(type, size) : known;
    const address = pool === null || size > pool.slotBytes ? NO_ADDRESS : pool.allocate(size);
    return address === NO_ADDRESS ? this.inner.allocate(size, 0, hint & 3) : address;
  }

  #addPool(type: number, size: number): Pool | null {
    requireRequest(size, 0);
    if (type > MOST_TYPES) throw new HeapError("bad-option", type, "types are 1 … 65535");
    while (this.#pools.length < type) this.#pools.push(undefined);
    if (size > LARGEST) return (this.#pools[type] = null);
    const slotBytes = Math.max(Math.ceil(size / 8), 1) * 8;
    const pool: Pool = new Pool(
      this.#sourceFor(() => pool),
      slotBytes,
      Math.floor(PAGE / slotBytes),
    );
    return (this.#pools[type] = pool);
  }

  /** Pages of the allocator behind, for one pool. */
  #sourceFor(pool: () => Pool): RangeSource {
    return {
      reserve: (bytes) => {
        const whole = Math.ceil(bytes / PAGE) * PAGE;
        const address = this.inner.allocate(whole, PAGE);
        this.#lastKey = NaN;
        for (let at = 0; at < whole && address !== NO_ADDRESS; at += PAGE) {
          const page = this.#unused.pop() ?? this.#keys.length;
          this.#keys[page] = (address + at) / PAGE;
          this.#owners[page] = pool();
          this.#pages.add((address + at) / PAGE, page);
        }
        return address;
      },
      release: (address, bytes) => {
        this.#lastKey = NaN;
        for (let at = 0; at < bytes; at += PAGE) this.#unused.push(this.#pages.take((address + at) / PAGE));
        this.inner.free(address);
      },
    };
  }

  /** The pool whose page an address lies in, or the allocator behind. */
  #ownerOf(address: number): Allocator {
    const key = pageOf(address);
    if (key === this.#lastKey) return this.#lastOwner;
    const page = this.#pages.find(key);
    this.#lastKey = key;
    return (this.#lastOwner = this.#owners[page] ?? this.inner);
  }

  /** Frees. */
  override free(address: number): void {
    this.#ownerOf(address).free(address);
  }

  /** Ends the life of all blocks in a type's pool at once and gives its pages back. */
  endType(type: number): void {
    this.#pools[type]?.destroy();
    if (type < this.#pools.length) this.#pools[type] = undefined;
  }

  /** In place, or by moving; with its type in the hint a block stays with its type as long as it fits. */
  override resize(address: number, size: number, alignment = 0, hint = 0): number {
    const owner = this.#ownerOf(address);
    if (owner === this.inner) return this.inner.resize(address, size, alignment, hint & 3);
    const usable = owner.usableSize(address);
    requireRequest(size, alignment);
    return size <= usable ? address : moveBlock(this, this.#memory, address, usable, size, alignment, hint);
  }

  /** The slot's size, or what the allocator behind says. */
  override usableSize(address: number): number {
    return this.#ownerOf(address).usableSize(address);
  }

  /** Exact. */
  override owns(address: number): boolean {
    return this.#ownerOf(address).owns(address);
  }

  /** The allocator behind's blocks but for those that are pools' pages, then by type. */
  override walk(visit: (address: number, bytes: number) => void): void {
    this.inner.walk((address, bytes) => {
      if (this.#ownerOf(address) === this.inner) visit(address, bytes);
    });
    for (const pool of this.#pools) pool?.walk(visit);
  }

  /** Visits the live blocks of a type's pool. */
  walkType(type: number, visit: (address: number, bytes: number) => void): void {
    this.#pools[type]?.walk(visit);
  }

  /** As the allocator behind, with the pools' blocks in place of their pages. */
  override stats(): HeapStats {
    const stats = this.inner.stats();
    let [liveBlocks, liveBytes] = [0, 0];
    this.walk((_address, bytes) => {
      liveBlocks++;
      liveBytes += bytes;
    });
    let { metadataBytes } = stats;
    for (const pool of this.#pools) metadataBytes += pool?.stats().metadataBytes ?? 0;
    return {
      ...stats,
      liveBlocks,
      liveBytes,
      metadataBytes: metadataBytes + this.#pages.bytes + this.#keys.length * 16,
    };
  }

  /** Checks the allocator behind and the pools, and that each page of a type lies in its pool's ranges. */
  override check(): void {
    this.inner.check();
    let pages = 0;
    for (const pool of this.#pools) {
      pool?.check();
      pages += Math.ceil((pool?.stats().reservedBytes ?? 0) / PAGE);
    }
    // Each range that a pool has taken ends with a page that is in part unused.
    requireInvariant(this.#pages.count >= pages, pages, "pools have pages");
    requireInvariant(
      this.#pages.count + this.#unused.length === this.#keys.length,
      this.#pages.count,
      "pages are a type's or given back",
    );
  }

  #forget(): void {
    this.#pages.clear();
    this.#pools.length = this.#keys.length = this.#owners.length = this.#unused.length = 0;
    this.#lastKey = NaN;
  }

  /** Ends all lives and forgets all types. */
  override reset(): void {
    this.#forget();
    this.inner.reset();
  }

  /** Ends all lives and gives all memory back. */
  override destroy(): void {
    this.#forget();
    this.inner.destroy();
  }
}
