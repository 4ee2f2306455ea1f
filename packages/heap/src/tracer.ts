import { NO_ADDRESS } from "./allocator.ts";
import type { Allocator } from "./allocator.ts";
import { allocateZeroed } from "./operations.ts";
import type { BlockMemory } from "./ports.ts";
import { TraceOp } from "./trace.ts";
import type { HeapTrace } from "./trace.ts";
import { Wrapper } from "./wrapper.ts";

/** A wrapper that records what is asked of the allocator behind it, as an allocation trace. */
export class Tracer extends Wrapper {
  /** Events as five numbers each: op, log2 of the alignment, object, size, thread. */
  readonly #events: number[] = [];
  readonly #ids = new Map<number, number>();
  readonly #sizes = new Map<number, number>();
  readonly #thread: number;
  #objects = 0;
  #live = 0;
  #peak = 0;
  #most = 0;

  /** @param thread the number that events are recorded under, 0 … 255. */
  constructor(inner: Allocator, thread = 0) {
    super(inner);
    this.#thread = thread;
  }

  #record(op: number, alignment: number, address: number, size: number, id: number): void {
    this.#events.push(op, alignment > 1 ? Math.log2(alignment) : 0, id, size, this.#thread);
    this.#live += (op === TraceOp.free ? 0 : size) - (this.#sizes.get(id) ?? 0);
    this.#peak = Math.max(this.#peak, this.#live);
    if (op === TraceOp.free) {
      this.#ids.delete(address);
      this.#sizes.delete(id);
    } else {
      this.#ids.set(address, id);
      this.#sizes.set(id, size);
      this.#most = Math.max(this.#most, this.#sizes.size);
    }
  }

  /** Allocates, and records. */
  override allocate(size: number, alignment = 0, hint = 0): number {
    const address = this.inner.allocate(size, alignment, hint);
    const op = alignment > 1 ? TraceOp.memalign : TraceOp.malloc;
    if (address !== NO_ADDRESS) this.#record(op, alignment, address, size, this.#objects++);
    return address;
  }

  /** Allocates a block whose first `size` bytes, which are in `memory`, read as zero, and records a calloc. */
  allocateZeroed(memory: Pick<BlockMemory, "fill">, size: number): number {
    const address = allocateZeroed(this.inner, memory, size);
    if (address !== NO_ADDRESS) this.#record(TraceOp.calloc, 0, address, size, this.#objects++);
    return address;
  }

  /** Frees, and records. */
  override free(address: number): void {
    this.inner.free(address);
    const id = this.#ids.get(address);
    if (id !== undefined) this.#record(TraceOp.free, 0, address, this.#sizes.get(id) ?? 0, id);
  }

  /** Resizes, and records. */
  override resize(address: number, size: number, alignment = 0, hint = 0): number {
    const to = this.inner.resize(address, size, alignment, hint);
    const id = this.#ids.get(address);
    if (to !== NO_ADDRESS && id !== undefined) {
      this.#ids.delete(address);
      this.#record(TraceOp.realloc, 0, to, size, id);
    }
    return to;
  }

  /** Ends all lives, and records a free of each. */
  override reset(): void {
    this.inner.reset();
    for (const [address, id] of [...this.#ids]) this.#record(TraceOp.free, 0, address, this.#sizes.get(id) ?? 0, id);
  }

  /** What was recorded so far. */
  trace(): HeapTrace {
    const events = this.#events.length / 5;
    const field = (at: number): number[] =>
      Array.from({ length: events }, (_, event) => this.#events[event * 5 + at] ?? 0);
    return {
      events,
      objects: this.#objects,
      peakLiveBytes: this.#peak,
      threads: this.#thread + 1,
      maxLiveObjects: this.#most,
      op: Uint8Array.from(field(0)),
      thread: Uint8Array.from(field(4)),
      log2align: Uint8Array.from(field(1)),
      id: Uint32Array.from(field(2)),
      size: Uint32Array.from(field(3)),
    };
  }
}

/**
 * Replays a trace on an allocator, from the first event to the last.
 *
 * @param memory the bytes of its blocks, for callocs; without it they are not zeroed.
 * @returns the address of each object that is live at the end, −1 for the others; null where the memory did not suffice: then everything is freed.
 */
export function replayTrace(
  trace: HeapTrace,
  allocator: Allocator,
  memory: Pick<BlockMemory, "fill"> | null = null,
): Float64Array | null {
  const addresses = new Float64Array(trace.objects).fill(NO_ADDRESS);
  for (let event = 0; event < trace.events; event++) {
    const op = trace.op[event]!;
    const id = trace.id[event]!;
    const size = trace.size[event]!;
    const before = addresses[id]!;
    if (op === TraceOp.free) {
      allocator.free(before);
      addresses[id] = NO_ADDRESS;
      continue;
    }
    const address =
      op === TraceOp.realloc
        ? allocator.resize(before, size)
        : op === TraceOp.calloc && memory !== null
          ? allocateZeroed(allocator, memory, size)
          : allocator.allocate(size, op === TraceOp.memalign ? 2 ** trace.log2align[event]! : 0);
    if (address === NO_ADDRESS) {
      for (const live of addresses) if (live !== NO_ADDRESS) allocator.free(live);
      return null;
    }
    addresses[id] = address;
  }
  return addresses;
}
