/** A memory image as the page walker wants it: frames by number, read when they are asked for. */
import type { ImageMemory, Pfn } from "@pagewright/x86-paging";
import { ABSENT_FRAME } from "@pagewright/x86-paging";
import { openBytes } from "./expand.ts";
import type { ByteSource } from "./expand.ts";
import type { ImageFormat, ImageLayout, Segment } from "./formats.ts";
import { readLayout } from "./formats.ts";

/** Frames kept; the oldest is given up first. */
const CACHED_FRAMES = 16384;

/** An opened image. */
export class Image implements ImageMemory {
  readonly format: ImageFormat;
  /** The physical memory in it, by address. */
  readonly segments: readonly Segment[];
  /** CR3 where the image tells. */
  readonly cr3: bigint | undefined;
  readonly #bytes: ByteSource;
  readonly #frames = new Map<Pfn, Uint32Array>();

  constructor(bytes: ByteSource, layout: ImageLayout) {
    this.#bytes = bytes;
    this.format = layout.format;
    this.segments = layout.segments;
    this.cr3 = layout.cr3;
  }

  /** The segment that holds the first byte at or after an address. */
  #segmentAt(address: number): Segment | undefined {
    let low = 0;
    let high = this.segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.segments[middle]?.end ?? 0) <= address) low = middle + 1;
      else high = middle;
    }
    return this.segments[low];
  }

  /** Whether any byte of the frame is in the image. */
  has(pfn: Pfn): boolean {
    const segment = this.#segmentAt(pfn * 4096);
    return segment !== undefined && segment.start < pfn * 4096 + 4096;
  }

  /** The frame's words; zeros where the image has nothing. */
  words(pfn: Pfn): Uint32Array {
    return this.#frames.get(pfn) ?? this.#load(pfn);
  }

  /** Always 0: every frame is an array of its own. */
  base(): number {
    return 0;
  }

  #load(pfn: Pfn): Uint32Array {
    if (!this.has(pfn)) return ABSENT_FRAME;
    const bytes = new Uint8Array(4096);
    const start = pfn * 4096;
    for (let at = start; at < start + 4096;) {
      const segment = this.#segmentAt(at);
      if (segment === undefined || segment.start >= start + 4096) break;
      const from = Math.max(at, segment.start);
      const to = Math.min(start + 4096, segment.end);
      this.#bytes.read(segment.offset + (from - segment.start), bytes.subarray(from - start, to - start));
      at = to;
    }
    const words = new Uint32Array(bytes.buffer);
    if (this.#frames.size >= CACHED_FRAMES) {
      const [oldest] = this.#frames.keys();
      if (oldest !== undefined) this.#frames.delete(oldest);
    }
    this.#frames.set(pfn, words);
    return words;
  }
}

/** Opens an image file; see {@link openBytes} and {@link readLayout} for what can be wrong with it. */
export async function openImage(path: string, format?: ImageFormat): Promise<Image> {
  const bytes = await openBytes(path);
  return new Image(bytes, readLayout(bytes, path, format));
}
