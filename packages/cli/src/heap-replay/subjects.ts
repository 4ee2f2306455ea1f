/** The allocators that `pagewright heap` knows by name, each imported only when it is the one. */
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";
import { BufferMemory } from "@pagewright/heap/memory";
import type { BaseAllocator } from "@pagewright/heap";
import { complaintOf, UsageError } from "../output.ts";
import { subjectOf } from "./subject.ts";
import type { Bench, OwnAllocator, OwnFactory } from "./subject.ts";

type Maker = (memory: BufferMemory, largest: number) => Promise<BaseAllocator>;

const MAKERS: Readonly<Record<string, Maker>> = {
  general: async (memory) => new (await import("@pagewright/heap/general")).GeneralHeap(memory),
  tlsf: async (memory) => new (await import("@pagewright/heap/tlsf")).Tlsf(memory),
  "tlsf-parallel": async (memory) => new (await import("@pagewright/heap/tlsf")).Tlsf(memory, { tags: "parallel" }),
  buddy: async (memory, largest) => {
    const { Buddy } = await import("@pagewright/heap/buddy");
    return new Buddy(memory, { bytes: 2 ** Math.floor(Math.log2(memory.end)), minBytes: largest < 2 ** 20 ? 16 : 32 });
  },
  offset: async (memory) => new (await import("@pagewright/heap/offset")).OffsetAllocator(memory),
  pool: async (memory, largest) => new (await import("@pagewright/heap/pool")).Pool(memory, largest),
  arena: async (memory) => new (await import("@pagewright/heap/arena")).Arena(memory),
};

/** The names, in the order in which `all` runs them. */
export const HEAP_NAMES: readonly string[] = Object.keys(MAKERS);

/**
 * Builds an allocator over a fresh memory.
 *
 * @param name - A name of {@link HEAP_NAMES}, or the path of a module whose default export makes an allocator.
 * @param capacity - Bytes of the memory; they are taken from the system only where they are touched.
 * @throws {@link UsageError} for a name that is not known or a module that cannot be loaded.
 */
export async function makeBench(name: string, capacity: number, largest: number): Promise<Bench> {
  const buffer = new ArrayBuffer(capacity);
  const make = MAKERS[name];
  if (make === undefined) return makeOwn(name, buffer);
  const memory = new BufferMemory(buffer);
  const heap = await make(memory, largest);
  return {
    heap,
    bytes: () => memory.bytes,
    metadataBytes: () => heap.stats().metadataBytes,
    sourceCalls: () => heap.stats().sourceCalls,
  };
}

async function makeOwn(path: string, buffer: ArrayBuffer): Promise<Bench> {
  if (!path.includes("/") && !path.includes("."))
    throw new UsageError(`--allocator ${path}: not one of ${HEAP_NAMES.join(", ")}, all, and no path of a module`);
  const own = await loadOwn(path, buffer);
  const ownBytes = own.bytes?.bind(own);
  const all = new Uint8Array(buffer);
  const bytes = ownBytes ?? ((): Uint8Array => all);
  return {
    heap: subjectOf(own, bytes),
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
