import { NO_ADDRESS, requireRequest } from "./allocator.ts";
import type { Allocator, HeapStats } from "./allocator.ts";
import { HeapError } from "./errors.ts";
import type { BlockMemory } from "./ports.ts";
import { Wrapper } from "./wrapper.ts";

/** What the debug heap looks for, and how much it spends on it. */
export interface DebugOptions {
  /** Bytes of poison from the start of a freed block that are looked at again before it is reused; 64 by default. */
  readonly poisonBytes?: number;
  /** How many freed blocks are kept from reuse; 256 by default. 0 turns the quarantine off. */
  readonly quarantine?: number;
  /** Names the place in the program that allocates; called once for each block. By default blocks are grouped by size alone. */
  readonly callSite?: () => string;
}

/** Blocks that are live, of one call site. */
export interface LeakGroup {
  readonly site: string;
  readonly blocks: number;
  readonly bytes: number;
}

/*
 * A block inside a block of the allocator behind:
 *
 *      ┌─ front: 16 bytes, or the alignment ─┬──────────────┬─ 8 bytes and what is left ─┐
 *      │ …   site · size · seal · red zone   │  the block   │  red zone                  │
 *      └─────────────────────────────────────┴──────────────┴────────────────────────────┘
 *
 * The seal is made of size, site and state, so that a record that was written over is found out.
 */
const FRONT = 16;
const BACK = 8;
const RED = 0x5ed20e5e;
const LIVE = 0x11fe0000;
const DEAD = 0x0dead000;
const POISON = 0xdf;

/**
 * A wrapper that finds what a program does wrong with its blocks: writes before and after them (red zones), writes after their free (poison, checked when they
 * leave the quarantine), double, wild and wrongly sized frees, and leaks, grouped by call site.
 *
 * Errors: `corrupt` for a red zone or record that was written over, `use-after-free`, `double-free`, `wild-free`,
 * `size-mismatch`, `leak`; the subject is always the block's address.
 */
export class DebugHeap extends Wrapper {
  readonly #memory: BlockMemory;
  readonly #poisonBytes: number;
  readonly #callSite: (() => string) | null;
  /** Addresses of freed blocks that the allocator behind still counts as live; a ring. */
  readonly #quarantine: Float64Array;
  #next = 0;
  readonly #sites: string[] = ["unknown"];
  readonly #siteIds = new Map<string, number>();

  constructor(inner: Allocator, memory: BlockMemory, options: DebugOptions = {}) {
    super(inner);
    this.#memory = memory;
    this.#poisonBytes = options.poisonBytes ?? 64;
    this.#callSite = options.callSite ?? null;
    this.#quarantine = new Float64Array(options.quarantine ?? 256).fill(NO_ADDRESS);
  }

  /** Allocates with red zones around. */
  override allocate(size: number, alignment = 0, hint = 0): number {
    if (size >>> 0 !== size || alignment !== 0) requireRequest(size, alignment);
    const front = Math.max(FRONT, alignment);
    const padded = Math.ceil(size / 4) * 4 + front + BACK;
    let start = this.inner.allocate(padded, alignment, hint);
    if (start === NO_ADDRESS && this.#emptyQuarantine()) start = this.inner.allocate(padded, alignment, hint);
    if (start === NO_ADDRESS) return NO_ADDRESS;
    const address = start + front;
    this.#record(address, size, this.#callSite === null ? 0 : this.#siteOf(this.#callSite()), front);
    return address;
  }

  #siteOf(site: string): number {
    const known = this.#siteIds.get(site);
    if (known !== undefined) return known;
    const id = this.#sites.push(site) - 1;
    this.#siteIds.set(site, id);
    return id;
  }

  /** Writes record and red zones. The site's upper byte holds the log2 of the front. */
  #record(address: number, size: number, site: number, front: number): void {
    const memory = this.#memory;
    const packed = (site & 0xffffff) | ((31 - Math.clz32(front)) << 24);
    memory.store32(address - 16, packed);
    memory.store32(address - 12, size);
    memory.store32(address - 8, packed ^ size ^ LIVE);
    memory.store32(address - 4, RED);
    // What is left of the last word, and the two words after it.
    const end = address + Math.ceil(size / 4) * 4;
    if (size % 4 !== 0) memory.store32(end - 4, this.#redTail(memory.load32(end - 4), size));
    memory.store32(end, RED);
    memory.store32(end + 4, RED);
  }

