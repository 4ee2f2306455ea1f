import type { Compressor } from "../../ports.ts";
import { Lz4Block } from "./lz4-block.ts";

/**
 * The compressor that is used unless told otherwise: LZ4. On pages of real processes it makes them smaller than WKdm does
 * in about the same time; the other libraries that were compared are slower or do not run everywhere
 * (benchmarks/compress).
 */
export function defaultCompressor(): Compressor {
  return new Lz4Block();
}
