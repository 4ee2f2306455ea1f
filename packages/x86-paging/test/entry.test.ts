import {
  attributeFields,
  attributes,
  bigintOfVirt,
  bigintOfVpn,
  decodeEntry,
  encodeEntry,
  explainEntry,
  isCanonical,
  isCanonicalBigint,
  isCanonicalVirt,
  isL1tfSafe,
  MODE_4_LEVEL,
  MODE_5_LEVEL,
  PAYLOAD_LIMIT,
  PagingError,
  PagingState,
  parseNumber,
  payloadHigh,
  payloadLow,
  payloadTag,
  payloadValue,
  shadowStackLeaf,
  splitAddress,
  untagBigint,
  virtOfBigint,
  vpnHigh,
  vpnLow,
  vpnOfBigint,
  wordsOfBigint,
} from "@pagewright/x86-paging";
import { describe, expect, test } from "vitest";
import { Random } from "./support/memory.ts";

describe("entries", () => {
  test("encode and decode are inverse for every kind at every level", () => {
    const random = new Random(9);
    for (let i = 0; i < 300; i++) {
      const leaf = {
        write: random.oneIn(2),
        user: random.oneIn(2),
        execute: random.oneIn(2),
        global: random.oneIn(2),
        accessed: random.oneIn(2),
        dirty: random.oneIn(2),
        memoryType: random.below(8),
        key: random.below(16),
        software: random.below(1024),
        encrypted: false,
      };
      const small = { kind: "4K", frame: random.below(2 ** 31) * 512, ...leaf } as const;
      expect(decodeEntry(1, encodeEntry(1, small))).toEqual(small);
      const large = { kind: "2M", frame: random.below(2 ** 30) * 512, ...leaf } as const;
      expect(decodeEntry(2, encodeEntry(2, large))).toEqual(large);
      const huge = { kind: "1G", frame: random.below(2 ** 22) * 0x40000, ...leaf } as const;
      expect(decodeEntry(3, encodeEntry(3, huge))).toEqual(huge);
      const table = {
        kind: "table",
        table: random.below(2 ** 32),
        write: random.oneIn(2),
        user: random.oneIn(2),
        execute: random.oneIn(2),
        accessed: random.oneIn(2),
        writeThrough: random.oneIn(2),
        cacheDisable: random.oneIn(2),
        software: random.below(16) & 14,
      } as const;
      expect(decodeEntry(4, encodeEntry(4, table))).toEqual(table);
    }
  });

  test("the PAT bit is bit 7 of a 4K leaf and bit 12 of a larger one", () => {
    expect(encodeEntry(1, { kind: "4K", frame: 0, memoryType: 4, execute: true })).toBe(0x81n);
    expect(encodeEntry(2, { kind: "2M", frame: 0, memoryType: 4, execute: true })).toBe(0x1081n);
    expect(decodeEntry(2, 0x1081n)).toMatchObject({ kind: "2M", frame: 0, memoryType: 4 });
  });

  test("what a level cannot hold does not compile, and misaligned frames are refused", () => {
    // @ts-expect-error a PML4 entry maps no page
    expect(() => encodeEntry(4, { kind: "1G", frame: 1 })).toThrow(PagingError);
    // @ts-expect-error a table entry has no dirty bit
    expect(encodeEntry(2, { kind: "table", table: 1, dirty: true })).toBe(0x1001n);
    expect(() => encodeEntry(2, { kind: "2M", frame: 3 })).toThrow(PagingError);
    expect(() => encodeEntry(1, { kind: "4K", frame: 2 ** 40 })).toThrow(PagingError);
    expect(() => encodeEntry(1, { kind: "not-present", payload: 1n })).toThrow(PagingError);
  });

  test("a shadow-stack page is not writable and dirty", () => {
    expect(encodeEntry(1, shadowStackLeaf(5, true)) & 0x67n).toBe(0x65n);
  });

  test("explanations name reserved bits and why they are reserved", () => {
    const state = new PagingState({ mode: MODE_4_LEVEL, maxPhysicalBits: 40, noExecute: false });
    const causes = (level: number, value: bigint): string[] =>
      explainEntry(state, level, ...wordsOfBigint(value)).reserved.map((bit) => bit.cause);
    expect(causes(1, 0x8000_0000_0000_1001n)).toEqual(["no-execute"]);
    expect(causes(2, 0x100083n)).toEqual(["alignment"]);
    expect(causes(4, 0x1081n)).toEqual(["page-size"]);
    expect(causes(3, (1n << 45n) | 0x1001n)).toEqual(["address-width"]);
    expect(causes(1, 0x8000_0000_0000_1000n)).toEqual([]);
  });

  test("the bits that misalign a page are named together, beside those that are reserved for another reason", () => {
    const state = new PagingState({ mode: MODE_4_LEVEL, maxPhysicalBits: 40, noExecute: false });
    const { sentence } = explainEntry(state, 2, ...wordsOfBigint(0x8000_0000_0010_2083n));
    expect(sentence.split("RESERVED: ")[1]).toBe(
      "bit 63 (NX) is reserved while EFER.NXE is 0; bits 20, 13 of a 2M page must be 0: the page is not aligned to its size",
    );
    expect(explainEntry(state, 2, ...wordsOfBigint(0x2083n)).sentence).toContain("RESERVED: bit 13 of a 2M page must");
  });

  test("attributes go both ways and are checked", () => {
    const fields = {
      read: true,
      write: true,
      user: false,
      execute: true,
      userExecute: false,
      global: true,
      accessed: false,
      dirty: true,
      memoryType: 5,
      ignorePat: false,
      key: 9,
      software: 3,
      encrypted: true,
    };
    expect(attributeFields(attributes(fields))).toEqual(fields);
    expect(() => attributes({ key: 16 })).toThrow(PagingError);
    expect(() => attributes({ memoryType: -1 })).toThrow(PagingError);
  });
});

