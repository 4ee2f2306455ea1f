import fc from "fast-check";

/** A page by a function of the byte's position. */
export function pageOf(byteAt: (at: number) => number): Uint8Array {
  const page = new Uint8Array(4096);
  for (let at = 0; at < 4096; at++) page[at] = byteAt(at);
  return page;
}

/** A deterministic stream of bytes that no compressor makes smaller. */
export function noisePage(seed: number): Uint8Array {
  let state = (seed | 0) ^ 0x2545_f491;
  return pageOf(() => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b_3c6d) + 0x6d2b_79f5;
    return (state ^ (state >>> 13)) >>> 7;
  });
}

/** Bytes that repeat with a period, a text, pointers, noise, and pages patched together from them. */
export const anyPage: fc.Arbitrary<Uint8Array> = fc
  .array(
    fc.record({
      kind: fc.constantFrom("fill", "period", "text", "pointers", "noise"),
      seed: fc.nat(),
      length: fc.integer({ min: 1, max: 4096 }),
    }),
    { minLength: 1, maxLength: 8 },
  )
  .map((parts) => {
    const page = new Uint8Array(4096);
    let at = 0;
    for (const { kind, seed, length } of parts) {
      const noise = noisePage(seed);
      const byteAt: Record<string, (i: number) => number> = {
        fill: () => seed,
        period: (i) => noise[i % (1 + (seed % 300))]!,
        text: (i) => 97 + (noise[(i * 7) % 64]! % 7),
        pointers: (i) => (i % 8 < 2 ? noise[i]! : i % 8 < 6 ? noise[i % 8]! : 0),
        noise: (i) => noise[i]!,
      };
      for (const end = Math.min(4096, at + length), start = at; at < end; at++)
        page[at] = byteAt[kind]?.(at - start) ?? 0;
    }
    return page;
  });
