import type { BlockMemory, WordMemory } from "./ports.ts";

/*
 * A block inside a block of the allocator behind:
 *
 *      ┌─ front: 16 bytes, or the alignment ──────┬──────────────┬─ 8 bytes and what is left ─┐
 *      │ … red zone · site · size · seal          │  the block   │  red zone                  │
 *      └──────────────────────────────────────────┴──────────────┴────────────────────────────┘
 *
 * The seal is made of site, size, state, address and a number that every reset changes: so a record that was written over, copied or left from
 * before is found out, and a seal that fits shows that the block is live. It is the red zone in front, with the word before the record and, of a front that is longer, up to 48 bytes
 * more. The upper byte of the site's word is log2 of the front.
 */

/** Bytes in front of a block, at least. */
export const FRONT = 16;
/** Bytes of red zone behind a block's last word. */
export const BACK = 8;
/** Of a longer front, how far before the block the red zone begins. */
const RED_FRONT = 64;
const RED = 0x5ed20e5e;
/** The state of a block that is in use. */
export const LIVE = 0x11fe0000;
/** The state of one that was freed. */
export const DEAD = 0x0dead000;
/** What four bytes of a freed block read as. */
const POISON = -0x20202021;

/** The bits of a block's last word that lie behind it: none where its size is a multiple of 4. */
function tailOf(size: number): number {
  return (size & 3) === 0 ? 0 : -1 << ((size & 3) << 3);
}

/** A word with its bytes behind the block's end red. */
function redTail(word: number, size: number): number {
  const tail = tailOf(size);
  return (word & ~tail) | (RED & tail);
}

/** How far before a block the red zone begins. */
function redFront(front: number): number {
  return front < RED_FRONT ? front : RED_FRONT;
}

/** The records, red zones and poison of a debug heap's blocks, over any memory. */
export class BlockRecords {
  readonly #memory: BlockMemory;
  /** How many words of a freed block are poisoned, at most. */
  protected readonly poisonWords: number;
  /** What the seals of one address differ in before and after {@link forget}. */
  protected salt = 0;

  constructor(memory: BlockMemory, poisonBytes: number) {
    this.#memory = memory;
    this.poisonWords = Math.ceil(poisonBytes / 4);
  }

  /** From now on no record that was ever written fits. */
  forget(): void {
    this.salt = (this.salt + 0x9e3779b1) | 0;
  }

  /** {@link LIVE}, {@link DEAD}, or anything else where there is no record. The address is a multiple of 4, as everywhere below but in sizeOf. */
  stateAt(address: number): number {
    const memory = this.#memory;
    const site = memory.load32(address - 12);
    return memory.load32(address - 4) ^ site ^ memory.load32(address - 8) ^ (address | 0) ^ this.salt;
  }

  /** The size in a record. */
  recordedSize(address: number): number {
    return this.#memory.load32(address - 8);
  }

  /** The number of the site in a record. */
  siteAt(address: number): number {
    return this.#memory.load32(address - 12) & 0xffffff;
  }

