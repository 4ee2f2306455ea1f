/** `@pagewright/vmm/swap`: compressed memory as a swap store and page compressors. */
export { CompressedPool, type CompressedPoolOptions, type CompressedPoolStats } from "./swap/compressed-pool.ts";
export { defaultCompressor } from "./swap/compress/default.ts";
export { Lz4Block } from "./swap/compress/lz4-block.ts";
export { Wkdm } from "./swap/compress/wkdm.ts";
export { sameFilledWord } from "./swap/compress/same-filled.ts";
export type { Compressor, FrameSource, FrameWindow, SwapStore } from "./ports.ts";
