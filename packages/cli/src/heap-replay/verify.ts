/** The first pass over a trace: every block is filled with words of its own and looked at again. */
import { TraceOp } from "@pagewright/heap/trace";
import type { HeapTrace } from "@pagewright/heap/trace";
import type { Bench } from "./subject.ts";

/** What the first pass found. */
export interface Verification {
  /** From the lowest to the highest byte in use at any moment, plus state outside the memory. */
  readonly peakFootprint: number;
  /** How often a whole block was compared with what was written into it. */
  readonly verifiedBlocks: number;
  readonly sourceCalls: number;
  /** What was not right, or null. */
  readonly failed: string | null;
}

/** The word that an object's block is filled with. */
function stampOf(id: number): number {
  return Math.imul(id + 1, 0x9e3779b1) | 1;
}

/** The word whose bytes at a block's multiples of 4 are the stamp's, seen at the memory's multiples of 4: blocks may start at any byte. */
function wordAt(address: number, stamp: number): number {
  const turn = (address % 4) * 8;
  return (stamp << turn) | (stamp >>> (32 - turn));
}

/** The bytes of a bench as words and bytes, made anew when its memory has grown. */
class Contents {
  readonly #bench: Bench;
  #bytes: Uint8Array;
  #words: Int32Array;

  constructor(bench: Bench) {
    this.#bench = bench;
    this.#bytes = new Uint8Array(0);
    this.#words = new Int32Array(0);
    this.#refresh();
  }

  #refresh(): void {
    const bytes = this.#bench.bytes();
    if (bytes === this.#bytes || (bytes.buffer === this.#bytes.buffer && bytes.length === this.#bytes.length)) return;
    this.#bytes = bytes;
    this.#words = new Int32Array(bytes.buffer, 0, Math.floor(bytes.length / 4));
  }

  get length(): number {
    this.#refresh();
    return this.#bytes.length;
  }

  /** Fills `[from, to)` of the block with the stamp, whose bytes lie where a multiple of 4 from the block's start puts them. */
  fill(address: number, from: number, to: number, stamp: number): void {
    this.#refresh();
    const word = wordAt(address, stamp);
    let at = from;
    for (; at < to && (address + at) % 4 !== 0; at++) this.#bytes[address + at] = this.#byteOf(address + at, word);
    const words = Math.floor((to - at) / 4);
    this.#words.fill(word, (address + at) / 4, (address + at) / 4 + words);
    for (at += words * 4; at < to; at++) this.#bytes[address + at] = this.#byteOf(address + at, word);
  }

  /** Whether `[0, size)` of the block holds the stamp. */
  holds(address: number, size: number, stamp: number): boolean {
    this.#refresh();
    const wanted = wordAt(address, stamp);
    let at = 0;
    for (; at < size && (address + at) % 4 !== 0; at++)
      if (this.#bytes[address + at]! !== this.#byteOf(address + at, wanted)) return false;
    const words = this.#words;
    const end = (address + at) / 4 + Math.floor((size - at) / 4);
    for (let word = (address + at) / 4; word < end; word++) if (words[word]! !== wanted) return false;
    for (at += Math.floor((size - at) / 4) * 4; at < size; at++)
      if (this.#bytes[address + at]! !== this.#byteOf(address + at, wanted)) return false;
    return true;
  }

  #byteOf(address: number, word: number): number {
    return (word >>> ((address % 4) * 8)) & 255;
  }
}

/**
 * Replays a trace once, checking contents.
 *
 * @param hints - The hint of each object.
 * @param onProgress - Called now and then with the number of events done.
 */
export function verify(
  trace: HeapTrace,
  bench: Bench,
  hints: Uint32Array,
  onProgress: (done: number) => void,
): Verification {
  const { op, id, size, log2align } = trace;
  const { heap, allocateZeroed } = bench;
  const contents = new Contents(bench);
  const addresses = new Float64Array(trace.objects).fill(-1);
  const sizes = new Float64Array(trace.objects);
  let lowest = Infinity;
  let highest = 0;
  let verifiedBlocks = 0;
  const finish = (failed: string | null): Verification => ({
    peakFootprint: Math.max(highest - lowest, 0) + bench.metadataBytes(),
    verifiedBlocks,
    sourceCalls: bench.sourceCalls(),
    failed,
  });
  try {
    for (let event = 0; event < trace.events; event++) {
      if ((event & 4095) === 0) onProgress(event);
      const kind = op[event]!;
      const object = id[event]!;
      const bytes = size[event]!;
      const stamp = stampOf(object);
      const before = addresses[object]!;
      const held = sizes[object]!;
      if (kind >= TraceOp.realloc && kind !== TraceOp.memalign) {
        verifiedBlocks++;
        if (!contents.holds(before, held, stamp))
          return finish(`event ${event}: object ${object} does not hold what was written into it`);
        if (kind === TraceOp.free) {
          heap.free(before);
          addresses[object] = -1;
          continue;
        }
      }
      const alignment = kind === TraceOp.memalign ? 2 ** log2align[event]! : 0;
      const address =
        kind === TraceOp.realloc
          ? heap.resize(before, bytes)
          : kind === TraceOp.calloc
            ? allocateZeroed(bytes, 0, hints[object])
            : heap.allocate(bytes, alignment, hints[object]);
      if (address === -1) return finish(`event ${event}: no memory left for ${bytes} bytes`);
      if (!(address >= 0 && address + bytes <= contents.length))
        return finish(`event ${event}: the block lies outside the memory`);
      if (alignment > 0 && address % alignment !== 0) return finish(`event ${event}: not aligned to ${alignment}`);
      if (kind === TraceOp.calloc && !contents.holds(address, bytes, 0))
        return finish(`event ${event}: a zeroed block does not read as zero`);
      const kept = kind === TraceOp.realloc ? Math.min(held, bytes) : 0;
      if (!contents.holds(address, kept, stamp)) return finish(`event ${event}: resizing lost the contents`);
      contents.fill(address, kept, bytes, stamp);
      addresses[object] = address;
      sizes[object] = bytes;
      lowest = Math.min(lowest, address);
      highest = Math.max(highest, address + bytes);
    }
    const result = finish(null);
    for (let object = 0; object < trace.objects; object++) {
      const address = addresses[object]!;
      if (address === -1) continue;
      verifiedBlocks++;
      if (!contents.holds(address, sizes[object]!, stampOf(object)))
        return finish(`at the end: object ${object} does not hold what was written into it`);
      heap.free(address);
    }
    return { ...result, verifiedBlocks };
  } catch (error) {
    if (error instanceof Error) return finish(error.message);
    throw error;
  }
}