  /** The bytes in front of a block, by its record. */
  frontAt(address: number): number {
    return 1 << (this.#memory.load32(address - 12) >>> 24);
  }

  /** Writes the record and the red zones of a live block. */
  write(address: number, size: number, front: number, site: number): void {
    const memory = this.#memory;
    for (let at = address - redFront(front); at < address - 12; at += 4) memory.store32(at, RED);
    const packed = (site & 0xffffff) | ((31 - Math.clz32(front)) << 24);
    memory.store32(address - 12, packed);
    memory.store32(address - 8, size);
    memory.store32(address - 4, packed ^ size ^ LIVE ^ (address | 0) ^ this.salt);
    // From the last word on, which is the block's only in part: what it holds is not defined yet.
    const end = address + ((size + 3) & -4) + BACK;
    for (let at = address + (size & -4); at < end; at += 4) memory.store32(at, RED);
  }

  /** The size of a live block whose record and red zones are as they were written; −1 for anything else, whatever the address. */
  sizeOf(address: number): number {
    if (address % 4 !== 0 || this.stateAt(address) !== LIVE) return -1;
    return this.isFrontRed(address) && this.#isBackRed(address) ? this.recordedSize(address) : -1;
  }

  /** Whether the red zone before a block is as it was written. */
  isFrontRed(address: number): boolean {
    for (let at = address - redFront(this.frontAt(address)); at < address - 12; at += 4)
      if (this.#memory.load32(at) !== RED) return false;
    return true;
  }

  #isBackRed(address: number): boolean {
    const memory = this.#memory;
    const size = this.recordedSize(address);
    const end = address + ((size + 3) & -4);
    const last = memory.load32(end - 4);
    return memory.load32(end) === RED && memory.load32(end + 4) === RED && last === redTail(last, size);
  }

  /** Makes a live block of a size a dead one, and poisons it. */
  bury(address: number, size: number): void {
    const memory = this.#memory;
    memory.store32(address - 4, memory.load32(address - 4) ^ LIVE ^ DEAD);
    const words = Math.min((size + 3) >>> 2, this.poisonWords);
    for (let at = 0; at < words; at++) memory.store32(address + at * 4, this.#poisonAt(at, size));
  }

  /** What the n-th word of a dead block is. */
  #poisonAt(nth: number, size: number): number {
    return nth === size >>> 2 ? redTail(POISON, size) : POISON;
  }

  /** The bytes in front of a dead block that is as {@link bury} left it: its record, its poison, its red zones. Else 0. */
  frontOfUntouched(address: number): number {
    if (this.stateAt(address) !== DEAD || !this.isFrontRed(address) || !this.#isBackRed(address)) return 0;
    const size = this.recordedSize(address);
    const words = Math.min((size + 3) >>> 2, this.poisonWords);
    for (let at = 0; at < words; at++) if (this.#memory.load32(address + at * 4) !== this.#poisonAt(at, size)) return 0;
    return this.frontAt(address);
  }
}

/**
 * The same where the memory's words are in reach, for a third of the time. The hot path only ever says that all is well: what is not, and blocks beyond 2 GiB, are
 * looked at as over any memory.
 */
export class WordRecords extends BlockRecords {
  readonly #memory: Pick<WordMemory, "words">;
  /** The memory's words as they were: none, or too few, when it has grown since. */
  #words: Int32Array;

  constructor(memory: BlockMemory & Pick<WordMemory, "words">, poisonBytes: number) {
    super(memory, poisonBytes);
    this.#memory = memory;
    this.#words = memory.words;
  }

  #refresh(): Int32Array {
    return (this.#words = this.#memory.words);
  }

  /** Seven writes, and up to twelve for a longer front. */
  override write(address: number, size: number, front: number, site: number): void {
    if ((address | 0) !== address) {
      super.write(address, size, front, site);
      return;
    }
    const red = RED;
    const at = address >> 2;
    const end = at + ((size + 3) >>> 2);
    const words = end + 2 <= this.#words.length ? this.#words : this.#refresh();
    const packed = (site & 0xffffff) | ((31 - Math.clz32(front)) << 24);
    if (front > FRONT) words.fill(red, at - (redFront(front) >>> 2), at - 4);
    words[at - 4] = red;
    words[at - 3] = packed;
    words[at - 2] = size;
    words[at - 1] = packed ^ size ^ LIVE ^ address ^ this.salt;
    words[at + (size >>> 2)] = red;
    words[end] = red;
    words[end + 1] = red;
  }

  /** Six or seven reads. */
  override sizeOf(address: number): number {
    if ((address | 0) !== address) return super.sizeOf(address);
    const red = RED;
    const at = address >> 2;
    const words = at <= this.#words.length ? this.#words : this.#refresh();
    const packed = words[at - 3]!;
    const size = words[at - 2]!;
    const end = at + ((size + 3) >>> 2);
    const odd =
      (words[at - 1]! ^ packed ^ size ^ LIVE ^ address ^ this.salt)
      | (words[at - 4]! ^ red)
      | (words[end]! ^ red)
      | (words[end + 1]! ^ red)
      | ((size & 3) === 0 ? 0 : (words[end - 1]! ^ red) & (-1 << ((size & 3) << 3)));
    return odd === 0 && (packed >>> 24 === 4 || this.isFrontRed(address)) ? size : super.sizeOf(address);
  }

  /** A read for each word of the red zone. */
  override isFrontRed(address: number): boolean {
    if ((address | 0) !== address) return super.isFrontRed(address);
    const words = this.#words;
    const end = (address >> 2) - 3;
    for (let at = end + 3 - (redFront(1 << (words[end]! >>> 24)) >>> 2); at < end; at++)
      if (words[at] !== RED) return false;
    return true;
  }

  /** A write for each word of poison, and one. */
  override bury(address: number, size: number): void {
    if ((address | 0) !== address) {
      super.bury(address, size);
      return;
    }
    const poison = POISON;
    const at = address >> 2;
    const whole = at + (size >>> 2);
    const words = whole <= this.#words.length ? this.#words : this.#refresh();
    words[at - 1] = words[at - 1]! ^ (LIVE ^ DEAD);
    const most = at + this.poisonWords;
    const last = whole < most ? whole : most;
    let word = at;
    for (; word + 3 < last; word += 4) {
      words[word] = poison;
      words[word + 1] = poison;
      words[word + 2] = poison;
      words[word + 3] = poison;
    }
    for (; word < last; word++) words[word] = poison;
    if ((size & 3) !== 0 && whole < most) words[whole] = redTail(poison, size);
  }

  /** A read for each word of poison, and six or seven. */
  override frontOfUntouched(address: number): number {
    if ((address | 0) !== address) return super.frontOfUntouched(address);
    const red = RED;
    const poison = POISON;
    const at = address >> 2;
    const words = at <= this.#words.length ? this.#words : this.#refresh();
    const packed = words[at - 3]!;
    const size = words[at - 2]!;
    const whole = at + (size >>> 2);
    const end = at + ((size + 3) >>> 2);
    const most = at + this.poisonWords;
    let odd =
      (words[at - 1]! ^ packed ^ size ^ DEAD ^ address ^ this.salt)
      | (words[at - 4]! ^ red)
      | (words[end]! ^ red)
      | (words[end + 1]! ^ red);
    // The last word, in part the block's and in part red.
    if ((size & 3) !== 0) odd |= (words[whole]! ^ redTail(poison, size)) & (whole < most ? -1 : tailOf(size));
    // A size that was written over may be of any number of words: what is odd already is not looked through.
    const last = odd !== 0 ? at : whole < most ? whole : most;
    let word = at;
    // Four at a time, and one question in the end: loop and questions took a fifth of a free.
    for (; word + 3 < last; word += 4) {
      odd |= (words[word]! ^ poison) | (words[word + 1]! ^ poison);
      odd |= (words[word + 2]! ^ poison) | (words[word + 3]! ^ poison);
    }
    for (; word < last; word++) odd |= words[word]! ^ poison;
    if (odd !== 0) return super.frontOfUntouched(address);
    return packed >>> 24 === 4 ? FRONT : this.isFrontRed(address) ? 1 << (packed >>> 24) : 0;
  }
}
