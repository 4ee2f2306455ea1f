import { NO_ADDRESS, requireRequest } from "./allocator.ts";
import type { Allocator, HeapStats } from "./allocator.ts";
import { HeapError } from "./errors.ts";
import type { BlockMemory, WordMemory } from "./ports.ts";
import { BACK, BlockRecords, DEAD, FRONT, LIVE, WordRecords } from "./block-records.ts";
import { Quarantine } from "./quarantine.ts";
import { Wrapper } from "./wrapper.ts";

/** What the debug heap looks for, and how much it spends on it. */
export interface DebugOptions {
  /** Bytes of poison from the start of a freed block that are looked at again before it is reused, rounded up to whole words; 32 by default, Infinity for all. */
  readonly poisonBytes?: number;
  /** How many freed blocks are kept from reuse; 256 by default. 0 turns the quarantine off. */
  readonly quarantine?: number;
  /** How many bytes they may have together; 1 MiB by default. The oldest leave first; a block that is larger is not kept. */
  readonly quarantineBytes?: number;
  /** Names the place in the program that allocates; called once for each block. By default blocks are grouped by size alone. */
  readonly callSite?: () => string;
}

/** Blocks that are live, of one call site. */
export interface LeakGroup {
  readonly site: string;
  readonly blocks: number;
  readonly bytes: number;
}

/** Records have one word for a size. */
const LARGEST = 2 ** 31 - 2 ** 16;

/**
 * A wrapper that finds what a program does wrong with its blocks: writes before and after them (red zones), writes after their free (poison, checked when they
 * leave the quarantine), double, wild and wrongly sized frees, and leaks, grouped by call site. Blocks have at most 2 GiB − 64 KiB.
 *
 * Errors: `corrupt` for a red zone or record that was written over, `use-after-free`, `double-free`, `wild-free`,
 * `size-mismatch`, `leak`; the subject is always the block's address.
 */
export class DebugHeap extends Wrapper {
  readonly #memory: BlockMemory;
  readonly #records: BlockRecords;
  readonly #callSite: (() => string) | null;
  /** Freed blocks that the allocator behind still counts as live. */
  readonly #quarantine: Quarantine;
  readonly #sites: string[] = ["unknown"];
  readonly #siteIds = new Map<string, number>();
  /** Live blocks. */
  #live = 0;

  /** @throws HeapError `bad-option` for a quarantine of less than nothing. */
  constructor(inner: Allocator, memory: BlockMemory & Partial<WordMemory>, options: DebugOptions = {}) {
    super(inner);
    const { poisonBytes = 32, quarantine = 256, quarantineBytes = 2 ** 20, callSite = null } = options;
    if (quarantine >>> 0 !== quarantine) throw new HeapError("bad-option", quarantine);
    this.#memory = memory;
    this.#records =
      memory.words === undefined
        ? new BlockRecords(memory, poisonBytes)
        : new WordRecords(memory as WordMemory, poisonBytes);
    this.#callSite = callSite;
    this.#quarantine = new Quarantine(quarantine, quarantineBytes);
  }

  /** Allocates with red zones around. */
  override allocate(size: number, alignment = 0, hint = 0): number {
    if (size >>> 0 !== size || alignment !== 0) requireRequest(size, alignment);
    if (size > LARGEST) return NO_ADDRESS;
    const front = alignment > FRONT ? alignment : FRONT;
    const padded = ((size + 3) & -4) + front + BACK;
    let start = this.inner.allocate(padded, alignment, hint);
    if ((start & 3) !== 0) {
      start = this.#allocateAgain(start, padded, alignment, hint);
      if (start === NO_ADDRESS) return NO_ADDRESS;
    }
    const address = start + front;
    this.#live++;
    this.#records.write(address, size, front, this.#callSite === null ? 0 : this.#siteOf(this.#callSite()));
    return address;
  }

  /** Where there was no memory, with that of the quarantine; where the block was not aligned to a word, which records are, with an alignment. */
  #allocateAgain(refused: number, bytes: number, alignment: number, hint: number): number {
    if (refused !== NO_ADDRESS) this.inner.free(refused);
    else if (!this.#emptyQuarantine()) return NO_ADDRESS;
    return this.inner.allocate(bytes, Math.max(alignment, 4), hint);
  }

