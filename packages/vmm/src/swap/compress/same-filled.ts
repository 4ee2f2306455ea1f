/**
 * The 32-bit word that a page is filled with, 0 … 2^32 − 1, or −1 where its words differ. Fresh, cleared and poisoned pages
 * are of this kind; kept as one word they need no memory at all.
 *
 * @param words the page as 1,024 words
 */
export function sameFilledWord(words: Uint32Array): number {
  const word = words[0]!;
  // most pages differ early or at the end: a page whose last word differs is not worth a scan
  if (words[words.length - 1] !== word) return -1;
  for (let i = 1; i < words.length; i++) if (words[i] !== word) return -1;
  return word;
}
