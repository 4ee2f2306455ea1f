import { NO_ADDRESS, requireRequest } from "./allocator.ts";
import type { Allocator, HeapStats } from "./allocator.ts";
import { HeapError } from "./errors.ts";
import type { BlockMemory, WordMemory } from "./ports.ts";
import { Quarantine } from "./quarantine.ts";
import { Wrapper } from "./wrapper.ts";

/** What the debug heap looks for, and how much it spends on it. */
export interface DebugOptions {
  /** Bytes of poison from the start of a freed block that are looked at again before it is reused; 32 by default, Infinity for all. */
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

/*
 * A block inside a block of the allocator behind:
 *
 *      ┌─ front: 16 bytes, or the alignment ──────┬──────────────┬─ 8 bytes and what is left ─┐
 *      │ … red zone · site · size · seal          │  the block   │  red zone                  │
 *      └──────────────────────────────────────────┴──────────────┴────────────────────────────┘
 *
 * The seal is made of site, size, state, address and a number that every reset changes: so a record that was written over, copied or left from
 * before is found out, and a seal that fits shows that the block is live. It is the red zone in front, with the word before the record and, of a front that is longer, up to 48 bytes
 * more.
 */
const FRONT = 16;
const BACK = 8;
/** Of a longer front, how far before the block the red zone begins. */
const RED_FRONT = 64;
const RED = 0x5ed20e5e;
const LIVE = 0x11fe0000;
const DEAD = 0x0dead000;
const POISON = 0xdf;
const POISONED_WORD = Math.imul(POISON, 0x01010101);
/** Records have one word for a size. */
const LARGEST = 2 ** 31 - 2 ** 16;

/** A word whose bytes from `size % 4` on are those of the red zone. */
function redTail(word: number, size: number): number {
  const mask = -1 << ((size & 3) * 8);
  return (word & ~mask) | (RED & mask);
}

/** Whether the rest of a block's last word and the two words from `end` on are red. */
function isBackRed(words: Int32Array, end: number, size: number): boolean {
  if (words[end] !== RED || words[end + 1] !== RED) return false;
  return (size & 3) === 0 || words[end - 1] === redTail(words[end - 1]!, size);
}

/** How far before a block with a longer front the red zone begins. */
function redFront(front: number): number {
  return front < RED_FRONT ? front : RED_FRONT;
}

/** The bytes in front of a block, from the first word of its record. */
function frontOf(packed: number): number {
  return 1 << (packed >>> 24);
}

/**
 * A wrapper that finds what a program does wrong with its blocks: writes before and after them (red zones), writes after their free (poison, checked when they
 * leave the quarantine), double, wild and wrongly sized frees, and leaks, grouped by call site. Blocks have at most 2 GiB − 64 KiB.
 *
 * Errors: `corrupt` for a red zone or record that was written over, `use-after-free`, `double-free`, `wild-free`,
 * `size-mismatch`, `leak`; the subject is always the block's address.
 */
export class DebugHeap extends Wrapper {
  readonly #memory: BlockMemory;
  /** The same where its words can be reached directly, as everything here is a matter of few words. */
  readonly #direct: Pick<WordMemory, "words"> | null;
  /** Elsewhere copies of the words in front of a block and behind it. */
  readonly #copies: Int32Array = new Int32Array(7);
  readonly #poisonBytes: number;
  readonly #callSite: (() => string) | null;
  /** Freed blocks that the allocator behind still counts as live. */
  readonly #quarantine: Quarantine;
  /** What the seals of one address differ in before and after a reset. */
  #salt = 0;
  readonly #sites: string[] = ["unknown"];
  readonly #siteIds = new Map<string, number>();
  /** Live blocks. */
  #live = 0;

  constructor(inner: Allocator, memory: BlockMemory & Partial<WordMemory>, options: DebugOptions = {}) {
    super(inner);
    this.#memory = memory;
    this.#direct = memory.words === undefined ? null : (memory as WordMemory);
    this.#poisonBytes = options.poisonBytes ?? 32;
    this.#callSite = options.callSite ?? null;
    this.#quarantine = new Quarantine(options.quarantine ?? 256, options.quarantineBytes ?? 2 ** 20);
  }

  /** Allocates with red zones around. */
  override allocate(size: number, alignment = 0, hint = 0): number {
    if (size >>> 0 !== size || alignment !== 0) requireRequest(size, alignment);
    if (size > LARGEST) return NO_ADDRESS;
    const front = alignment > FRONT ? alignment : FRONT;
    const padded = ((size + 3) & -4) + front + BACK;
    let start = this.inner.allocate(padded, alignment, hint);
    if (start === NO_ADDRESS && this.#emptyQuarantine()) start = this.inner.allocate(padded, alignment, hint);
    if (start === NO_ADDRESS) return NO_ADDRESS;
    const address = start + front;
    this.#live++;
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

  /** The memory's own words, where an address of a block is one of the first 2 GiB of them, else the copies. */
  #wordsFor(address: number): Int32Array {
    return this.#direct !== null && (address | 0) === address ? this.#direct.words : this.#copies;
  }

  /** Copies the four words in front of a block. */
  #loadFront(address: number): void {
    for (let at = 0; at < 4; at++) this.#copies[at] = this.#memory.load32(address - 16 + at * 4);
  }