  #siteOf(site: string): number {
    const known = this.#siteIds.get(site);
    if (known !== undefined) return known;
    const id = this.#sites.push(site) - 1;
    this.#siteIds.set(site, id);
    return id;
  }

  /** The size of a live block that is as it should be. Throws what is wrong with it. */
  #sizeAt(address: number): number {
    const size = this.#records.sizeOf(address);
    return size < 0 ? this.#throwMisuse(address) : size;
  }

  #throwMisuse(address: number): never {
    const records = this.#records;
    if (address % 4 !== 0) throw new HeapError("wild-free", address);
    const state = records.stateAt(address);
    if (state === DEAD) throw new HeapError("double-free", address);
    if (state === LIVE && records.isFrontRed(address))
      throw new HeapError("corrupt", address, "the bytes after a block were written over");
    if (state !== LIVE && !this.inner.owns(address - records.frontAt(address)))
      throw new HeapError("wild-free", address);
    throw new HeapError("corrupt", address, "the bytes before a block were written over");
  }

  /** Checks the block, poisons it and puts it into quarantine. */
  override free(address: number): void {
    const size = this.#sizeAt(address);
    this.#records.bury(address, size);
    this.#live--;
    const quarantine = this.#quarantine;
    if (!quarantine.takes(size)) {
      this.#release(address);
      return;
    }
    // In first, so that it is safe when what leaves was written to, which throws.
    const leaving = quarantine.put(address, size);
    if (leaving !== NO_ADDRESS) this.#release(leaving);
    while (quarantine.isOver) this.#release(quarantine.takeOldest());
  }

  /** Frees a block whose size the caller knows. @throws HeapError `size-mismatch` where it has another. */
  freeSized(address: number, size: number): void {
    if (this.#sizeAt(address) !== size) throw new HeapError("size-mismatch", address);
    this.free(address);
  }

  /** Looks at a block that leaves the quarantine, and gives it back. Its record stays, so that a second free is told as long as nobody has written over it. */
  #release(address: number): void {
    const front = this.#records.frontOfUntouched(address);
    if (front === 0) this.#throwTouched(address);
    this.inner.free(address - front);
  }

  #throwTouched(address: number): never {
    const start = address - this.#records.frontAt(address);
    if (this.inner.owns(start)) this.inner.free(start);
    throw new HeapError("use-after-free", address, "a freed block was written to");
  }

  /** @returns whether there was anything in it. */
  #emptyQuarantine(): boolean {
    const any = !this.#quarantine.isEmpty;
    while (!this.#quarantine.isEmpty) this.#release(this.#quarantine.takeOldest());
    return any;
  }

  /** Always moves, so that old pointers are found out; in place only where nothing changes. */
  override resize(address: number, size: number, alignment = 0, hint = 0): number {
    const before = this.#sizeAt(address);
    requireRequest(size, alignment);
    if (size === before) return address;
    const to = this.allocate(size, alignment, hint);
    if (to === NO_ADDRESS) return NO_ADDRESS;
    this.#memory.copy(address, to, Math.min(before, size));
    this.free(address);
    return to;
  }

  /** Exactly what was asked for. */
  override usableSize(address: number): number {
    return this.#sizeAt(address);
  }

  /** Whether a live block of this heap starts there, whatever lies around it. */
  override owns(address: number): boolean {
    const records = this.#records;
    return (
      address % 4 === 0 && records.stateAt(address) === LIVE && this.inner.owns(address - records.frontAt(address))
    );
  }

  /** Live blocks, grouped by call site, most bytes first. */
  leaks(): LeakGroup[] {
    const groups = new Map<string, { site: string; blocks: number; bytes: number }>();
    this.walk((address, bytes) => {
      const id = this.#records.siteAt(address);
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

  /** Checks the allocator behind, the records and red zones of every live block, and the poison of those in quarantine. */
  override check(): void {
    this.inner.check();
    let live = 0;
    this.walk((address) => {
      this.#sizeAt(address);
      live++;
    });
    for (const address of this.#quarantine.addresses())
      if (this.#records.frontOfUntouched(address) === 0)
        throw new HeapError("use-after-free", address, "a freed block was written to");
    if (live !== this.#live)
      throw new HeapError("corrupt", this.#live - live, "the bytes before a block were written over");
  }

  /** Visits live blocks: those of the allocator behind that are not in quarantine. */
  override walk(visit: (address: number, bytes: number) => void): void {
    const records = this.#records;
    const dead = new Set(this.#quarantine.addresses());
    this.inner.walk((start, bytes) => {
      for (let front = FRONT; front < bytes; front *= 2) {
        const address = start + front;
        if (records.frontAt(address) !== front || dead.has(address) || records.stateAt(address) !== LIVE) continue;
        visit(address, records.recordedSize(address));
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
    this.#records.forget();
    this.#live = 0;
  }

  /** Looks at everything in quarantine, then gives all memory back. */
  override destroy(): void {
    this.#emptyQuarantine();
    this.inner.destroy();
    this.#records.forget();
  }
}
