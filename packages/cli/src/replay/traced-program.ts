/**
 * A traced program, run again: every record becomes an access through a processor, and every access is checked.
 *
 * A store writes a stamp that only this record writes, at an offset that varies from record to record. A load or a
 * fetch reads, in turns, the page's latest stamp and a varying word, and compares it with `expected`, a plain copy of
 * what the program's memory should hold. In the end whole pages are compared. So a lost write-back, a page read into
 * the wrong place, a stale translation or a frame that was not zeroed cannot pass.
 *
 * An access that fails ends the run where it is. Where a page has to be waited for, the run can be resumed: the record is done again as if it had not
 * been begun.
 */
import { FETCH, STORE } from "../page-trace.ts";
import type { PageTrace } from "../page-trace.ts";
import { PAGE_BYTES, PAGE_WORDS } from "./page-contents.ts";
import type { PageContents } from "./page-contents.ts";
import { inUnits } from "./page-size.ts";
import type { PageSizes } from "./page-size.ts";
import { layoutOf, placesOf } from "./trace-layout.ts";
import type { TraceLayout } from "./trace-layout.ts";

/** What a program needs of a processor; −1 and false: the access ended in a fault that nobody resolved. */
export interface ProgramCpu {
  load32(va: number): number;
  fetch32(va: number): number;
  store32(va: number, value: number): boolean;
  copyIn(va: number, bytes: Uint8Array): boolean;
  copyOut(va: number, into: Uint8Array): boolean;
}

/** Most pages that a program may have: what it should hold is kept as a copy in host memory, 16 GiB at most. */
export const MAX_PAGES: number = 2 ** 22;

const ZERO_PAGE = new Uint8Array(PAGE_BYTES);
/** In place of the word of a page's latest stamp: the page was not touched yet. */
const UNTOUCHED = 0xffff;
/**
 * log2 of the records after which a page's accesses move to another word. Programs come back to the same cache lines too: moving with every
 * record halves the speed and checks nothing more.
 */
const EPOCH_SHIFT = 12;
/** Odd, so that its multiples reach every word of a page; the factor of stamps, for the same reason. */
const WORD_STEP = 167;
const STAMP_STEP = 0x9e3779b1;

/** An access of a program ended in a fault that nobody resolved: it cannot go on. */
export class KilledProgram extends Error {
  override readonly name = "KilledProgram";
}

/** A program in the middle of its run. */
export class TracedProgram {
  /** The trace that it follows. */
  readonly trace: PageTrace;
  /** Its regions. */
  readonly layout: TraceLayout;
  readonly #expected: Uint32Array;
  /** Word of each page's latest stamp, or {@link UNTOUCHED}. */
  readonly #latest: Uint16Array;
  /** Address of each page. */
  readonly #addresses: Float64Array;
  readonly #page: Uint32Array = new Uint32Array(PAGE_WORDS);
  readonly #pageBytes: Uint8Array = new Uint8Array(this.#page.buffer);
  readonly #salt: number;
  #position: number = 0;
  #loads: number = 0;
  #fetches: number = 0;
  #mismatches: number = 0;

