/** What conformance suites are made of. They throw plain errors and need no test runner. */

/** One claim about an implementation of a port. */
export interface ConformanceCase<T> {
  /** The claim, as a sentence. */
  readonly name: string;
  /** Tries the claim on fresh implementations; throws where it does not hold. */
  run(make: () => T): void | Promise<void>;
}

/** Throws the sentence where it does not hold. */
export function claim(holds: boolean, sentence: string): void {
  if (!holds) throw new Error(sentence);
}

/** Throws unless both are equal. */
export function same(actual: unknown, expected: unknown, what: string): void {
  const [got, wanted] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (got !== wanted) throw new Error(`${what}: ${wanted} expected, ${got} found`);
}

/** A page full of one byte. */
export function pageOf(byte: number): Uint8Array {
  return new Uint8Array(4096).fill(byte);
}

/** Throws unless both arrays hold the same bytes. */
export function sameBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  claim(actual.length === expected.length, `${what}: the lengths differ`);
  const at = actual.findIndex((byte, index) => byte !== expected[index]);
  claim(at < 0, `${what}: byte ${at} differs`);
}
