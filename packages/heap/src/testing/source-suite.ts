import type { BlockMemory, RangeSource } from "../ports.ts";
import { claim } from "./case.ts";
import type { ConformanceCase } from "./case.ts";

/** Claims about a {@link RangeSource} with room for at least 1 MiB. */
export const rangeSourceSuite: readonly ConformanceCase<RangeSource>[] = [
  {
    name: "ranges do not overlap and are aligned as asked",
    run(make): void {
      const source = make();
      const taken: [number, number][] = [];
      for (const [bytes, alignment] of [
        [4096, 4096],
        [64, 8],
        [8192, 8192],
        [4096, 4096],
        [256, 16],
        [65536, 65536],
      ] as const) {
        const address = source.reserve(bytes, alignment);
        claim(address !== -1, "there is room for a few ranges");
        claim(address / alignment === Math.floor(address / alignment), "a range is aligned as asked");
        claim(
          taken.every(([start, end]) => address + bytes <= start || address >= end),
          "a range overlaps no other",
        );
        taken.push([address, address + bytes]);
      }
    },
  },
  {
    name: "more than there is gives -1 and changes nothing",
    run(make): void {
      const source = make();
      claim(source.reserve(2 ** 50, 8) === -1, "2^50 bytes are not there");
      claim(source.reserve(4096, 8) !== -1, "a refusal leaves the rest in place");
    },
  },
  {
    name: "what was released can be reserved again, without end",
    run(make): void {
      const source = make();
      for (let round = 0; round < 1000; round++) {
        const address = source.reserve(262144, 4096);
        claim(address !== -1, "released memory comes back");
        source.release(address, 262144);
      }
    },
  },
  {
    name: "the tail of a range can be released alone",
    run(make): void {
      const source = make();
      const address = source.reserve(131072, 4096);
      source.release(address + 65536, 65536);
      source.release(address, 65536);
      claim(source.reserve(131072, 4096) !== -1, "both parts come back");
    },
  },
];

/** Claims about a {@link BlockMemory} whose bytes 65536 … 131071 may be used. */
export const blockMemorySuite: readonly ConformanceCase<BlockMemory>[] = [
  {
    name: "words read as they were stored, little-endian beside fill",
    run(make): void {
      const memory = make();
      memory.fill(65536, 64, 0xa5);
      claim(memory.load32(65536) === (0xa5a5a5a5 | 0), "fill sets every byte");
      memory.store32(65540, -2);
      claim(memory.load32(65540) === -2 && memory.load32(65544) === (0xa5a5a5a5 | 0), "a store sets one word");
      memory.fill(65540, 1, 1);
      claim(memory.load32(65540) === (0xffffff01 | 0), "the first byte is the lowest");
    },
  },
  {
    name: "copies keep their bytes where the ranges overlap",
    run(make): void {
      for (const distance of [-4, 4]) {
        const memory = make();
        for (let at = 0; at < 8; at++) memory.store32(65600 + at * 4, at + 1);
        memory.copy(65600, 65600 + distance, 32);
        for (let at = 0; at < 8; at++)
          claim(memory.load32(65600 + distance + at * 4) === at + 1, "every word has moved");
      }
    },
  },
];