  /**
   * Prepares a program; nothing is accessed yet.
   *
   * @param trace - At most {@link MAX_PAGES} pages.
   * @param salt - Makes the stamps of this program differ from those of the others, 0 … 2^32 − 1.
   * @param sizes - With `2M`, the program's memory comes in aligned units of 2 MiB, and all but its code is anonymous.
   */
  constructor(trace: PageTrace, contents: PageContents, salt: number, sizes: PageSizes = "4K") {
    this.trace = trace;
    const places = placesOf(trace.vpns);
    this.layout = sizes === "2M" ? inUnits(layoutOf(trace, places, true)) : layoutOf(trace, places);
    this.#salt = salt;
    this.#expected = new Uint32Array(trace.vpns.length * PAGE_WORDS);
    this.#latest = new Uint16Array(trace.vpns.length).fill(UNTOUCHED);
    this.#addresses = places.map((vpn) => vpn * PAGE_BYTES);
    for (let page = 0; page < trace.vpns.length; page++)
      contents.fill(page, trace.vpns[page]!, this.#expected, page * PAGE_WORDS);
    for (const { stored, firstPage, pages } of this.layout.regions)
      if (!stored) this.#latest.fill(0, firstPage, firstPage + pages);
  }

  /** Loads checked so far. */
  get loadsChecked(): number {
    return this.#loads;
  }

  /** Instruction fetches checked so far. */
  get fetchesChecked(): number {
    return this.#fetches;
  }

  /** Words that were not what they should have been. */
  get mismatches(): number {
    return this.#mismatches;
  }

  /** Records done. */
  get position(): number {
    return this.#position;
  }

  /** Whether all records are done. */
  get done(): boolean {
    return this.#position === this.trace.records.length;
  }

  /** Returns the bytes of the file behind the pages that the program never stores to. */
  fileBytes(): Uint8Array {
    const bytes = new Uint8Array(this.layout.filePages * PAGE_BYTES);
    const expected = new Uint8Array(this.#expected.buffer);
    for (const { filePage, firstPage, pages } of this.layout.regions)
      if (filePage >= 0)
        bytes.set(expected.subarray(firstPage * PAGE_BYTES, (firstPage + pages) * PAGE_BYTES), filePage * PAGE_BYTES);
    return bytes;
  }

  /**
   * Runs the next `count` records, or what is left of them.
   *
   * @throws {@link KilledProgram} if an access faults; the next run begins with that record.
   */
  run(cpu: ProgramCpu, count: number): void {
    const end = Math.min(this.#position + count, this.trace.records.length);
    const records = this.trace.records;
    const latest = this.#latest;
    let at = this.#position;
    try {
      for (; at < end; at++) {
        const record = records[at]!;
        const page = record >>> 2;
        if (latest[page]! === UNTOUCHED) this.#touch(cpu, page);
        if ((record & 3) === STORE) this.#store(cpu, page, at);
        else this.#read(cpu, page, at, (record & 3) === FETCH);
      }
    } finally {
      this.#position = at;
    }
  }

  /** Compares every touched page as a whole; returns how many there were. Differences count as mismatches; throws as {@link run} does. */
  verify(cpu: ProgramCpu, firstPage: number = 0, endPage: number = this.#latest.length): number {
    let verified = 0;
    for (let page = firstPage; page < endPage; page++) {
      if (this.#latest[page]! === UNTOUCHED) continue;
      verified++;
      if (!cpu.copyOut(this.#addresses[page]!, this.#pageBytes)) throw this.#killed(page);
      this.#comparePage(page);
    }
    return verified;
  }

  #store(cpu: ProgramCpu, page: number, at: number): void {
    const word = wordOf(page, at);
    const stamp = (Math.imul(at + 1, STAMP_STEP) ^ this.#salt) >>> 0;
    this.#expected[page * PAGE_WORDS + word] = stamp;
    this.#latest[page] = word;
    if (!cpu.store32(this.#addresses[page]! + word * 4, stamp)) throw this.#killed(page);
  }

  #read(cpu: ProgramCpu, page: number, at: number, fetch: boolean): void {
    const word = (at & 1) === 0 ? this.#latest[page]! : wordOf(page, at);
    const address = this.#addresses[page]! + word * 4;
    const value = fetch ? cpu.fetch32(address) : cpu.load32(address);
    if (fetch) this.#fetches++;
    else this.#loads++;
    if (value === this.#expected[page * PAGE_WORDS + word]!) return;
    if (value >= 0) this.#mismatches++;
    else {
      if (fetch) this.#fetches--;
      else this.#loads--;
      throw this.#killed(page);
    }
  }

  /** The first access of an anonymous page: it must read as zero, and gets its contents. */
  #touch(cpu: ProgramCpu, page: number): void {
    const address = this.#addresses[page]!;
    if (!cpu.store32(address, 0) || !cpu.copyOut(address, this.#pageBytes)) throw this.#killed(page);
    const wasZero = Buffer.compare(this.#pageBytes, ZERO_PAGE) === 0;
    if (!cpu.copyIn(address, this.#expectedBytes(page))) throw this.#killed(page);
    this.#latest[page] = 0;
    if (!wasZero) this.#mismatches++;
  }

  #expectedBytes(page: number): Uint8Array {
    return new Uint8Array(this.#expected.buffer, page * PAGE_BYTES, PAGE_BYTES);
  }

  #comparePage(page: number): void {
    if (Buffer.compare(this.#pageBytes, this.#expectedBytes(page)) === 0) return;
    const from = page * PAGE_WORDS;
    for (let word = 0; word < PAGE_WORDS; word++)
      if (this.#page[word]! !== this.#expected[from + word]!) this.#mismatches++;
  }

  #killed(page: number): KilledProgram {
    const name = this.trace.name === "" ? "the program" : this.trace.name;
    return new KilledProgram(`${name} cannot access page 0x${this.trace.vpns[page]!.toString(16)}`);
  }
}

/** The word that a record accesses: another one for the next page, and for the same page a little later. */
function wordOf(page: number, at: number): number {
  return ((at >>> EPOCH_SHIFT) * WORD_STEP + page) % PAGE_WORDS;
}