describe("payloads of not-present entries", () => {
  test("values and tags come back, the present bits stay 0, and no frame that exists is named", () => {
    const random = new Random(4);
    for (let i = 0; i < 500; i++) {
      const value = i === 0 ? 0 : i === 1 ? PAYLOAD_LIMIT - 1 : Math.floor((random.word() / 2 ** 32) * PAYLOAD_LIMIT);
      const tag = random.below(512);
      const low = payloadLow(value, tag);
      const high = payloadHigh(value);
      expect([payloadValue(low, high), payloadTag(low), low & 7]).toEqual([value, tag, 0]);
      expect(isL1tfSafe(low, high, 46)).toBe(true);
    }
    expect(isL1tfSafe(0x5000, 0, 46)).toBe(false);
    expect(() => payloadLow(PAYLOAD_LIMIT, 0)).toThrow(PagingError);
    expect(() => payloadLow(0, 512)).toThrow(PagingError);
  });
});

describe("addresses", () => {
  test("canonical form in 48 and 57 bits, as words, numbers and bigint", () => {
    for (const [value, in48, in57] of [
      [0x7fff_ffff_f000n, true, true],
      [0x8000_0000_0000n, false, true],
      [0xffff_8000_0000_0000n, true, true],
      [0xff00_0000_0000_0000n, false, true],
      [0x0100_0000_0000_0000n, false, false],
    ] as const) {
      const [, high] = wordsOfBigint(value);
      expect([isCanonical(high, 48), isCanonical(high, 57)]).toEqual([in48, in57]);
      expect([isCanonicalBigint(value, 48), isCanonicalBigint(value, 57)]).toEqual([in48, in57]);
    }
    expect(isCanonicalVirt(-(2 ** 47), 48)).toBe(true);
    expect(isCanonicalVirt(-(2 ** 47) - 4096, 48)).toBe(false);
  });

  test("pages, words and bigint agree over the whole 64-bit range", () => {
    const random = new Random(8);
    for (let i = 0; i < 500; i++) {
      const value = random.long() & ~0xfffn;
      const vpn = vpnOfBigint(value);
      expect([vpnLow(vpn), vpnHigh(vpn)]).toEqual([...wordsOfBigint(value)]);
      expect(bigintOfVpn(vpn)).toBe(value);
    }
    expect(bigintOfVirt(virtOfBigint(0xffff_8000_0000_1234n))).toBe(0xffff_8000_0000_1234n);
    expect(() => virtOfBigint(0x00ff_0000_0000_0000n)).toThrow(PagingError);
  });

  test("LAM removes the tag and keeps bit 63", () => {
    expect(untagBigint(0x7e00_1234_5678_9abcn, 57)).toBe(0x0000_1234_5678_9abcn);
    expect(untagBigint(0x5555_0234_5678_9abcn, 48)).toBe(0x0000_0234_5678_9abcn);
    expect(untagBigint(0x8123_8234_5678_9abcn, 48)).toBe(0xffff_8234_5678_9abcn);
  });

  test("indices of a 5-level address", () => {
    expect(splitAddress(MODE_5_LEVEL, 0xffff_ffff_ffff_f000n).map((part) => part.index)).toEqual([
      511, 511, 511, 511, 511,
    ]);
    expect(splitAddress(MODE_4_LEVEL, 0xffff_ffff_8010_105fn).map((part) => `${part.name} ${part.index}`)).toEqual([
      "PML4 511",
      "PDPT 510",
      "PD 0",
      "PT 257",
    ]);
  });

  test("numbers parse as people write them, and nothing else does", () => {
    expect(parseNumber("0xffff_8000")).toBe(0xffff8000n);
    expect(parseNumber("-1")).toBe(0xffff_ffff_ffff_ffffn);
    expect(parseNumber("fffff`0".replace("fffff", "0xfffff"))).toBe(0xfffff0n);
    for (const text of ["", "0x", "12g", "0x1ffffffffffffffff", "1.5", "--1"])
      expect(() => parseNumber(text)).toThrow(PagingError);
  });
});
