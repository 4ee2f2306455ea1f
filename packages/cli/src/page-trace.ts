/**
 * PGTRACE1: page-level memory accesses of a real program.
 *
 *     8 bytes   PGTRACE1
 *     u32       length of the JSON header, and the header: name, command, counts
 *     u32       P, the number of pages; P varints: page numbers, ascending, each as difference to the one before
 *     u32       N, the number of records; N records:
 *
 *       7        3  2  1  0
 *      +-----------+---+-----+   kind 0 fetch, 1 load, 2 store
 *      | run 1–31  | D | kind|   D: the page differs from the last page of the same kind;
 *      +-----------+---+-----+      a zigzag varint follows: difference of the page's index
 *                                run 0: a varint follows; the run counts the references up to the next record
 *
 * Little-endian throughout. The decoder trusts nothing: every count is held against the bytes that are left before
 * anything is allocated for it.
 */
import { UsageError } from "./output.ts";

/** The kinds of a record: how the page was accessed. */
export const FETCH = 0;
/** A load; see {@link FETCH}. */
export const LOAD = 1;
/** A store; see {@link FETCH}. */
export const STORE = 2;

const MAGIC = "PGTRACE1";
const KIND_BITS = 3;
const OTHER_PAGE = 4;
const RUN_SHIFT = 3;
const MAX_RUN = 2 ** 32 - 1;
/** Page numbers above this are no x86-64 addresses in any paging mode (57 bits less the 12 within a page). */
const MAX_VPN = 2 ** 45 - 1;

/** A decoded trace. */
export interface PageTrace {
  /** The name in the header, or an empty string. */
  readonly name: string;
  /** The whole header as it stands in the file. */
  readonly header: Readonly<Record<string, unknown>>;
  /** Virtual page number of each page, ascending; a page's index in this array is its name in the records. */
  readonly vpns: Float64Array;
  /** One word per record: page index × 4 + kind ({@link FETCH}, {@link LOAD}, {@link STORE}). */
  readonly records: Uint32Array;
  /** References that each record stands for, 1 … 2^32−1. */
  readonly runs: Uint32Array;
  /** Sum of {@link PageTrace.runs}. */
  readonly references: number;
}

/**
 * Decodes a trace; about 10 ns a record.
 *
 * @param bytes - The expanded file.
 * @param source - What the bytes are called in error messages.
 * @throws {@link UsageError} if the bytes are no trace, truncated, corrupted, or followed by other bytes.
 */
export function decodePageTrace(bytes: Uint8Array, source: string): PageTrace {
  const reader = new Reader(bytes, source);
  reader.expectMagic();
  const header = reader.header();
  const vpns = reader.pages();
  const { records, runs, references } = reader.records(vpns.length);
  if (reader.left() > 0) throw reader.broken(`${String(reader.left())} bytes follow the last record`);
  expectCount(reader, header, "pages", vpns.length);
  expectCount(reader, header, "records", records.length);
  expectCount(reader, header, "references", references);
  const name = header["name"];
  return { name: typeof name === "string" ? name : "", header, vpns, records, runs, references };
}

