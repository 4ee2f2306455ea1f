import { HeapError } from "./errors.ts";
import { NumberRange } from "./number-range.ts";
import type { WordMemory } from "./ports.ts";

const WASM_PAGE = 65536;
/** Up to so many bytes a loop is faster than a call, which costs 16 ns, as much as copying 20 words. */
const SHORT = 80;
/** Up to so many where 8 bytes at a time are set to zero. */
const SHORT_ZEROES = 384;

/** A memory that grows in pages of 64 KiB: what `WebAssembly.Memory` is, shared or not. */
export interface PagedMemory {
  readonly buffer: ArrayBufferLike;
  grow(pages: number): number;
}

/** A buffer that may be resizable; the fields are absent on engines that know none. */
type ResizableBuffer = ArrayBufferLike & {
  readonly resizable?: boolean;
  readonly growable?: boolean;
  readonly maxByteLength?: number;
  resize?(bytes: number): void;
  grow?(bytes: number): void;
};

/** The constructor of a typed array, for views over a block. */
export type ViewType<T> = { readonly BYTES_PER_ELEMENT: number } & (new (
  buffer: ArrayBufferLike,
  offset: number,
  length: number,
) => T);

/**
 * The bytes `[start, end)` of an `ArrayBuffer` (fixed or resizable), a `SharedArrayBuffer` (fixed or growable) or a
 * `WebAssembly.Memory`: a range source whose addresses are byte offsets, with its bytes and words in reach.
 *
 * When the memory grows, `words` and `bytes` are replaced, and a `WebAssembly.Memory` that is not shared detaches every older view: {@link isStale} says so.
 * Whoever grows it, the operations here see the memory as it is. What someone else has added belongs to the range too, unless that has an end.
 */
export class BufferMemory extends NumberRange implements WordMemory {
  #words: Int32Array;
  #bytes: Uint8Array;
  /** For zeroes, which are the same bits in any type. */
  #doubles: Float64Array;
  /** How often the views were replaced. */
  growths = 0;
  readonly #memory: PagedMemory | null;
  #buffer: ResizableBuffer;
  readonly #limit: number;

  /**
   * @param target the buffer or memory.
   * @param start first byte, a multiple of 8; what lies below is left alone.
   * @param end one past the last byte; by default as far as the memory goes or can grow.
   * @throws HeapError `bad-option` for a start that is no multiple of 8 or a range outside the memory.
   */
  constructor(target: ArrayBufferLike | PagedMemory, start = 0, end: number = Infinity) {
    const memory = "grow" in target && "buffer" in target ? target : null;
    const buffer: ResizableBuffer = memory === null ? (target as ArrayBufferLike) : memory.buffer;
    super(start, Math.min(end, buffer.byteLength - (buffer.byteLength & 7)));
    if ((start & 7) !== 0) throw new HeapError("bad-option", start, "the start must be a multiple of 8");
    if (end !== Infinity && memory === null && end > (buffer.maxByteLength ?? buffer.byteLength))
      throw new HeapError("bad-option", end, "the end lies outside the buffer");
    this.#memory = memory;
    this.#buffer = buffer;
    this.#limit = end;
    this.#words = new Int32Array(0);
    this.#bytes = new Uint8Array(0);
    this.#doubles = new Float64Array(0);
    this.refresh();
  }

