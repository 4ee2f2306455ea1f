/**
 * Checksum of a page: four running lanes of 32-bit words, multiplied and mixed in the manner of FNV-1a (Fowler, Noll, Vo), so that a lane
 * does not wait for its neighbour. It finds damage and exchanged slots; it is no defence against an adversary.
 */

const PRIME = 16777619;
const BASIS = 2166136261;

/** The checksum of a page, 0 … 2^32 − 1. Needs a byte offset that is a multiple of 4. */
export function checksum(page: Uint8Array): number {
  const words = new Uint32Array(page.buffer, page.byteOffset, page.length / 4);
  let a = BASIS;
  let b = BASIS + 1;
  let c = BASIS + 2;
  let d = BASIS + 3;
  for (let at = 0; at < words.length; at += 4) {
    a = Math.imul(a ^ words[at]!, PRIME);
    b = Math.imul(b ^ words[at + 1]!, PRIME);
    c = Math.imul(c ^ words[at + 2]!, PRIME);
    d = Math.imul(d ^ words[at + 3]!, PRIME);
  }
  const mixed =
    Math.imul(a ^ (a >>> 15), PRIME) ^ Math.imul(b ^ (b >>> 13), BASIS) ^ Math.imul(c ^ (c >>> 11), PRIME) ^ d;
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
