/** Stacks of one to four wrappers, in any order, over every allocator that keeps records. */
import type { Allocator } from "@pagewright/heap";
import {
  Buddy,
  BufferMemory,
  CollectedHeap,
  DebugHeap,
  GeneralHeap,
  ObjectCache,
  OffsetAllocator,
  Pool,
  Profiler,
  Quota,
  SamplingGuard,
  SharedHeap,
  Statistics,
  Tlsf,
  Tracer,
} from "@pagewright/heap";
import type { AllocatorFixture } from "@pagewright/heap/testing";
import { FarMemory } from "./memories.ts";

const KIB = 1024;
const BYTES = 512 * KIB;
/** Blocks that each sampling guard has room for. */
const GUARDED = 4;

type Memory = BufferMemory | FarMemory;
type Random = () => number;

/** An allocator with the memory that its blocks, and guarded slots, lie in. */
interface Base {
  readonly allocator: Allocator;
  readonly memory: Memory;
  /** Of what is left when four debug heaps and guards have taken theirs. */
  readonly largest: number;
}

const buffer = (bytes: number = BYTES): BufferMemory => new BufferMemory(new ArrayBuffer(bytes));

/** What stacks stand on. */
export const bases: Readonly<Record<string, () => Base>> = {
  "the general heap": () => {
    const memory = buffer();
    return { allocator: new GeneralHeap(memory), memory, largest: 200 * KIB };
  },
  "the general heap over far memory": () => {
    const memory = new FarMemory(BYTES, -(2 ** 47));
    return { allocator: new GeneralHeap(memory, { chunkBytes: 8192 }), memory, largest: 200 * KIB };
  },
  TLSF: () => {
    const memory = buffer();
    return { allocator: new Tlsf(memory), memory, largest: 200 * KIB };
  },
  "a buddy": () => {
    const memory = buffer(2 * BYTES);
    return { allocator: new Buddy(memory, { bytes: BYTES }), memory, largest: 100 * KIB };
  },
  "the offset allocator": () => {
    const memory = buffer();
    return { allocator: new OffsetAllocator(memory), memory, largest: 150 * KIB };
  },
  "a shared heap": () => {
    const shared = new SharedArrayBuffer(BYTES);
    return { allocator: SharedHeap.create(shared, { slots: 2 }), memory: new BufferMemory(shared), largest: 100 * KIB };
  },
  "a collected heap": () => {
    const memory = buffer();
    const inner = new Tlsf(memory);
    const allocator = new CollectedHeap(inner, { trace: () => undefined });
    allocator.addRootScanner((visit) => {
      const roots: number[] = [];
      inner.walk((address) => roots.push(address));
      roots.forEach(visit);
    });
    return { allocator, memory, largest: 150 * KIB };
  },
  "a pool": () => {
    const memory = buffer();
    return { allocator: new Pool(memory, 256), memory, largest: 64 };
  },
  "an object cache": () => {
    const memory = buffer();
    return { allocator: new ObjectCache(memory, { objectBytes: 256 }), memory, largest: 64 };
  },
};

const wrappers: Readonly<Record<string, (inner: Allocator, memory: Memory, random: Random) => Allocator>> = {
  debug: (inner, memory, random) =>
    new DebugHeap(inner, memory, {
      quarantine: Math.floor(random() * 40),
      quarantineBytes: 2 ** (8 + Math.floor(random() * 8)),
      poisonBytes: random() < 0.2 ? Infinity : Math.floor(random() * 100),
    }),
  quota: (inner) => new Quota(inner, 300 * KIB),
  statistics: (inner) => new Statistics(inner),
  tracer: (inner) => new Tracer(inner),
  profiler: (inner, _memory, random) => new Profiler(inner, { random, intervalBytes: 4096, stack: () => [] }),
  guard: (inner, memory, random) => {
    const every = 1 + Math.floor(random() * 8);
    return new SamplingGuard(inner, memory, { protect: () => undefined }, { random, every, slots: GUARDED });
  },
};

/** Park and Miller's generator. */
function seeded(seed: number): Random {
  let state = seed;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}

/** A stack over a base: its name, from the outermost wrapper to the base, and a way to make it. */
export function stackOver(
  base: string,
  seed: number,
): { readonly name: string; readonly make: () => AllocatorFixture } {
  const random = seeded(seed * 7919 + base.length);
  const makeBase = bases[base];
  if (makeBase === undefined) throw new Error(`there is no base ${base}`);
  // A shared heap has all of its buffer: it leaves no room for guarded slots.
  const kinds = Object.entries(wrappers).filter(([name]) => name !== "guard" || base !== "a shared heap");
  const chosen = Array.from({ length: 1 + Math.floor(random() * 4) }, () => kinds[Math.floor(random() * kinds.length)]);
  const names = chosen.map((kind) => kind?.[0] ?? "");
  return {
    name: [...names, base].join(" over "),
    make: () => {
      const { allocator, memory, largest } = makeBase();
      return {
        allocator: chosen.reduceRight((inner, kind) => kind?.[1](inner, memory, random) ?? inner, allocator),
        memory,
        largest,
        alignment: largest > KIB ? KIB : 8,
        records: true,
        byChance: names.filter((name) => name === "guard").length * GUARDED,
      };
    },
  };
}
