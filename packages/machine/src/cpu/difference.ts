/**
 * Where two runs of bytes differ, at memory speed where the host has a comparison of its own (`Buffer` of Node.js and of bundlers' shims), else
 * in words: what {@link Bulk.compare} does with bytes that lie in a row.
 */

/** `Buffer.prototype.compare`: which of two runs of bytes comes first; 0: they are equal. */
type HostCompare = (
  this: Uint8Array,
  target: Uint8Array,
  targetStart: number,
  targetEnd: number,
  start: number,
  end: number,
) => number;

/** Fewer bytes than this are compared sooner than the host is asked. */
const WORTH_A_CALL = 128;
/** Bytes of a piece in which the place of a difference is looked for. */
const PIECE = 4096;

/** The host's comparison, null where it has none. */
function findHostCompare(): HostCompare | null {
  const { Buffer: host } = globalThis as {
    readonly Buffer?: { readonly prototype?: { readonly compare?: HostCompare } };
  };
  return host?.prototype?.compare ?? null;
}

const hostCompare: HostCompare | null = findHostCompare();

/** Fewer bytes than this are not worth a copy to make their words line up. */
const WORTH_A_COPY = 64;

/** How many words are equal before the first four that differ, or before the last three. */
function equalWords(left: Uint32Array, right: Uint32Array): number {
  const last = left.length - 4;
  let at = 0;
  for (; at <= last; at += 4)
    if (
      ((left[at]! ^ right[at]!)
        | (left[at + 1]! ^ right[at + 1]!)
        | (left[at + 2]! ^ right[at + 2]!)
        | (left[at + 3]! ^ right[at + 3]!))
      !== 0
    )
      return at;
  return at;
}

/**
 * Returns the first place, from 0 to `count` − 1, in which `count` bytes of `left` from `from` on differ from those of `right`
 * from `start` on, or −1 where all are equal. Cost: a read of both by `compare`; null: in words.
 */
export function firstDifference(
  left: Uint8Array,
  from: number,
  right: Uint8Array,
  start: number,
  count: number,
  compare: HostCompare | null = hostCompare,
): number {
  if (compare === null || count < WORTH_A_CALL) return firstDifferenceInWords(left, from, right, start, count);
  if (compare.call(left, right, start, start + count, from, from + count) === 0) return -1;
  for (let done = 0; done < count; done += PIECE) {
    const length = Math.min(PIECE, count - done);
    if (compare.call(left, right, start + done, start + done + length, from + done, from + done + length) !== 0)
      return done + firstDifferenceInWords(left, from + done, right, start + done, length);
  }
  return -1;
}

/** {@link firstDifference}, 16 bytes at a time; where the bytes lie differently within their words, `left` is copied. */
function firstDifferenceInWords(
  left: Uint8Array,
  from: number,
  right: Uint8Array,
  start: number,
  count: number,
): number {
  const lead = (right.byteOffset + start) & 3;
  const alike = ((left.byteOffset + from) & 3) === lead;
  if (!alike && count >= WORTH_A_COPY) {
    const copy = new Uint8Array(count + lead);
    copy.set(left.subarray(from, from + count), lead);
    return firstDifferenceInWords(copy, lead, right, start, count);
  }
  let done = 0;
  const head = alike ? Math.min(count, (4 - lead) & 3) : count;
  for (; done < head; done++) if (left[from + done]! !== right[start + done]!) return done;
  const words = (count - done) >>> 2;
  if (words > 0)
    done +=
      4
      * equalWords(
        new Uint32Array(left.buffer, left.byteOffset + from + done, words),
        new Uint32Array(right.buffer, right.byteOffset + start + done, words),
      );
  for (; done < count; done++) if (left[from + done]! !== right[start + done]!) return done;
  return -1;
}
