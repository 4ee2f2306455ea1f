/** Where two runs of bytes differ, found in words: what {@link Bulk.compare} does with a page. */

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
 * from `start` on, or −1 where all are equal. Cost: a read of both, 16 bytes at a time; where they lie differently
 * within their words, a copy of `left` too.
 */
export function firstDifference(
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
    return firstDifference(copy, lead, right, start, count);
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