/** A header that counts otherwise than the records do belongs to other records. */
function expectCount(reader: Reader, header: Readonly<Record<string, unknown>>, field: string, counted: number): void {
  const stated = header[field];
  if (typeof stated !== "number" || stated === counted) return;
  throw reader.broken(`the header says ${field}: ${String(stated)}, the file holds ${String(counted)}`);
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #source: string;
  #at: number = 0;

  constructor(bytes: Uint8Array, source: string) {
    this.#bytes = bytes;
    this.#source = source;
  }

  broken(what: string): UsageError {
    return new UsageError(`${this.#source}: corrupted page trace: ${what}`);
  }

  left(): number {
    return this.#bytes.length - this.#at;
  }

  expectMagic(): void {
    const start = new TextDecoder("latin1").decode(this.#bytes.subarray(0, MAGIC.length));
    if (start !== MAGIC) throw new UsageError(`${this.#source}: not a page trace (does not start with ${MAGIC})`);
    this.#at = MAGIC.length;
  }

  header(): Readonly<Record<string, unknown>> {
    const length = this.#count("bytes of header");
    const text = new TextDecoder().decode(this.#bytes.subarray(this.#at, this.#at + length));
    this.#at += length;
    try {
      const header = JSON.parse(text) as unknown;
      if (typeof header === "object" && header !== null && !Array.isArray(header))
        return header as Record<string, unknown>;
    } catch {
      throw this.broken("the header is not JSON");
    }
    throw this.broken("the header is not a JSON object");
  }

  pages(): Float64Array {
    const vpns = new Float64Array(this.#count("pages"));
    let vpn = 0;
    for (let page = 0; page < vpns.length; page++) {
      const difference = this.#varint();
      if (difference === 0 && page > 0) throw this.broken(`page ${String(page)} is the same as the one before`);
      vpn += difference;
      if (vpn > MAX_VPN) throw this.broken(`page ${String(page)} is beyond every x86-64 address space`);
      vpns[page] = vpn;
    }
    return vpns;
  }

  /** The hot loop: a one-byte record costs one read and two writes. */
  records(pages: number): Pick<PageTrace, "records" | "runs" | "references"> {
    const count = this.#count("records");
    const records = new Uint32Array(count);
    const runs = new Uint32Array(count);
    const bytes = this.#bytes;
    const last = new Int32Array(4);
    let references = 0;
    for (let i = 0; i < count; i++) {
      if (this.#at >= bytes.length) throw this.#truncated();
      const byte = bytes[this.#at++]!;
      const kind = byte & KIND_BITS;
      if ((byte & OTHER_PAGE) !== 0) last[kind] = this.#otherPage(last[kind]!, pages);
      const page = last[kind]!;
      if (kind > STORE || page >= pages) throw this.broken(`record ${String(i)} has an unknown kind or page`);
      const run = byte >>> RUN_SHIFT === 0 ? this.#run(i) : byte >>> RUN_SHIFT;
      records[i] = page * 4 + kind;
      runs[i] = run;
      references += run;
    }
    return { records, runs, references };
  }

  #otherPage(page: number, pages: number): number {
    const code = this.#varint();
    const next = page + (code % 2 === 0 ? code / 2 : -(code + 1) / 2);
    if (next < 0 || next >= pages) throw this.broken(`a record names page ${String(next)} of ${String(pages)}`);
    return next;
  }

  #run(record: number): number {
    const run = this.#varint();
    if (run === 0 || run > MAX_RUN) throw this.broken(`record ${String(record)} has a run of ${String(run)}`);
    return run;
  }

  /** A u32 that counts things of at least one byte each, all of which have to be in the rest of the file. */
  #count(what: string): number {
    if (this.left() < 4) throw this.#truncated();
    const view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset + this.#at, 4);
    const count = view.getUint32(0, true);
    this.#at += 4;
    if (count > this.left())
      throw new UsageError(
        `${this.#source}: truncated page trace: ${String(count)} ${what} in ${String(this.left())} bytes`,
      );
    return count;
  }

  /** An unsigned LEB128 number below 2^53. */
  #varint(): number {
    const bytes = this.#bytes;
    let value = 0;
    let unit = 1;
    for (;;) {
      if (this.#at >= bytes.length) throw this.#truncated();
      const byte = bytes[this.#at++]!;
      value += (byte & 0x7f) * unit;
      if (byte < 0x80) break;
      unit *= 0x80;
      if (unit > 2 ** 49) throw this.broken("a number has more than 53 bits");
    }
    if (value > Number.MAX_SAFE_INTEGER) throw this.broken("a number has more than 53 bits");
    return value;
  }

  #truncated(): UsageError {
    return new UsageError(`${this.#source}: truncated page trace`);
  }
}
