import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { HeapError } from "../errors.ts";
import { SharedHeap } from "../shared.ts";

/** How a file heap is made. */
export interface FileHeapOptions {
  /** Bytes of a new file's heap, a multiple of 4096 below 2 GiB − 4096; an existing file keeps its size. */
  readonly bytes: number;
}

/*
 * The file:
 *
 *      ┌──────────┬─────────────────────┬──────────────────────────────────────────────┐
 *      │ header   │ the heap's bytes    │ journal: u32 page, 4096 bytes; … then a seal │
 *      │ 4096     │                     │ (only while a checkpoint is being written)   │
 *      └──────────┴─────────────────────┴──────────────────────────────────────────────┘
 *
 *      header   0 "PWFH" · 4 version · 8 bytes of the heap · 12 root
 *      seal     "SEAL" · pages · checksum of the journal
 *
 * A checkpoint writes changed pages into the journal and seals it, syncs, writes them to their places, syncs, and cuts the journal off. Reading a
 * file whose journal is sealed does the second half again; a journal without a valid seal is what a crash left of a checkpoint that never was.
 */
const MAGIC = 0x48465750;
const VERSION = 1;
const SEAL = 0x4c414553;
const PAGE = 4096;
const ENTRY = PAGE + 4;
const ROOT_WORD = 3;
/** A heap's bytes are below this: the header has one word for them. */
const LARGEST = 2 ** 31 - PAGE;

/** Writes all of the bytes: a system may take fewer at once. */
function writeAll(file: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done, bytes.length - done, position + done);
}

/** Reads as many bytes as there is room for. @throws HeapError `bad-format` where the file ends before. */
function readAll(file: number, into: Uint8Array, position: number): void {
  for (let done = 0; done < into.length;) {
    const count = readSync(file, into, done, into.length - done, position + done);
    if (count === 0) throw new HeapError("bad-format", position + done, "the file ends early");
    done += count;
  }
}

/** FNV-1a over bytes. */
function checksum(bytes: Uint8Array): number {
  let sum = 0x811c9dc5;
  for (const byte of bytes) sum = Math.imul(sum ^ byte, 0x01000193);
  return sum >>> 0;
}

/**
 * A heap inside a file: closed, or lost in a crash, it opens again as it was at the last checkpoint, every block at its
 * address. Between checkpoints it is a {@link SharedHeap} in memory, which workers can attach to.
 */
export class FileHeap {
  /** The allocator; its addresses stay the same from opening to opening. */
  readonly heap: SharedHeap;
  /** The bytes of header and heap; an address is an offset in them. */
  readonly buffer: SharedArrayBuffer;
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  /** The bytes as they are in the file. */
  readonly #saved: Uint8Array;
  readonly #file: number;

  private constructor(file: number, buffer: SharedArrayBuffer, saved: Uint8Array, heap: SharedHeap) {
    this.#file = file;
    this.buffer = buffer;
    this.#bytes = new Uint8Array(buffer);
    this.#words = new Int32Array(buffer);
    this.#saved = saved;
    this.heap = heap;
  }

  /**
   * Opens the heap in a file, or makes one in a new or empty file.
   *
   * @throws HeapError `bad-format` where the file holds something else. System errors as Node throws them.
   */
  static open(path: string, options: FileHeapOptions): FileHeap {
    const file = openSync(path, "a+");
    closeSync(file);
    const readWrite = openSync(path, "r+");
    try {
      const { size } = fstatSync(readWrite);
      return size === 0 ? FileHeap.#create(readWrite, options.bytes) : FileHeap.#load(readWrite, size);
    } catch (error) {
      closeSync(readWrite);
      throw error;
    }
  }

