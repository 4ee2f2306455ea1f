/** The compressors that are compared, in one shape. Peers are loaded by name when they are measured, one to a process. */
import { createRequire } from "node:module";
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { Lz4Block, Wkdm } from "@pagewright/vmm/swap";
import type { Compressor } from "@pagewright/vmm/swap";

/** One way to compress a page. */
export interface Codec {
  /** Returns the compressed bytes: a view that the next call may overwrite. */
  compress(page: Uint8Array): Uint8Array;
  expand(packed: Uint8Array): Uint8Array;
}

const load = createRequire(import.meta.url);
const EXTRA_ROOM = 4096;

function ours(compressor: Compressor): Codec {
  const to = new Uint8Array(4096 + EXTRA_ROOM);
  const page = new Uint8Array(4096);
  return {
    compress: (from) => to.subarray(0, compressor.compress(from, to)),
    expand(packed) {
      if (!compressor.expand(packed, packed.length, page)) throw new Error("not expanded");
      return page;
    },
  };
}

function lz4js(): Codec {
  const lz4 = load("lz4js") as {
    compressBlock(from: Uint8Array, to: Uint8Array, start: number, length: number, table: Uint32Array): number;
    decompressBlock(from: Uint8Array, to: Uint8Array, start: number, length: number, at: number): number;
  };
  const to = new Uint8Array(4096 + EXTRA_ROOM);
  const page = new Uint8Array(4096);
  const table = new Uint32Array(65536);
  return {
    compress(from) {
      // 0: it did not compress; the caller keeps such a block as it is
      const length = lz4.compressBlock(from, to, 0, 4096, table.fill(0));
      return length === 0 ? from : to.subarray(0, length);
    },
    expand(packed) {
      if (packed.length === 4096) return packed;
      lz4.decompressBlock(packed, page, 0, packed.length, 0);
      return page;
    },
  };
}

function snappyjs(): Codec {
  const snappy = load("snappyjs") as Record<"compress" | "uncompress", (from: Uint8Array) => Uint8Array>;
  return { compress: (page) => snappy.compress(page), expand: (packed) => snappy.uncompress(packed) };
}

function lz4Wasm(): Codec {
  const lz4 = load("lz4-wasm-nodejs") as Record<"compress" | "decompress", (from: Uint8Array) => Uint8Array>;
  return { compress: (page) => lz4.compress(page), expand: (packed) => lz4.decompress(packed) };
}

function fflate(): Codec {
  const deflate = load("fflate") as {
    deflateSync(from: Uint8Array, options: { level: number }): Uint8Array;
    inflateSync(from: Uint8Array, options: { out: Uint8Array }): Uint8Array;
  };
  const out = new Uint8Array(4096);
  return {
    compress: (page) => deflate.deflateSync(page, { level: 1 }),
    expand: (packed) => deflate.inflateSync(packed, { out }),
  };
}

async function zstdWasm(): Promise<Codec> {
  const zstd = load("@bokuweb/zstd-wasm") as {
    init(): Promise<void>;
    compress(from: Uint8Array, level: number): Uint8Array;
    decompress(from: Uint8Array): Uint8Array;
  };
  await zstd.init();
  return { compress: (page) => zstd.compress(page, 1), expand: (packed) => zstd.decompress(packed) };
}

/** By the name in the table; where each runs is part of the choice. */
export const codecs: Readonly<Record<string, { readonly runs: string; make(): Codec | Promise<Codec> }>> = {
  "lz4 (Pagewright)": { runs: "anywhere", make: () => ours(new Lz4Block()) },
  "wkdm (Pagewright)": { runs: "anywhere", make: () => ours(new Wkdm()) },
  lz4js: { runs: "anywhere", make: lz4js },
  snappyjs: { runs: "anywhere", make: snappyjs },
  "lz4-wasm": { runs: "wasm", make: lz4Wasm },
  "zstd-wasm, level 1": { runs: "wasm, loads later", make: zstdWasm },
  "fflate, level 1": { runs: "anywhere", make: fflate },
  "node:zlib, level 1": {
    runs: "Node",
    make: () => ({
      compress: (page) => deflateRawSync(page, { level: 1 }),
      expand: (packed) => inflateRawSync(packed),
    }),
  },
};
