import { AddressTable } from "./address-table.ts";
import { NO_ADDRESS } from "./allocator.ts";
import type { Allocator } from "./allocator.ts";
import { HeapError } from "./errors.ts";
import { allocateZeroed } from "./operations.ts";
import type { BlockMemory } from "./ports.ts";
import { TraceOp } from "./trace.ts";
import type { HeapTrace } from "./trace.ts";
import { Wrapper } from "./wrapper.ts";

/** A wrapper that records what is asked of the allocator behind it, as an allocation trace. */
export class Tracer extends Wrapper {
  /** Events as five numbers each: op, log2 of the alignment, object, size, thread. */
  readonly #events: number[] = [];
  /** By live block: the event that gave it its size. */
  readonly #last: AddressTable = new AddressTable();
  readonly #thread: number;
  #objects = 0;
  #live = 0;
  #peak = 0;
  #most = 0;

  /**
   * @param thread the number that events are recorded under, 0 … 255.
   * @throws HeapError `bad-option` for any other.
   */
  constructor(inner: Allocator, thread = 0) {
    super(inner);
    if ((thread & 255) !== thread) throw new HeapError("bad-option", thread, "a thread is 0 to 255");
    this.#thread = thread;
  }

  /** Notes an event; `before` is the one that it follows for its object, or −1. */
  #record(op: number, alignment: number, address: number, size: number, before: number): void {
    const events = this.#events;
    const id = before < 0 ? this.#objects++ : (events[before + 2] ?? 0);
    const held = before < 0 ? 0 : (events[before + 3] ?? 0);
    if (op === TraceOp.free) this.#live -= held;
    else {
      this.#last.add(address, events.length);
      this.#live += size - held;
    }
    events.push(op, alignment > 1 ? Math.log2(alignment) : 0, id, op === TraceOp.free ? held : size, this.#thread);
    this.#peak = Math.max(this.#peak, this.#live);
    this.#most = Math.max(this.#most, this.#last.count);
  }

  /** Allocates, and records. */
  override allocate(size: number, alignment = 0, hint = 0): number {
    const address = this.inner.allocate(size, alignment, hint);
    const op = alignment > 1 ? TraceOp.memalign : TraceOp.malloc;
    if (address !== NO_ADDRESS) this.#record(op, alignment, address, size, -1);
    return address;
  }

  /** Allocates a block whose first `size` bytes, which are in `memory`, read as zero, and records a calloc. */
  allocateZeroed(memory: Pick<BlockMemory, "fill">, size: number): number {
    const address = allocateZeroed(this.inner, memory, size);
    if (address !== NO_ADDRESS) this.#record(TraceOp.calloc, 0, address, size, -1);
    return address;
  }

  /** Frees, and records. */
  override free(address: number): void {
    this.inner.free(address);
    const before = this.#last.take(address);
    if (before >= 0) this.#record(TraceOp.free, 0, address, 0, before);
  }

  /** Resizes, and records. */
  override resize(address: number, size: number, alignment = 0, hint = 0): number {
    const to = this.inner.resize(address, size, alignment, hint);
    if (to === NO_ADDRESS) return to;
    const before = this.#last.take(address);
    if (before >= 0) this.#record(TraceOp.realloc, 0, to, size, before);
    return to;
  }

  /** Ends all lives, and records a free of each. */
  override reset(): void {
    this.inner.reset();
    this.#last.forEach((address, before) => this.#record(TraceOp.free, 0, address, 0, before));
    this.#last.clear();
  }

  /** What was recorded so far. @throws HeapError `bad-size` for a block of 4 GiB or more: the format has 32 bits for a size. */
  trace(): HeapTrace {
    const events = this.#events.length / 5;
    const field = (at: number): number[] =>
      Array.from({ length: events }, (_, event) => this.#events[event * 5 + at] ?? 0);
    const sizes = field(3);
    const tooLarge = sizes.find((size) => size >= 2 ** 32);
    if (tooLarge !== undefined) throw new HeapError("bad-size", tooLarge, "a trace has 32 bits for a size");
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
      size: Uint32Array.from(sizes),
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