  /** Copies the last word of a block and the two behind it. */
  #loadBack(address: number, size: number): void {
    const end = address + ((size + 3) & -4);
    for (let at = 0; at < 3; at++) this.#copies[4 + at] = this.#memory.load32(end - 4 + at * 4);
  }

  /** Writes the copies back. */
  #storeCopies(address: number, size: number): void {
    const end = address + ((size + 3) & -4);
    for (let at = 0; at < 4; at++) this.#memory.store32(address - 16 + at * 4, this.#copies[at]!);
    for (let at = (size & 3) === 0 ? 1 : 0; at < 3; at++) this.#memory.store32(end - 4 + at * 4, this.#copies[4 + at]!);
  }

  /** Writes record and red zones. The site's upper byte holds the log2 of the front. */
  #record(address: number, size: number, site: number, front: number): void {
    if (front > FRONT)
      for (let at = address - redFront(front); at < address - 16; at += 4) this.#memory.store32(at, RED);
    const packed = (site & 0xffffff) | ((31 - Math.clz32(front)) << 24);
    const words = this.#wordsFor(address);
    const isCopy = words === this.#copies;
    if (isCopy) this.#loadBack(address, size);
    const at = isCopy ? 0 : (address >> 2) - 4;
    const end = isCopy ? 5 : at + 4 + ((size + 3) >>> 2);
    words[at] = RED;
    words[at + 1] = packed;
    words[at + 2] = size;
    words[at + 3] = packed ^ size ^ LIVE ^ (address | 0) ^ this.#salt;
    // What is left of the last word, and the two words after it.
    if ((size & 3) !== 0) words[end - 1] = redTail(words[end - 1]!, size);
    words[end] = RED;
    words[end + 1] = RED;
    if (isCopy) this.#storeCopies(address, size);
  }

  /** The size in the record of a live block. Throws what is wrong with it. */
  #sizeAt(address: number): number {
    const words = this.#wordsFor(address);
    const isCopy = words === this.#copies;
    if (isCopy) this.#loadFront(address);
    const at = isCopy ? 0 : (address >> 2) - 4;
    const packed = words[at + 1]!;
    const size = words[at + 2]!;
    if ((words[at + 3]! ^ packed ^ size ^ (address | 0) ^ this.#salt) !== LIVE) this.#throwDead(address);
    if (words[at] !== RED || (packed >>> 24 !== 4 && !this.#isFrontRed(address, packed)))
      throw new HeapError("corrupt", address, "the bytes before a block were written over");
    if (isCopy) this.#loadBack(address, size);
    if (!isBackRed(words, isCopy ? 5 : at + 4 + ((size + 3) >>> 2), size))
      throw new HeapError("corrupt", address, "the bytes after a block were written over");
    return size;
  }

  /** Says what is wrong with an address whose record has no seal of a live block. */
  #throwDead(address: number): never {
    if (address % 4 !== 0) throw new HeapError("wild-free", address);
    const memory = this.#memory;
    const packed = memory.load32(address - 12);
    const state = memory.load32(address - 4) ^ packed ^ memory.load32(address - 8) ^ (address | 0) ^ this.#salt;
    if (state === DEAD) throw new HeapError("double-free", address);
    if (!this.inner.owns(address - frontOf(packed))) throw new HeapError("wild-free", address);
    throw new HeapError("corrupt", address, "the bytes before a block were written over");
  }

  #isFrontRed(address: number, packed: number): boolean {
    for (let at = address - redFront(frontOf(packed)); at < address - 16; at += 4)
      if (this.#memory.load32(at) !== RED) return false;
    return true;
  }

  /** Checks the block, poisons it and puts it into quarantine. */
  override free(address: number): void {
    const size = this.#sizeAt(address);
    const memory = this.#memory;
    const words = this.#wordsFor(address);
    if (words === this.#copies) memory.store32(address - 4, memory.load32(address - 4) ^ LIVE ^ DEAD);
    else words[(address >> 2) - 1] = words[(address >> 2) - 1]! ^ LIVE ^ DEAD;
    this.#live--;
    memory.fill(address, size < this.#poisonBytes ? size : this.#poisonBytes, POISON);
    this.#keep(address, size);
  }

  /** Puts a block into quarantine; the oldest ones leave as far as it needs their place. */
  #keep(address: number, size: number): void {
    const quarantine = this.#quarantine;
    if (!quarantine.takes(size)) {
      this.#release(address);
      return;
    }
    // In first, so that it is safe when what leaves was written to, which throws.
    const leaving = quarantine.isFull ? quarantine.takeOldest() : NO_ADDRESS;
    quarantine.put(address, size);
    if (leaving !== NO_ADDRESS) this.#release(leaving);
    while (quarantine.isOver) this.#release(quarantine.takeOldest());
  }

  /** Frees a block whose size the caller knows. @throws HeapError `size-mismatch` where it has another. */
  freeSized(address: number, size: number): void {
    if (this.#sizeAt(address) !== size) throw new HeapError("size-mismatch", address);
    this.free(address);
  }

  /** Whether a block in quarantine is as it was when it was freed: its record, its poison and its red zones. */
  #isUntouched(address: number): boolean {
    const words = this.#wordsFor(address);
    const isCopy = words === this.#copies;
    if (isCopy) this.#loadFront(address);
    const at = isCopy ? 0 : (address >> 2) - 4;
    const size = words[at + 2]!;
    if ((words[at + 3]! ^ words[at + 1]! ^ size ^ (address | 0) ^ this.#salt) !== DEAD) return false;
    const poisoned = size < this.#poisonBytes ? size : this.#poisonBytes;
    const count = poisoned >>> 2;
    // Of the last word only what belongs to the block.
    const mask = ~(-1 << ((poisoned & 3) * 8));
    for (let word = 0; word < count + (mask === 0 ? 0 : 1); word++) {
      const found = isCopy ? this.#memory.load32(address + word * 4) : words[at + 4 + word]!;
      if (((found ^ POISONED_WORD) & (word < count ? -1 : mask)) !== 0) return false;
    }
    if (isCopy) this.#loadBack(address, size);
    return isBackRed(words, isCopy ? 5 : at + 4 + ((size + 3) >>> 2), size);
  }

  /** Looks at a block that leaves the quarantine, and gives it back. Its record stays, so that a second free is told as long as nobody has written over it. */
  #release(address: number): void {
    const isUntouched = this.#isUntouched(address);
    const words = this.#wordsFor(address);
    const packed = words === this.#copies ? this.#memory.load32(address - 12) : words[(address >> 2) - 3]!;
    const start = address - frontOf(packed);
    if (isUntouched || this.inner.owns(start)) this.inner.free(start);
    if (!isUntouched) throw new HeapError("use-after-free", address, "a freed block was written to");
  }

  /** @returns whether there was anything in it. */
  #emptyQuarantine(): boolean {
    const any = !this.#quarantine.isEmpty;
    while (!this.#quarantine.isEmpty) this.#release(this.#quarantine.takeOldest());
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

  /** Exactly what was asked for. */
  override usableSize(address: number): number {
    return this.#sizeAt(address);
  }

  /** Whether a live block of this heap starts there, whatever lies around it. */
  override owns(address: number): boolean {
    if (address % 4 !== 0) return false;
    const packed = this.#memory.load32(address - 12);
    const size = this.#memory.load32(address - 8);
    const seal = this.#memory.load32(address - 4);
    return (seal ^ packed ^ size ^ (address | 0) ^ this.#salt) === LIVE && this.inner.owns(address - frontOf(packed));
  }

  /** Live blocks, grouped by call site, most bytes first. */
  leaks(): LeakGroup[] {
    const groups = new Map<string, { site: string; blocks: number; bytes: number }>();
    this.walk((address, bytes) => {
      const id = this.#memory.load32(address - 12) & 0xffffff;
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
      if (!this.#isUntouched(address)) throw new HeapError("use-after-free", address, "a freed block was written to");
    if (live !== this.#live)
      throw new HeapError("corrupt", this.#live - live, "the bytes before a block were written over");
  }

  /** Visits live blocks: those of the allocator behind that are not in quarantine. */
  override walk(visit: (address: number, bytes: number) => void): void {
    const memory = this.#memory;
    const dead = new Set(this.#quarantine.addresses());
    this.inner.walk((start, bytes) => {
      for (let front = FRONT; front < bytes; front *= 2) {
        const address = start + front;
        const packed = memory.load32(address - 12);
        const size = memory.load32(address - 8);
        if (frontOf(packed) !== front || dead.has(address)) continue;
        if ((memory.load32(address - 4) ^ packed ^ size ^ (address | 0) ^ this.#salt) !== LIVE) continue;
        visit(address, size);
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
    this.#salt = (this.#salt + 0x9e3779b1) | 0;
    this.#live = 0;
  }

  /** Looks at everything in quarantine, then gives all memory back. */
  override destroy(): void {
    this.#emptyQuarantine();
    this.inner.destroy();
    this.#salt = (this.#salt + 0x9e3779b1) | 0;
  }
}
