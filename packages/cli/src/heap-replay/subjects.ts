/** The allocators that `pagewright heap` knows by name, each imported only when it is the one. */
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";
import { BufferMemory } from "@pagewright/heap/memory";
import { allocateZeroed } from "@pagewright/heap/operations";
import type { Allocator } from "@pagewright/heap";
import type { HeapTrace } from "@pagewright/heap/trace";
import { complaintOf, UsageError } from "../output.ts";
import { collectedSubject } from "./collected-subject.ts";
import { subjectOf } from "./subject.ts";
import type { Bench, OwnAllocator, OwnFactory } from "./subject.ts";

/** What a replay needs to know of its trace before it starts. */
interface Needs {
  /** Bytes of the memory. */
  readonly capacity: number;
  /** Bytes of the largest block, rounded up to the strictest alignment: what blocks of one size have to have. */
  readonly largest: number;
  /** The strictest alignment that is asked for, at least 16. */
  readonly alignment: number;
}

type Maker = (needs: Needs) => Promise<Bench>;

/** Over a memory of its own, made by the allocator's constructor. */
function over(make: (memory: BufferMemory, needs: Needs) => Promise<Allocator>, endRound?: "reset"): Maker {
  return async (needs) => {
    const memory = new BufferMemory(new ArrayBuffer(needs.capacity));
    return benchOf(await make(memory, needs), memory, endRound);
  };
}

function benchOf(heap: Allocator, memory: BufferMemory, endRound?: "reset"): Bench {
  return {
    heap,
    allocateZeroed: (size, alignment, hint) => allocateZeroed(heap, memory, size, alignment, hint),
    bytes: () => memory.bytes,
    metadataBytes: () => heap.stats().metadataBytes,
    sourceCalls: () => heap.stats().sourceCalls,
    ...(endRound === undefined ? {} : { endRound: () => heap.reset() }),
  };
}

const MAKERS: Readonly<Record<string, Maker>> = {
  general: over(async (memory) => new (await import("@pagewright/heap/general")).GeneralHeap(memory)),
  tlsf: over(async (memory) => new (await import("@pagewright/heap/tlsf")).Tlsf(memory)),
  buddy: over(async (memory, { largest }) => {
    const { Buddy } = await import("@pagewright/heap/buddy");
    return new Buddy(memory, { bytes: 2 ** Math.floor(Math.log2(memory.end)), minBytes: largest < 2 ** 20 ? 16 : 32 });
  }),
  offset: over(async (memory) => new (await import("@pagewright/heap/offset")).OffsetAllocator(memory)),
  shared: async ({ capacity }) => {
    const { SharedHeap } = await import("@pagewright/heap/shared");
    const buffer = new SharedArrayBuffer(capacity);
    return benchOf(SharedHeap.create(buffer), new BufferMemory(buffer));
  },
  collected: async ({ capacity }) => {
    const { GeneralHeap } = await import("@pagewright/heap/general");
    const { CollectedHeap } = await import("@pagewright/heap/collected");
    const memory = new BufferMemory(new ArrayBuffer(capacity));
    // A trace has no references: every block is a root until its free.
    const heap = new CollectedHeap(new GeneralHeap(memory), { trace: () => undefined, thresholdBytes: capacity / 16 });
    const subject = collectedSubject(heap);
    return {
      ...benchOf(heap, memory),
      heap: subject,
      allocateZeroed: (size, alignment, hint) => allocateZeroed(subject, memory, size, alignment, hint),
    };
  },
  pool: over(async (memory, { largest }) => new (await import("@pagewright/heap/pool")).Pool(memory, largest)),
  "object-cache": over(
    async (memory, { largest: objectBytes, alignment }) =>
      new (await import("@pagewright/heap/object-cache")).ObjectCache(memory, { objectBytes, alignment }),
  ),
  // An arena's blocks die together: in a timed round, at its end.
  arena: over(async (memory) => new (await import("@pagewright/heap/arena")).Arena(memory), "reset"),
};

/** Allocators whose blocks all have one size. */
const ONE_SIZE: ReadonlySet<string> = new Set(["pool", "object-cache"]);

/** The names, in the order in which `all` runs them. */
export const HEAP_NAMES: readonly string[] = Object.keys(MAKERS);

/** Memory enough for an allocator that uses four times what is live and places of the strictest alignment, and for small traces 64 MiB. */
function needsOf({ size, log2align, peakLiveBytes }: HeapTrace): Needs {
  const alignment = 2 ** log2align.reduce((most, log) => Math.max(most, log), 4);
  const wanted = Math.max(2 ** 26, peakLiveBytes * 4, alignment * 8);
  const capacity = Math.min(2 ** Math.ceil(Math.log2(wanted)), 2 ** 31 - 2 ** 16);
  const bytes = size.reduce((most, each) => Math.max(most, each), 1);
  return { capacity, largest: Math.ceil(bytes / alignment) * alignment, alignment };
}

/**
 * Builds an allocator over a fresh memory, which is taken from the system only where it is touched.
 *
 * @param name - A name of {@link HEAP_NAMES}, or the path of a module whose default export makes an allocator.
 * @returns the bench, or why the allocator is not meant for the trace.
 * @throws {@link UsageError} for a name that is not known or a module that cannot be loaded.
 */
export async function makeBench(name: string, trace: HeapTrace): Promise<Bench | string> {
  const needs = needsOf(trace);
  const { capacity, largest } = needs;
  const { maxLiveObjects } = trace;
  if (ONE_SIZE.has(name) && maxLiveObjects * largest > capacity)
    return `blocks of one size: ${maxLiveObjects} of ${largest} bytes do not fit into ${capacity}`;
  const make = MAKERS[name];
  return make === undefined ? makeOwn(name, new ArrayBuffer(capacity)) : make(needs);
}

async function makeOwn(path: string, buffer: ArrayBuffer): Promise<Bench> {
  if (!path.includes("/") && !path.includes("."))
    throw new UsageError(`--allocator ${path}: not one of ${HEAP_NAMES.join(", ")}, all, and no path of a module`);
  const own = await loadOwn(path, buffer);
  const ownBytes = own.bytes?.bind(own);
  const all = new Uint8Array(buffer);
  const bytes = ownBytes ?? ((): Uint8Array => all);
  return {
    ...subjectOf(own, bytes),
    bytes,
    metadataBytes: () => own.metadataBytes?.() ?? 0,
    sourceCalls: () => 0,
  };
}

async function loadOwn(path: string, buffer: ArrayBuffer): Promise<OwnAllocator> {
  try {
    const module = (await import(pathToFileURL(resolve(path)).href)) as { readonly default?: OwnFactory };
    if (typeof module.default !== "function") throw new UsageError("its default export is no function");
    const own = await module.default({ buffer });
    if (typeof own.allocate !== "function" || typeof own.free !== "function")
      throw new UsageError("what it makes has no allocate and free");
    return own;
  } catch (error) {
    throw new UsageError(`--allocator ${path}: ${complaintOf(error)}`);
  }
}
