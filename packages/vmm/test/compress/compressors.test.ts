import fc from "fast-check";
import { describe, expect, test } from "vitest";

import type { Compressor } from "../../src/ports.ts";
import { Lz4Block } from "../../src/swap/compress/lz4-block.ts";
import { sameFilledWord } from "../../src/swap/compress/same-filled.ts";
import { Wkdm } from "../../src/swap/compress/wkdm.ts";
import { anyPage, pageOf } from "./pages.ts";

const compressors: readonly Compressor[] = [new Lz4Block(), new Wkdm()];

describe.each(compressors.map((compressor) => [compressor.name, compressor] as const))("%s", (_name, compressor) => {
  test("gives back every page that it takes, and says so where it does not fit", () => {
    fc.assert(
      fc.property(anyPage, fc.integer({ min: 1, max: 5000 }), (page, room) => {
        const before = page.slice();
        const to = new Uint8Array(room + 8).fill(0xee);
        const length = compressor.compress(page, to.subarray(0, room));
        expect(Buffer.compare(page, before)).toBe(0);
        expect([...to.subarray(room)]).toEqual(new Array(8).fill(0xee));
        const roomy = new Uint8Array(8192);
        const full = compressor.compress(page, roomy);
        expect(length).toBe(full <= room ? full : -1);
        const back = new Uint8Array(4096).fill(0x55);
        expect(compressor.expand(roomy, full, back)).toBe(true);
        expect(Buffer.compare(back, page)).toBe(0);
      }),
      { numRuns: 150 },
    );
  });

  test("holds no state: the same page gives the same bytes after any other", () => {
    fc.assert(
      fc.property(anyPage, anyPage, (page, other) => {
        const first = new Uint8Array(8192);
        const again = new Uint8Array(8192);
        const length = compressor.compress(page, first);
        compressor.compress(other, new Uint8Array(8192));
        expect(compressor.compress(page, again)).toBe(length);
        expect(Buffer.compare(again, first)).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  test("survives damaged bytes: never throws, never writes beyond the page", () => {
    fc.assert(
      fc.property(
        anyPage,
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }),
        fc.nat(),
        (page, damage, cut) => {
          const to = new Uint8Array(8192);
          const length = compressor.compress(page, to);
          for (const [at, byte] of damage) to[at % length] = byte;
          const memory = new Uint8Array(4096 + 64).fill(0xee);
          expect(typeof compressor.expand(to, cut % (length + 1), memory.subarray(0, 4096))).toBe("boolean");
          expect(typeof compressor.expand(to, length, memory.subarray(0, 4096))).toBe("boolean");
          expect(memory.subarray(4096).every((byte) => byte === 0xee)).toBe(true);
        },
      ),
      { numRuns: 150 },
    );
  });

  test("refuses a block that ends early", () => {
    const to = new Uint8Array(8192);
    const length = compressor.compress(
      pageOf((at) => at * 7),
      to,
    );
    expect(compressor.expand(to, length - 4, new Uint8Array(4096))).toBe(false);
    expect(compressor.expand(to, 0, new Uint8Array(4096))).toBe(false);
  });
});

test("LZ4 writes the block format: one literal, one match over the rest, five last literals", () => {
  const to = new Uint8Array(64);
  const length = new Lz4Block().compress(new Uint8Array(4096).fill(0x61), to);
  // literal 'a'; match of 4 + 15 + 15 × 255 + 246 = 4090 at offset 1; the last 5 bytes are literals
  const expected = [0x1f, 0x61, 1, 0, ...new Array<number>(15).fill(255), 246, 0x50, 0x61, 0x61, 0x61, 0x61, 0x61];
  expect([...to.subarray(0, length)]).toEqual(expected);
});

test("WKdm makes zeroes, repeated words and neighbouring pointers small", () => {
  const to = new Uint8Array(8192);
  const sizes = [() => 0, (at: number) => (at & 8 ? 0x7fff_0000 : 0x1234_5678), (at: number) => 0x0815_4000 + at].map(
    (wordAt) => {
      const words = Int32Array.from({ length: 1024 }, (_, word) => wordAt(word));
      return new Wkdm().compress(new Uint8Array(words.buffer), to);
    },
  );
  const header = 8 + 256;
  expect(sizes[0]).toBe(header);
  expect(sizes[1]).toBe(header + 2 * 4 + 1022 / 2 + 1);
  expect(sizes[2]).toBeLessThan(header + 4 + 512 + 1368);
});

describe("same-filled detection", () => {
  test("finds the word of a page of one word, and only then", () => {
    expect(sameFilledWord(new Uint32Array(1024))).toBe(0);
    expect(sameFilledWord(new Uint32Array(1024).fill(0xdead_beef))).toBe(0xdead_beef);
    fc.assert(
      fc.property(fc.nat(1023), fc.nat(0xffff_ffff), (at, word) => {
        const words = new Uint32Array(1024).fill(word);
        words[at] = words[at]! ^ 1;
        expect(sameFilledWord(words)).toBe(-1);
      }),
    );
  });
});