  /** A word whose bytes from `size % 4` on are those of the red zone. */
  #redTail(word: number, size: number): number {
    const mask = -1 << ((size % 4) * 8);
    return (word & ~mask) | (RED & mask);
  }

  /** The size in the record of a live block. Throws what is wrong with it. */
  #sizeAt(address: number): number {
    const memory = this.#memory;
    const isWild = !(address % 4 === 0);
    if (isWild) throw new HeapError("wild-free", address);
    const packed = memory.load32(address - 16);
    const size = memory.load32(address - 12);
    const seal = memory.load32(address - 8) ^ packed ^ size;
    if (seal === DEAD) throw new HeapError("double-free", address);
    if (!this.inner.owns(address - 2 ** ((packed >>> 24) & 31))) throw new HeapError("wild-free", address);
    if (seal !== LIVE) throw new HeapError("corrupt", address, "the record before a block was written over");
    const end = address + Math.ceil((size >>> 0) / 4) * 4;
    if (memory.load32(address - 4) !== RED)
      throw new HeapError("corrupt", address, "the bytes before a block were written over");
    const tail = size % 4 === 0 ? 0 : memory.load32(end - 4);
    if (
      memory.load32(end) !== RED
      || memory.load32(end + 4) !== RED
      || (size % 4 !== 0 && tail !== this.#redTail(tail, size))
    )
      throw new HeapError("corrupt", address, "the bytes after a block were written over");
    return size >>> 0;
  }

  #startOf(address: number): number {
    return address - 2 ** ((this.#memory.load32(address - 16) >>> 24) & 31);
  }

  /** Checks the block, poisons it and puts it into quarantine. */
  override free(address: number): void {
    const size = this.#sizeAt(address);
    const memory = this.#memory;
    const packed = memory.load32(address - 16);
    memory.store32(address - 8, packed ^ size ^ DEAD);
    memory.fill(address, Math.min(size, this.#poisonBytes), POISON);
    if (this.#quarantine.length === 0) this.#release(address);
    else {
      const leaving = this.#quarantine[this.#next]!;
      this.#quarantine[this.#next] = address;
      this.#next = (this.#next + 1) % this.#quarantine.length;
      if (leaving !== NO_ADDRESS) this.#release(leaving);
    }
  }

  /** Frees a block whose size the caller knows. @throws HeapError `size-mismatch` where it has another. */
  freeSized(address: number, size: number): void {
    if (this.#sizeAt(address) !== size) throw new HeapError("size-mismatch", address);
    this.free(address);
  }

  /** Looks at the poison of a block that leaves the quarantine, and gives it back. */
  #release(address: number): void {
    const memory = this.#memory;
    const size = memory.load32(address - 12) >>> 0;
    const packed = memory.load32(address - 16);
    const isIntact = (memory.load32(address - 8) ^ packed ^ size) === DEAD;
    const poisoned = Math.min(size, this.#poisonBytes);
    const word = Math.imul(POISON, 0x01010101);
    let at = 0;
    while (isIntact && at + 4 <= poisoned && memory.load32(address + at) === word) at += 4;
    const start = this.#startOf(address);
    memory.store32(address - 8, 0);
    if (this.inner.owns(start)) this.inner.free(start);
    if (!isIntact || at + 4 <= poisoned) throw new HeapError("use-after-free", address, "a freed block was written to");
  }

  #emptyQuarantine(): boolean {
    let any = false;
    for (let at = 0; at < this.#quarantine.length; at++) {
      const address = this.#quarantine[at]!;
      this.#quarantine[at] = NO_ADDRESS;
      if (address === NO_ADDRESS) continue;
      any = true;
      this.#release(address);
    }
    return any;
  }

  /** Always moves, so that old pointers are found out; in place only where nothing changes. */
  override resize(address: number, size: number): number {
    const before = this.#sizeAt(address);
    requireRequest(size, 0);
    if (size === before) return address;
    const to = this.allocate(size);
    if (to === NO_ADDRESS) return NO_ADDRESS;
    this.#memory.copy(address, to, Math.min(before, size));
    this.free(address);
    return to;
  }

  /** Allocates, then fills with zero. */
  override allocateZeroed(size: number, alignment = 0, hint = 0): number {
    const address = this.allocate(size, alignment, hint);
    if (address !== NO_ADDRESS) this.#memory.fill(address, size, 0);
    return address;
  }

  /** Exactly what was asked for. */
  override usableSize(address: number): number {
    return this.#sizeAt(address);
  }

  /** Whether a live block of this heap starts there. */
  override owns(address: number): boolean {
    let found = false;
    this.walk((live) => (found ||= live === address));
    return found;
  }

  /** Live blocks, grouped by call site, most bytes first. */
  leaks(): LeakGroup[] {
    const groups = new Map<string, { site: string; blocks: number; bytes: number }>();
    this.walk((address, bytes) => {
      const id = this.#memory.load32(address - 16) & 0xffffff;
      const site = id === 0 ? `unknown, ${String(bytes)} bytes` : (this.#sites[id] ?? "unknown");
      const group = groups.get(site) ?? { site, blocks: 0, bytes: 0 };
      group.blocks++;
      group.bytes += bytes;
      groups.set(site, group);
    });
    return [...groups.values()].sort((a, b) => b.bytes - a.bytes);
  }

  /** Throws `leak` with the largest group where any block is live. */
  requireNoLeaks(): void {
    const [first] = this.leaks();
    if (first !== undefined)
      throw new HeapError("leak", first.bytes, `${String(first.blocks)} blocks are live, allocated at ${first.site}`);
  }

  /** Checks the allocator behind, and the red zones of every live block. */
  override check(): void {
    this.inner.check();
    this.walk((address) => this.#sizeAt(address));
  }

  /** Visits live blocks: those of the allocator behind that are not in quarantine. */
  override walk(visit: (address: number, bytes: number) => void): void {
    const memory = this.#memory;
    const dead = new Set(this.#quarantine);
    this.inner.walk((start, bytes) => {
      for (let front = FRONT; front < bytes; front *= 2) {
        const address = start + front;
        if (memory.load32(address - 16) >>> 24 !== Math.log2(front)) continue;
        const size = memory.load32(address - 12);
        if ((memory.load32(address - 8) ^ memory.load32(address - 16) ^ size) !== LIVE || dead.has(address)) continue;
        visit(address, size >>> 0);
        return;
      }
    });
  }

  /** As the allocator behind; blocks in quarantine count as reserved, not as live. */
  override stats(): HeapStats {
    let liveBlocks = 0;
    let liveBytes = 0;
    this.walk((_address, bytes) => {
      liveBlocks++;
      liveBytes += bytes;
    });
    return { ...this.inner.stats(), liveBlocks, liveBytes };
  }

  /** Looks at everything in quarantine, then ends all lives. */
  override reset(): void {
    this.#emptyQuarantine();
    this.inner.reset();
  }
}