  /** All 32-bit words from address 0; ask again when the memory may have grown. */
  get words(): Int32Array {
    if (this.#words.length === 0) this.refresh();
    return this.#words;
  }

  /** All bytes from address 0; ask again when the memory may have grown. */
  get bytes(): Uint8Array {
    if (this.#bytes.length === 0) this.refresh();
    return this.#bytes;
  }

  /** The buffer of the moment. */
  get buffer(): ArrayBufferLike {
    return this.#buffer;
  }

  /** Makes the views anew if the memory was grown by someone else, and takes what was added. @returns whether it was. */
  refresh(): boolean {
    const buffer: ResizableBuffer = this.#memory === null ? this.#buffer : this.#memory.buffer;
    if (buffer === this.#words.buffer && this.#words.length === buffer.byteLength >>> 2) return false;
    this.#buffer = buffer;
    this.#words = new Int32Array(buffer, 0, Math.floor(buffer.byteLength / 4));
    this.#bytes = new Uint8Array(buffer, 0, buffer.byteLength);
    this.#doubles = new Float64Array(buffer, 0, Math.floor(buffer.byteLength / 8));
    this.growths++;
    this.end = Math.min(this.#limit, buffer.byteLength - (buffer.byteLength & 7));
    return true;
  }

  /** Grows the memory so that it reaches `end`, in pages. */
  protected override grow(end: number): boolean {
    if (this.refresh() && end <= this.end) return true;
    if (end > this.#limit) return false;
    const buffer = this.#buffer;
    const pages = Math.ceil((end - buffer.byteLength) / WASM_PAGE);
    if (pages > 65536) return false;
    try {
      if (this.#memory !== null) this.#memory.grow(pages);
      else if (buffer.maxByteLength === undefined || buffer.maxByteLength < end) return false;
      else {
        const target = Math.min(buffer.maxByteLength, Math.ceil(end / 4096) * 4096);
        if (buffer.resizable === true) buffer.resize?.(target);
        else if (buffer.growable === true) buffer.grow?.(target);
      }
    } catch (error) {
      if (error instanceof RangeError) return false;
      throw error;
    }
    this.refresh();
    return end <= this.end;
  }

  /** Discarded bytes read as zero. */
  discard(address: number, bytes: number): void {
    this.calls++;
    this.#reach(address + bytes);
    this.#bytes.fill(0, address, address + bytes);
  }

  /** Sets bytes. Short runs of zeroes go in a loop. */
  fill(address: number, bytes: number, value: number): void {
    this.#reach(address + bytes);
    if (bytes > SHORT_ZEROES || value !== 0 || (address & 7) !== 0) {
      this.#bytes.fill(value, address, address + bytes);
      return;
    }
    const doubles = this.#doubles;
    let at = address / 8;
    const end = at + (bytes >>> 3);
    for (; at + 3 < end; at += 4) doubles[at] = doubles[at + 1] = doubles[at + 2] = doubles[at + 3] = 0;
    for (; at < end; at++) doubles[at] = 0;
    for (let rest = bytes & -8; rest < bytes; rest++) this.#bytes[address + rest] = 0;
  }

  /** Sees to it that the views go up to `end`, as far as the memory does: someone else may have grown it, which leaves a view without words. */
  #reach(end: number): void {
    if (end > this.#bytes.length) this.refresh();
  }

  /** Copies bytes; the ranges may overlap. Short runs of words go in a loop. */
  copy(from: number, to: number, bytes: number): void {
    this.#reach(Math.max(from, to) + bytes);
    if (bytes > SHORT || ((from | to | bytes) & 3) !== 0 || (to > from && to < from + bytes)) {
      this.#bytes.copyWithin(to, from, from + bytes);
      return;
    }
    const words = this.#words;
    const end = (to + bytes) >>> 2;
    for (let at = to >>> 2, source = from >>> 2; at < end; at++, source++) words[at] = words[source]!;
  }

  /** The word at a multiple of 4. */
  load32(address: number): number {
    return this.#words[address / 4] ?? this.#loadFar(address);
  }

  /** Beyond what the views showed: someone else may have grown the memory. */
  #loadFar(address: number): number {
    this.refresh();
    return this.#words[address / 4] ?? 0;
  }

  /** Sets the word at a multiple of 4. */
  store32(address: number, value: number): void {
    if (address < this.#words.length * 4) this.#words[address / 4] = value;
    else this.#storeFar(address, value);
  }

  #storeFar(address: number, value: number): void {
    this.refresh();
    this.#words[address / 4] = value;
  }

  /**
   * A typed array of `length` elements over the bytes at `address`.
   *
   * @throws HeapError `bad-alignment` where the address is no multiple of the element size, `bad-size` where it reaches outside the memory.
   */
  view<T>(address: number, type: ViewType<T>, length: number): T {
    this.refresh();
    if (address % type.BYTES_PER_ELEMENT !== 0) throw new HeapError("bad-alignment", address);
    if (!(address >= 0 && length >= 0 && address + length * type.BYTES_PER_ELEMENT <= this.#bytes.length))
      throw new HeapError("bad-size", length);
    return new type(this.#buffer, address, length);
  }

  /**
   * Whether a view made earlier no longer shows this memory, because it has grown since: make it again. Views of shared and of resizable memory stay valid, over as much
   * as they covered.
   */
  isStale(view: ArrayBufferView): boolean {
    const isShared = typeof SharedArrayBuffer !== "undefined" && view.buffer instanceof SharedArrayBuffer;
    return !isShared && view.buffer !== (this.#memory === null ? this.#buffer : this.#memory.buffer);
  }
}
