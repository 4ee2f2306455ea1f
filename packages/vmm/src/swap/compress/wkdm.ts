import type { Compressor } from "../../ports.ts";
import { PAGE_SIZE } from "../../units.ts";

const WORDS = PAGE_SIZE / 4;

/** Tags of a word: zero; upper 22 bits as a dictionary word's; not found; as a dictionary word. */
const ZERO = 0;
const PARTIAL = 1;
const MISS = 2;
const EXACT = 3;

/** The dictionary: 16 words, each word having one place, found by its upper 22 bits. */
const DICTIONARY_WORDS = 16;
const LOW_BITS = 10;
const LOW_MASK = (1 << LOW_BITS) - 1;
/** 2^32 divided by the golden ratio, odd: spreads the upper bits over the places (Knuth, TAOCP 3, 6.4). */
const SPREAD = 0x9e37_79b1 | 0;

/** Words that hold tags: 2 bits for each of the 1,024 words. */
const TAG_WORDS = WORDS / 16;
const HEADER_WORDS = 2;
const TAGS_AT = HEADER_WORDS;
const FULL_AT = HEADER_WORDS + TAG_WORDS;

/**
 * WKdm: compression of memory by words, not by bytes. Programs' memory is full of zeroes, of repeated words and of words that
 * differ in their low bits only (pointers, small numbers); a direct-mapped dictionary of 16 words finds them in one look.
 *
 * ```
 *   word 0       words that missed
 *   word 1       words with a dictionary place (partial or exact)
 *   64 words     tags, 2 bits each, 16 to a word, first word in the lowest bits
 *   …            the words that missed, in full
 *   …            dictionary places, 4 bits each, 8 to a word
 *   …            low 10 bits of partial matches, 3 to a word
 * ```
 *
 * Words are little-endian on every host that has one; the layout is this implementation's own. Compression is one pass
 * without branches back; both ways allocate nothing.
 *
 * Source: Wilson, Kaplan, Smaragdakis, "The Case for Compressed Caching in Virtual Memory Systems", USENIX '99, section 3;
 * place by multiplication instead of a table.
 */
export class Wkdm implements Compressor {
  readonly name: string = "wkdm";
  readonly #words: Int32Array = new Int32Array(WORDS);
  readonly #bytes: Uint8Array = new Uint8Array(this.#words.buffer);
  /** Header, tags, and at worst every word in full. */
  readonly #packed: Int32Array = new Int32Array(FULL_AT + WORDS + WORDS / 8 + WORDS / 3 + 3);
  readonly #packedBytes: Uint8Array = new Uint8Array(this.#packed.buffer);
  readonly #dictionary: Int32Array = new Int32Array(DICTIONARY_WORDS);
  /** Tags, places and low bits before they are packed, one to an entry. */
  readonly #tags: Uint8Array = new Uint8Array(WORDS);
  readonly #places: Uint8Array = new Uint8Array(WORDS + 8);
  readonly #lows: Uint16Array = new Uint16Array(WORDS + 3);

  /** Compresses a page; −1 where that takes more bytes than `to` has. */
  compress(page: Uint8Array, to: Uint8Array): number {
    this.#bytes.set(page);
    const length = this.#pack() * 4;
    if (length > to.length) return -1;
    for (let i = 0; i < length; i++) to[i] = this.#packedBytes[i]!;
    return length;
  }

  /** Expands a page; false where the lengths inside do not fit each other. */
  expand(from: Uint8Array, length: number, page: Uint8Array): boolean {
    if (length > this.#packedBytes.length || length < FULL_AT * 4 || (length & 3) !== 0) return false;
    for (let i = 0; i < length; i++) this.#packedBytes[i] = from[i]!;
    if (!this.#unpack(length / 4)) return false;
    page.set(this.#bytes);
    return true;
  }

  /** One pass over the page's words; returns the words of the result. */
  #pack(): number {
    const words = this.#words;
    const packed = this.#packed;
    const dictionary = this.#dictionary.fill(0);
    const tags = this.#tags;
    const places = this.#places;
    const lows = this.#lows;
    let full = FULL_AT;
    let placed = 0;
    let partial = 0;
    for (let i = 0; i < WORDS; i++) {
      const word = words[i]!;
      if (word === 0) {
        tags[i] = ZERO;
        continue;
      }
      const place = Math.imul(word >>> LOW_BITS, SPREAD) >>> 28;
      const known = dictionary[place]!;
      if (known === word) {
        tags[i] = EXACT;
        places[placed++] = place;
        continue;
      }
      dictionary[place] = word;
      if (known >>> LOW_BITS === word >>> LOW_BITS) {
        tags[i] = PARTIAL;
        places[placed++] = place;
        lows[partial++] = word & LOW_MASK;
      } else {
        tags[i] = MISS;
        packed[full++] = word;
      }
    }
    packed[0] = full - FULL_AT;
    packed[1] = placed;
    packTags(tags, packed);
    return packLows(lows, partial, packed, packPlaces(places, placed, packed, full));
  }

  #unpack(length: number): boolean {
    const words = this.#words;
    const packed = this.#packed;
    const dictionary = this.#dictionary.fill(0);
    const misses = packed[0]!;
    const placed = packed[1]!;
    const placesAt = FULL_AT + misses;
    const lowsAt = placesAt + ((placed + 7) >>> 3);
    if (misses > WORDS || placed > WORDS || lowsAt > length) return false;
    let full = FULL_AT;
    let nextPlace = 0;
    let partial = 0;
    for (let i = 0; i < WORDS; i++) {
      const tag = (packed[TAGS_AT + (i >>> 4)]! >>> ((i & 15) * 2)) & 3;
      if (tag === ZERO) {
        words[i] = 0;
        continue;
      }
      if (tag === MISS) {
        const word = packed[full++]!;
        dictionary[Math.imul(word >>> LOW_BITS, SPREAD) >>> 28] = word;
        words[i] = word;
        continue;
      }
      const place = (packed[placesAt + (nextPlace >>> 3)]! >>> ((nextPlace & 7) * 4)) & 15;
      nextPlace++;
      if (tag === PARTIAL) {
        const lowAt = Math.trunc(partial / 3);
        const low = (packed[lowsAt + lowAt]! >>> ((partial - lowAt * 3) * LOW_BITS)) & LOW_MASK;
        partial++;
        dictionary[place] = (dictionary[place]! & ~LOW_MASK) | low;
      }
      words[i] = dictionary[place]!;
    }
    return full === placesAt && nextPlace === placed && lowsAt + Math.ceil(partial / 3) === length;
  }
}

function packTags(tags: Uint8Array, packed: Int32Array): void {
  for (let word = 0, at = 0; word < TAG_WORDS; word++) {
    let bits = 0;
    for (let shift = 0; shift < 32; shift += 2) bits |= tags[at++]! << shift;
    packed[TAGS_AT + word] = bits;
  }
}

function packPlaces(places: Uint8Array, count: number, packed: Int32Array, start: number): number {
  places.fill(0, count, count + 7);
  let at = start;
  for (let i = 0; i < count; at++) {
    let bits = 0;
    for (let shift = 0; shift < 32; shift += 4) bits |= places[i++]! << shift;
    packed[at] = bits;
  }
  return at;
}

function packLows(lows: Uint16Array, count: number, packed: Int32Array, start: number): number {
  lows.fill(0, count, count + 2);
  let at = start;
  for (let i = 0; i < count; i += 3)
    packed[at++] = lows[i]! | (lows[i + 1]! << LOW_BITS) | (lows[i + 2]! << (2 * LOW_BITS));
  return at;
}
