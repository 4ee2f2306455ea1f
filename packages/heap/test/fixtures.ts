import {
  Arena,
  Buddy,
  BufferMemory,
  CollectedHeap,
  DebugHeap,
  GeneralHeap,
  NumberRange,
  ObjectCache,
  OffsetAllocator,
  Pool,
  Profiler,
  Quota,
  SamplingGuard,
  SharedHeap,
  Statistics,
  Tracer,
  Tlsf,
} from "@pagewright/heap";
import type { AllocatorFixture } from "@pagewright/heap/testing";
import { DownwardRange, FarMemory, SplitMemory, SplitRange } from "./memories.ts";

const KIB = 1024;

/** Every allocator and wrapper, over different memories. */
export const fixtures: Record<string, () => AllocatorFixture> = {
  "Tlsf over an ArrayBuffer": () => {
    const memory = new BufferMemory(new ArrayBuffer(256 * KIB));
    return { allocator: new Tlsf(memory), memory, largest: 250 * KIB, alignment: 4096, records: true };
  },
  "Tlsf over a WebAssembly.Memory": () => {
    const memory = new BufferMemory(new WebAssembly.Memory({ initial: 1, maximum: 8 }), 1024);
    const allocator = new Tlsf(memory, { chunkBytes: 4096 });
    return { allocator, memory, largest: 500 * KIB, alignment: 4096, records: true };
  },
  "Tlsf over ranges that never follow each other": () => {
    const memory = new SplitMemory(512 * KIB);
    const allocator = new Tlsf(memory, { chunkBytes: 16 * KIB });
    return { allocator, memory, largest: 16 * KIB, alignment: 1024, records: true };
  },
  "GeneralHeap over an ArrayBuffer": () => {
    const memory = new BufferMemory(new ArrayBuffer(512 * KIB));
    return { allocator: new GeneralHeap(memory), memory, largest: 500 * KIB, alignment: 4096, records: true };
  },
  "GeneralHeap over far memory": () => {
    const memory = new FarMemory(512 * KIB, -(2 ** 47));
    return {
      allocator: new GeneralHeap(memory, { chunkBytes: 8192 }),
      memory,
      largest: 500 * KIB,
      alignment: 4096,
      records: true,
    };
  },
  "GeneralHeap over split numbers": () => ({
    allocator: new GeneralHeap(new SplitRange(512 * KIB), { chunkBytes: 16 * KIB }),
    memory: null,
    largest: 16 * KIB,
    alignment: 4096,
    records: true,
  }),
  "GeneralHeap over numbers from the top down": () => ({
    allocator: new GeneralHeap(new DownwardRange(2 ** 47, 512 * KIB), { chunkBytes: 16 * KIB }),
    memory: null,
    largest: 16 * KIB,
    alignment: 4096,
    records: true,
  }),
  "OffsetAllocator over numbers from the top down": () => ({
    allocator: new OffsetAllocator(new DownwardRange(2 ** 47, 512 * KIB), { chunkBytes: 16 * KIB }),
    memory: null,
    largest: 16 * KIB,
    alignment: 4096,
    records: true,
  }),
  "Buddy over an ArrayBuffer": () => {
    const memory = new BufferMemory(new ArrayBuffer(256 * KIB));
    return {
      allocator: new Buddy(memory, { bytes: 256 * KIB }),
      memory,
      largest: 256 * KIB,
      alignment: 4096,
      records: true,
    };
  },
  "Buddy over far memory": () => {
    const memory = new FarMemory(128 * KIB, -(2 ** 47));
    const allocator = new Buddy(memory, { bytes: 64 * KIB, minBytes: 64 });
    return { allocator, memory, largest: 64 * KIB, alignment: 4096, records: true };
  },
  "OffsetAllocator over an ArrayBuffer": () => {
    const memory = new BufferMemory(new ArrayBuffer(256 * KIB));
    return { allocator: new OffsetAllocator(memory), memory, largest: 220 * KIB, alignment: 4096, records: true };
  },
  "OffsetAllocator over split numbers": () => ({
    allocator: new OffsetAllocator(new SplitRange(256 * KIB), { chunkBytes: 16 * KIB, granule: 256 }),
    memory: null,
    largest: 14 * KIB,
    alignment: 1024,
    records: true,
  }),
  "Pool over an ArrayBuffer": () => {
    const memory = new BufferMemory(new ArrayBuffer(64 * KIB));
    return { allocator: new Pool(memory, 64), memory, largest: 64, alignment: 64, records: true };
  },
  "Pool over split numbers": () => ({
    allocator: new Pool(new SplitRange(64 * KIB), 48, 20),
    memory: null,
    largest: 48,
    alignment: 16,
    records: true,
  }),
  "DebugHeap around TLSF": () => {
    const memory = new BufferMemory(new ArrayBuffer(256 * KIB));
    return {
      allocator: new DebugHeap(new Tlsf(memory), memory),
      memory,
      largest: 200 * KIB,
      alignment: 1024,
      records: true,
    };
  },
  "Quota, statistics, tracer and profiler around the general heap": () => {
    const memory = new BufferMemory(new ArrayBuffer(512 * KIB));
    const traced = new Tracer(new Statistics(new Quota(new GeneralHeap(memory), 400 * KIB)));
    const allocator = new Profiler(traced, { random: () => 0.5, intervalBytes: 4096 });
    return { allocator, memory, largest: 380 * KIB, alignment: 4096, records: true };
  },
  "SamplingGuard around TLSF": () => {
    const memory = new BufferMemory(new ArrayBuffer(512 * KIB));
    const guard = { protect: () => undefined };
    const allocator = new SamplingGuard(new Tlsf(memory), memory, guard, { random: () => 0.4, every: 3, slots: 4 });
    return { allocator, memory, largest: 300 * KIB, alignment: 4096, records: true };
  },
  "SharedHeap, alone": () => {
    const buffer = new SharedArrayBuffer(512 * KIB);
    const allocator = SharedHeap.create(buffer, { slots: 2 });
    return { allocator, memory: new BufferMemory(buffer), largest: 400 * KIB, alignment: 8192, records: true };
  },
  "ObjectCache over an ArrayBuffer": () => {
    const memory = new BufferMemory(new ArrayBuffer(128 * KIB));
    const allocator = new ObjectCache(memory, { objectBytes: 56, magazine: 4 });
    return { allocator, memory, largest: 56, alignment: 8, records: true };
  },
  "CollectedHeap that is never asked to collect": () => {
    const memory = new BufferMemory(new ArrayBuffer(256 * KIB));
    const roots: number[] = [];
    const inner = new Tlsf(memory);
    const allocator = new CollectedHeap(inner, { trace: () => undefined });
    allocator.addRootScanner((visit) => {
      inner.walk((address) => roots.push(address));
      roots.splice(0).forEach(visit);
    });
    return { allocator, memory, largest: 240 * KIB, alignment: 4096, records: true };
  },
  "Arena over an ArrayBuffer": () => {
    const memory = new BufferMemory(new ArrayBuffer(1024 * KIB));
    return { allocator: new Arena(memory), memory, largest: 200 * KIB, alignment: 4096, records: false };
  },
  "Arena over numbers": () => ({
    allocator: new Arena(new NumberRange(0, 1024 * KIB), { chunkBytes: 1000 }),
    memory: null,
    largest: 200 * KIB,
    alignment: 4096,
    records: false,
  }),
};