  static #create(file: number, bytes: number): FileHeap {
    if (!(bytes > 0 && bytes < LARGEST) || bytes % PAGE !== 0)
      throw new HeapError("bad-option", bytes, "a file heap is a whole number of pages, below 2 GiB");
    const buffer = new SharedArrayBuffer(PAGE + bytes);
    const heap = SharedHeap.create(buffer, { start: PAGE, slots: 4 });
    const words = new Int32Array(buffer);
    words.set([MAGIC, VERSION, bytes, -1]);
    ftruncateSync(file, PAGE + bytes);
    const made = new FileHeap(file, buffer, new Uint8Array(PAGE + bytes), heap);
    made.checkpoint();
    return made;
  }

  static #load(file: number, size: number): FileHeap {
    const header = new Int32Array(PAGE / 4);
    readSync(file, header, 0, PAGE, 0);
    const bytes = header[2]!;
    // A file whose first checkpoint was never sealed has an empty header.
    if (header[0] !== MAGIC && !FileHeap.#isSealedAnywhere(file, size))
      throw new HeapError("bad-format", size, "the file holds no heap");
    if (header[0] === MAGIC && header[1] !== VERSION)
      throw new HeapError("bad-format", header[1]!, "the file's heap is of another version");
    const total = header[0] === MAGIC ? PAGE + bytes : FileHeap.#lengthFromJournal(file, size);
    if (total > size) throw new HeapError("bad-format", size, "the file is shorter than its heap");
    FileHeap.#replay(file, total, size);
    const buffer = new SharedArrayBuffer(total);
    const saved = new Uint8Array(total);
    readAll(file, saved, 0);
    new Uint8Array(buffer).set(saved);
    return new FileHeap(file, buffer, saved, SharedHeap.reopen(buffer, PAGE));
  }

  static #sealAt(file: number, size: number): { pages: number; sum: number } | null {
    const seal = new Uint32Array(3);
    if (size < 12) return null;
    readSync(file, seal, 0, 12, size - 12);
    return seal[0] === SEAL ? { pages: seal[1]!, sum: seal[2]! } : null;
  }

  static #isSealedAnywhere(file: number, size: number): boolean {
    const seal = FileHeap.#sealAt(file, size);
    return seal !== null && size - 12 - seal.pages * ENTRY >= PAGE;
  }

  static #lengthFromJournal(file: number, size: number): number {
    return size - 12 - (FileHeap.#sealAt(file, size)?.pages ?? 0) * ENTRY;
  }

  /** Brings a sealed journal to its places, and cuts any journal off. */
  static #replay(file: number, total: number, size: number): void {
    const seal = FileHeap.#sealAt(file, size);
    if (seal !== null && size === total + seal.pages * ENTRY + 12) {
      const journal = new Uint8Array(seal.pages * ENTRY);
      readAll(file, journal, total);
      if (checksum(journal) === seal.sum) FileHeap.#apply(file, journal);
    }
    if (size > total) {
      ftruncateSync(file, total);
      fsyncSync(file);
    }
  }

  static #apply(file: number, journal: Uint8Array): void {
    const view = new DataView(journal.buffer);
    for (let at = 0; at < journal.length; at += ENTRY)
      writeAll(file, journal.subarray(at + 4, at + ENTRY), view.getUint32(at, true) * PAGE);
    fsyncSync(file);
  }

  /** The address that the program finds its data from after opening, or −1. Saved with the next checkpoint. */
  get root(): number {
    return this.#words[ROOT_WORD]!;
  }

  /** Names the block that the program finds its data from. */
  set root(address: number) {
    this.#words[ROOT_WORD] = address;
  }

  /**
   * Makes the present state the one that the file opens with, whatever happens from now on. Only while no other worker uses the heap. Where it throws (a full disk), the file is as
   * it was before, or as it is to be, and the next checkpoint makes it so.
   *
   * @returns how many pages had changed.
   */
  checkpoint(): number {
    this.heap.flush();
    const changed: number[] = [];
    for (let page = 0; page * PAGE < this.#bytes.length; page++) {
      const now = Buffer.from(this.buffer, page * PAGE, PAGE);
      if (!now.equals(this.#saved.subarray(page * PAGE, (page + 1) * PAGE))) changed.push(page);
    }
    if (changed.length === 0) return 0;
    const journal = new Uint8Array(changed.length * ENTRY);
    const view = new DataView(journal.buffer);
    changed.forEach((page, at) => {
      view.setUint32(at * ENTRY, page, true);
      journal.set(this.#bytes.subarray(page * PAGE, (page + 1) * PAGE), at * ENTRY + 4);
    });
    const total = this.#bytes.length;
    // What a checkpoint that failed has left must not lie behind the seal of this one.
    ftruncateSync(this.#file, total);
    writeAll(this.#file, journal, total);
    fsyncSync(this.#file);
    const seal = new Uint32Array([SEAL, changed.length, checksum(journal)]);
    writeAll(this.#file, new Uint8Array(seal.buffer), total + journal.length);
    fsyncSync(this.#file);
    FileHeap.#apply(this.#file, journal);
    ftruncateSync(this.#file, total);
    for (const page of changed) this.#saved.set(this.#bytes.subarray(page * PAGE, (page + 1) * PAGE), page * PAGE);
    return changed.length;
  }

  /** Closes the file. What was not checkpointed is forgotten. */
  close(): void {
    closeSync(this.#file);
  }
}
