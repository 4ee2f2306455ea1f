/*
 * The windows of a 32-bit word: runs of its bits that start at each bit. All are looked at together, by bit slicing: plane p holds, at
 * bit b, bit p of a number that belongs to the window from b on. Adding two such numbers is a full adder over planes.
 *
 *   bits        1 0 1 1 …                      plane 0 of the sums of length 1
 *   length 2    sum(b) = bit(b) + bit(b + 1)   planes 0 and 1: the planes, plus the planes shifted by 1
 *   length 4    sum(b) + sum(b + 2)            … and so on; other lengths are made of powers of two
 */

/** The longest window: its sum must fit five planes. */
export const LONGEST_WINDOW = 16;

/** The bits of a mask from which on `frames` bits are set. Cost: O(log frames). */
export function windowsOf(mask: number, frames: number): number {
  let windows = mask;
  for (let length = 1; length < frames && windows !== 0;) {
    const step = Math.min(length, frames - length);
    windows &= windows >>> step;
    length += step;
  }
  return windows;
}

/**
 * The window with the fewest set bits among those that start at a bit of `starts`, the lowest of equals: its sum × 32 + its first bit.
 * `starts` must not be 0 and `frames` at most 16. Cost: 20 ns at most; window by window it would be 100.
 */
export function leastWindow(bits: number, starts: number, frames: number): number {
  /* The sums of the length made up so far, and of the power of two that is looked at. */
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let s4 = 0;
  let p0 = bits;
  let p1 = 0;
  let p2 = 0;
  let p3 = 0;
  let p4 = 0;
  let made = 0;
  for (let length = 1; length <= frames; length *= 2) {
    if ((frames & length) !== 0) {
      let q = p0 >>> made;
      let carry = s0 & q;
      s0 ^= q;
      q = p1 >>> made;
      let half = s1 ^ q;
      const s1Carry = (s1 & q) | (half & carry);
      s1 = half ^ carry;
      carry = s1Carry;
      q = p2 >>> made;
      half = s2 ^ q;
      const s2Carry = (s2 & q) | (half & carry);
      s2 = half ^ carry;
      carry = s2Carry;
      q = p3 >>> made;
      half = s3 ^ q;
      const s3Carry = (s3 & q) | (half & carry);
      s3 = half ^ carry;
      carry = s3Carry;
      s4 ^= carry ^ (p4 >>> made);
      made += length;
    }
    let q = p0 >>> length;
    let carry = p0 & q;
    p0 ^= q;
    q = p1 >>> length;
    let half = p1 ^ q;
    const p1Carry = (p1 & q) | (half & carry);
    p1 = half ^ carry;
    carry = p1Carry;
    q = p2 >>> length;
    half = p2 ^ q;
    const p2Carry = (p2 & q) | (half & carry);
    p2 = half ^ carry;
    carry = p2Carry;
    q = p3 >>> length;
    half = p3 ^ q;
    p4 = (p3 & q) | (half & carry);
    p3 = half ^ carry;
  }
  return leastOf(starts, s0, s1, s2, s3, s4);
}

/** The least number that five planes hold at the bits of `starts`, × 32, + the lowest bit that holds it. */
function leastOf(starts: number, s0: number, s1: number, s2: number, s3: number, s4: number): number {
  let left = starts;
  let least = 0;
  if ((left & ~s4) !== 0) left &= ~s4;
  else least += 16;
  if ((left & ~s3) !== 0) left &= ~s3;
  else least += 8;
  if ((left & ~s2) !== 0) left &= ~s2;
  else least += 4;
  if ((left & ~s1) !== 0) left &= ~s1;
  else least += 2;
  if ((left & ~s0) !== 0) left &= ~s0;
  else least += 1;
  return least * 32 + 31 - Math.clz32(left & -left);
}
