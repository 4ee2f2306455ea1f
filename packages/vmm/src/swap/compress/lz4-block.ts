import type { Compressor } from "../../ports.ts";
import { PAGE_SIZE } from "../../units.ts";

const MIN_MATCH = 4;
/** The last match starts at least 12 bytes before the end, and the last 5 bytes are literals: the format's rule. */
const LAST_MATCH_START = PAGE_SIZE - 12;
const MATCH_END = PAGE_SIZE - 5;
const HASH_BITS = 12;
/** Odd, close to 2^32 divided by the golden ratio (Knuth, TAOCP 3, 6.4). */
const SPREAD = 0x9e37_79b1;
/** Misses in a row after which the search starts to skip: 2^5. */
const SKIP_SHIFT = 5;

/** The longest block that a page can become: all literals. */
const MAX_BLOCK = PAGE_SIZE + Math.ceil(PAGE_SIZE / 255) + 16;
/** What a sequence takes beyond its literals at most: token, offset, and a byte for each 255 of both lengths. */
const MAX_OVERHEAD = 3 + 2 * Math.ceil(PAGE_SIZE / 255);
/** What a copy in steps of four may write beyond its end, and more. */
const MARGIN = 8;

/**
 * LZ4 block format, for single pages: sequences of a run of literals and a match that repeats earlier bytes of the page.
 *
 * ```
 *   token      upper 4 bits: literals; lower 4 bits: match length − 4; 15: further bytes follow, up to one below 255
 *   literals
 *   offset     2 bytes, little-endian: how far back the match lies
 *   …          the last sequence ends after its literals
 * ```
 *
 * The result is what any LZ4 block decoder expands. Greedy search through one table of the last position of each hash of
 * four bytes; positions fit 16 bits because a page does.
 *
 * Source: Collet, "LZ4 Block Format Description", github.com/lz4/lz4 doc/lz4_Block_format.md.
 */
export class Lz4Block implements Compressor {
  readonly name: string = "lz4";
  /** Position of the last four bytes with this hash; 0 for none too, which is no position before the first. */
  readonly #table: Uint16Array = new Uint16Array(1 << HASH_BITS);
  /**
   * The page on its way in or out, and the block that is made or expanded. Views read and write four bytes wherever they lie, at a third
   * of the cost of four bytes singly; the margin takes what a copy in steps of four writes beyond its end.
   */
  readonly #view: DataView = new DataView(new ArrayBuffer(PAGE_SIZE + MARGIN));
  readonly #page: Uint8Array = new Uint8Array(this.#view.buffer, 0, PAGE_SIZE);
  readonly #blockView: DataView = new DataView(new ArrayBuffer(MAX_BLOCK + MARGIN));
  readonly #block: Uint8Array = new Uint8Array(this.#blockView.buffer);

  /** Compresses a page; −1 where that takes more bytes than `to` has. */
  compress(page: Uint8Array, to: Uint8Array): number {
    const table = this.#table.fill(0);
    const view = this.#view;
    const block = this.#blockView;
    const most = Math.min(to.length, MAX_BLOCK);
    this.#page.set(page);
    let out = 0;
    let anchor = 0;
    let at = 0;
    let misses = 1 << SKIP_SHIFT;
    while (at <= LAST_MATCH_START) {
      const bytes = view.getInt32(at, true);
      const hash = Math.imul(bytes, SPREAD) >>> (32 - HASH_BITS);
      const from = table[hash]!;
      table[hash] = at;
      if (view.getInt32(from, true) !== bytes || from >= at) {
        at += misses++ >>> SKIP_SHIFT;
        continue;
      }
      const length = matchLength(view, from, at);
      const literals = at - anchor;
      if (out + literals + MAX_OVERHEAD > most && out + sequenceBytes(literals, length) > most) return -1;
      out = putLiterals(view, anchor, literals, Math.min(length - MIN_MATCH, 15), block, out);
      block.setUint16(out, at - from, true);
      out += 2;
      if (length >= MIN_MATCH + 15) out = putLength(length - MIN_MATCH - 15, block, out);
      at += length;
      anchor = at;
      misses = 1 << SKIP_SHIFT;
    }
    const literals = PAGE_SIZE - anchor;
    if (out + 1 + literals + furtherBytes(literals) > most) return -1;
    out = putLiterals(view, anchor, literals, 0, block, out);
    to.set(out === MAX_BLOCK ? this.#block : this.#block.subarray(0, out));
    return out;
  }

  /** Expands a page; false where the bytes are no block of exactly one page. Reads and writes nothing beyond either. */
  expand(from: Uint8Array, length: number, page: Uint8Array): boolean {
    if (length > MAX_BLOCK) return false;
    const block = this.#block;
    block.set(from.length === length ? from : from.subarray(0, length));
    let at = 0;
    let out = 0;
    while (at < length) {
      const token = block[at++]!;
      let literals = token >>> 4;
      if (literals === 15) for (let more = 255; more === 255 && at < length; literals += more) more = block[at++]!;
      if (at + literals > length || out + literals > PAGE_SIZE) return false;
      copyForward(this.#blockView, at, this.#view, out, literals);
      at += literals;
      out += literals;
      if (at === length) {
        if (out === PAGE_SIZE) page.set(this.#page);
        return out === PAGE_SIZE;
      }
      if (at + 2 > length) return false;
      const offset = block[at]! | (block[at + 1]! << 8);
      at += 2;
      let match = token & 15;
      if (match === 15) for (let more = 255; more === 255 && at < length; match += more) more = block[at++]!;
      match += MIN_MATCH;
      if (offset === 0 || offset > out || out + match > PAGE_SIZE) return false;
      if (offset >= 4) copyForward(this.#view, out - offset, this.#view, out, match);
      else repeat(this.#page, out, offset, match);
      out += match;
    }
    return false;
  }
}

/** Copies `length` bytes, and up to three more, in steps of four; where both are one array the target is four bytes on at least. */
function copyForward(from: DataView, at: number, to: DataView, out: number, length: number): void {
  for (let done = 0; done < length; done += 4) to.setInt32(out + done, from.getInt32(at + done, true), true);
}

/** Repeats the `offset` bytes before `out`, 1 … 3, over `length` bytes. */
function repeat(page: Uint8Array, out: number, offset: number, length: number): void {
  if (offset === 1) page.fill(page[out - 1]!, out, out + length);
  else for (let at = out, end = out + length; at < end; at++) page[at] = page[at - offset]!;
}

/** How far the bytes from `from` on are those from `at` on, where the first four are. */
function matchLength(view: DataView, from: number, at: number): number {
  let length = MIN_MATCH;
  const most = MATCH_END - at;
  while (length <= most - 4) {
    const differing = view.getInt32(from + length, true) ^ view.getInt32(at + length, true);
    // the lowest bit that differs is in the first byte that does
    if (differing !== 0) return length + ((31 - Math.clz32(differing & -differing)) >>> 3);
    length += 4;
  }
  while (length < most && view.getUint8(from + length) === view.getUint8(at + length)) length++;
  return length;
}

/** Writes a token and literals; returns where the block goes on. */
function putLiterals(
  page: DataView,
  start: number,
  literals: number,
  matchBits: number,
  block: DataView,
  out: number,
): number {
  block.setUint8(out++, (Math.min(literals, 15) << 4) | matchBits);
  if (literals >= 15) out = putLength(literals - 15, block, out);
  copyForward(page, start, block, out, literals);
  return out + literals;
}

/** Bytes of a sequence. */
function sequenceBytes(literals: number, length: number): number {
  return 3 + literals + furtherBytes(literals) + furtherBytes(length - MIN_MATCH);
}

/** Bytes that a length takes beyond its 4 bits in the token. */
function furtherBytes(length: number): number {
  return length < 15 ? 0 : 1 + Math.trunc((length - 15) / 255);
}

function putLength(rest: number, to: DataView, out: number): number {
  let left = rest;
  for (; left >= 255; left -= 255) to.setUint8(out++, 255);
  to.setUint8(out++, left);
  return out;
}
