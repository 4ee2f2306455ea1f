/**
 * What an operation on a range cannot do to all of it, it does to none of it: each operation on a range of several regions, refused because of the last one, because
 * of a hole before that, because of a limit, or because frames run out on the way.
 */
import { describe, expect, test } from "vitest";

import {
  EXECUTE,
  FileObject,
  MemoryBacking,
  MemorySwap,
  PAGE_SIZE,
  PlainMemory,
  READ,
  SpaceMemory,
  UNCACHED,
  Vmm,
  WRITE,
  WRITE_COMBINING,
  type AddressSpace,
  type Advice,
  type VmmOptions,
} from "@pagewright/vmm";

import { spaceOf } from "./kit/rig.ts";

const P = PAGE_SIZE;
/** A page table's first page, so that whole tables can be asked for. */
const BASE = 4096;
const at = (page: number): number => (BASE + page) * P;
/** Pages of the neighbourhood: everything that any operation here may reach. */
const PAGES = 1100;

interface Scene {
  readonly vmm: Vmm;
  readonly memory: PlainMemory;
  readonly backing: Noting;
  readonly space: AddressSpace;
  readonly other: AddressSpace;
}

/** A file that counts what is written to it. */
class Noting extends MemoryBacking {
  written = 0;
  override write(offset: number, from: Uint8Array): "ok" | "failed" {
    this.written++;
    return super.write(offset, from) === "ok" ? "ok" : "failed";
  }
}

/**
 * Pages 0 to 4 private, stored to; 4 to 8 a file, shared, stored to; 8 to 10 a hole; 10 to 14 shared memory that may only be read; 14 to 18 a sealed private region;
 * 18 to 20 a private mapping of the file.
 */
function scene(options: Partial<VmmOptions> = {}, frames = 64): Scene {
  const memory = new PlainMemory(frames);
  const vmm = new Vmm({
    frames: memory,
    window: memory,
    swap: [new MemorySwap(64)],
    commit: "strict",
    commitLimit: 2000,
    ...options,
  });
  const [space, other] = [spaceOf(vmm), spaceOf(vmm)];
  const backing = new Noting(4 * P);
  const file = vmm.openFile(backing);
  const shared = vmm.createAnonymous(4 * P);
  const fixed = { placement: "fixed" } as const;
  space.map({ address: at(0), bytes: 4 * P, ...fixed });
  space.map({ address: at(4), bytes: 4 * P, object: file, shared: true, ...fixed });
  space.map({ address: at(10), bytes: 4 * P, object: shared, shared: true, rights: READ, ceiling: READ, ...fixed });
  space.map({ address: at(14), bytes: 4 * P, ...fixed });
  space.map({ address: at(18), bytes: 2 * P, object: file, offset: 2 * P, ...fixed });
  const bytes = new SpaceMemory(space);
  for (const page of [0, 1, 2, 3, 4, 5, 6, 7, 14, 15, 18]) bytes.store32(at(page), page + 100);
  space.seal(at(14), 4 * P);
  return { vmm, memory, backing, space, other };
}

/** Everything that can be said of both spaces without changing it. */
function snapshot({ vmm, memory, backing, space, other }: Scene): unknown {
  vmm.check();
  const spaceFacts = [space, other].map((one) => {
    const regions = one.regions.within(one.low, one.high).map((region) => {
      const { start, end, offset, rights, ceiling, type, shared, locked, pattern, sealed, accounted, large } = region;
      const { leftOutOfClones, wipedInClones, object } = region;
      const treatment = { leftOutOfClones, wipedInClones, large, pattern, accounted, sealed };
      return {
        start,
        end,
        offset,
        rights,
        ceiling,
        type,
        shared,
        locked,
        object: object?.number ?? null,
        ...treatment,
      };
    });
    const pages: unknown[] = [];
    for (let page = 0; page < PAGES; page++) {
      const vpn = BASE + page;
      const anon = one.sheets.get(vpn)?.anons[vpn & 511] ?? -1;
      if (one.regions.find(vpn) === null) continue;
      pages.push([page, anon, vmm.core.pages.refs[anon] ?? 0, vmm.core.pages.holds[anon] ?? 0]);
    }
    return { regions, pages, mapped: one.mappedPages, locked: one.lockedPages, sharedTables: one.sharedTables };
  });
  const reads = new SpaceMemory(space);
  const words = Array.from({ length: 20 }, (_, page) => reads.load32(at(page)));
  const standing = { charged: vmm.commit.charged, taken: memory.totalFrames - memory.freeFrames };
  return { spaceFacts, words, standing, written: backing.written };
}

/** Runs an operation that is refused, and looks whether anything is another. */
function expectNothing(of: Scene, refusal: unknown, operation: (scene: Scene) => unknown): void {
  snapshot(of); // What is loaded for the first time comes in here.
  const before = snapshot(of);
  expect(operation(of)).toEqual(refusal);
  expect(snapshot(of)).toEqual(before);
}

describe("with a hole in the range", () => {
  const whole = [at(0), 14 * P] as const;
  const cases: Record<string, (scene: Scene) => unknown> = {
    protect: ({ space }) => space.protect(...whole, READ),
    lock: ({ space }) => space.lock(...whole),
    "lock what is touched": ({ space }) => space.lock(...whole, "touched"),
    unlock: ({ space }) => space.unlock(...whole),
    sync: ({ space }) => space.sync(...whole),
    seal: ({ space }) => space.seal(...whole),
    setMemoryType: ({ space }) => space.setMemoryType(...whole, UNCACHED),
    discard: ({ space }) => space.discard(...whole),
    residency: ({ space }) => space.residency(...whole, new Uint8Array(14)),
    "remap, in place": ({ space }) => space.remap({ address: at(0), bytes: 14 * P, newBytes: 2 * P }),
    "remap, elsewhere": ({ space }) =>
      space.remap({ address: at(0), bytes: 14 * P, newBytes: 14 * P, mayMove: true, target: at(600) }),
    "remap, source kept": ({ space }) =>
      space.remap({
        address: at(0),
        bytes: 14 * P,
        newBytes: 14 * P,
        mayMove: true,
        target: at(600),
        keepSource: true,
      }),
    transfer: ({ space, other }) => space.transfer(at(0), 512 * P, other),
    share: ({ space, other }) => space.share(at(0), 512 * P, other),
  };
  for (const [name, operation] of Object.entries(cases))
    test(name, () => {
      const of = scene();
      if (name === "unlock") of.space.lock(at(0), 2 * P);
      expectNothing(of, "unmapped", operation);
    });
  const advice: readonly Advice[] = [
    ...(["normal", "sequential", "random", "will-need", "dont-need", "dont-need-locked", "free", "cold"] as const),
    ...(["page-out", "remove", "large", "no-large", "wipe-on-clone", "keep-on-clone", "no-clone", "clone"] as const),
    ...(["guard", "no-guard", "populate-read", "populate-write"] as const),
  ];
  for (const one of advice)
    test(`advice ${one}`, () => {
      expectNothing(scene(), "unmapped", ({ space }) => space.advise(...whole, one));
    });
});

describe("because of the last region of the range", () => {
  const filled = (of: Scene): Scene => {
    of.space.map({ address: at(8), bytes: 2 * P, placement: "fixed" });
    return of;
  };
  const cases: Record<string, [refusal: unknown, operation: (scene: Scene) => unknown]> = {
    "protect: its ceiling": ["rights", ({ space }) => space.protect(at(0), 14 * P, READ + WRITE)],
    "protect: its seal": ["sealed", ({ space }) => space.protect(at(0), 18 * P, READ)],
    "unmap: its seal": ["sealed", ({ space }) => space.unmap(at(0), 18 * P)],
    "makeUnusable: its seal": ["sealed", ({ space }) => space.makeUnusable(at(0), 18 * P)],
    "map over: its seal": ["sealed", ({ space }) => space.map({ address: at(0), bytes: 18 * P, placement: "fixed" })],
    "map over: the end of the space": [
      "out-of-bounds",
      ({ space }) => space.map({ address: (space.high - 2) * P, bytes: 3 * P, placement: "fixed" }),
    ],
    "map new: something is there": [
      "exists",
      ({ space }) =>
        space.map({ address: at(20), bytes: P, placement: "fixed" }) === at(20)
        && space.unmap(at(20), P) === "ok"
        && space.map({ address: at(19), bytes: 4 * P, placement: "fixed-new" }),
    ],
    "remap: its seal": [
      "sealed",
      ({ space }) => space.remap({ address: at(0), bytes: 18 * P, newBytes: 18 * P, mayMove: true, target: at(600) }),
    ],
    "remap: the target's seal": [
      "sealed",
      ({ space }) => space.remap({ address: at(0), bytes: 4 * P, newBytes: 4 * P, mayMove: true, target: at(12) }),
    ],
    "remap: growth of several": [
      "mixed",
      ({ space }) => space.remap({ address: at(0), bytes: 8 * P, newBytes: 30 * P, mayMove: true }),
    ],
    "remap: in its own way": [
      "overlap",
      ({ space }) => space.remap({ address: at(0), bytes: 8 * P, newBytes: 8 * P, mayMove: true, target: at(4) }),
    ],
    "advice free: not anonymous": ["not-anonymous", ({ space }) => space.advise(at(0), 8 * P, "free")],
    "advice wipe: not anonymous": ["not-anonymous", ({ space }) => space.advise(at(0), 8 * P, "wipe-on-clone")],
    "advice remove: not shared": ["not-shared", ({ space }) => space.advise(at(4), 6 * P, "remove")],
    "setMemoryType: a private file": ["not-anonymous", ({ space }) => space.setMemoryType(at(18), 2 * P, UNCACHED)],
    "setMemoryType: its seal": ["sealed", ({ space }) => space.setMemoryType(at(0), 20 * P, WRITE_COMBINING)],
    "lock: beyond the end of the file": [
      "bus",
      (of) => {
        of.space.map({ address: at(20), bytes: P, placement: "fixed" });
        const outcome = of.space.lock(at(18), 3 * P);
        of.space.unmap(at(20), P);
        return outcome;
      },
    ],
  };
  for (const [name, [refusal, operation]] of Object.entries(cases))
    test(name, () => {
      const of = filled(scene());
      if (name.startsWith("lock")) {
        // The file ends in the middle of its private mapping: what is locked first has been faulted in by the snapshot.
        const object = [...of.vmm.core.objects.values()].find((each) => each instanceof FileObject);
        if (object === undefined) throw new Error("no file");
        expect(object.resize(3 * P)).toBe("ok");
      }
      expectNothing(of, refusal, operation);
    });
});

describe("because of a limit", () => {
  const cases: Record<string, [refusal: unknown, limit: (scene: Scene) => void, operation: (scene: Scene) => unknown]> =
    {
      "protect: regions": [
        "region-limit",
        ({ space }) => (space.limits.regions = space.regions.count),
        ({ space }) => space.protect(at(1), 5 * P, READ),
      ],
      "unmap in the middle: regions": [
        "region-limit",
        ({ space }) => (space.limits.regions = space.regions.count),
        ({ space }) => space.unmap(at(1), P),
      ],
      "map over the middle: regions": [
        "region-limit",
        ({ space }) => (space.limits.regions = space.regions.count),
        ({ space }) => space.map({ address: at(1), bytes: P, placement: "fixed", rights: READ }),
      ],
      "advice: regions": [
        "region-limit",
        ({ space }) => (space.limits.regions = space.regions.count),
        ({ space }) => space.advise(at(1), 5 * P, "sequential"),
      ],
      "remap: pages": [
        "size-limit",
        ({ space }) => (space.limits.pages = space.mappedPages),
        ({ space }) => space.remap({ address: at(0), bytes: 4 * P, newBytes: 9 * P, mayMove: true }),
      ],
      "makeUsable: pages": [
        "size-limit",
        ({ space }) => (space.limits.pages = space.mappedPages + 1),
        ({ space }) => space.makeUsable(at(0), 10 * P, READ),
      ],
      "lock: locked pages": [
        "lock-limit",
        ({ space }) => (space.limits.lockedPages = 6),
        ({ space }) => space.lock(at(0), 8 * P),
      ],
      "lock all: locked pages": [
        "lock-limit",
        ({ space }) => (space.limits.lockedPages = 6),
        ({ space }) => space.lockAll(true, "all"),
      ],
      "map: promised pages": ["commit-limit", () => undefined, ({ space }) => space.map({ bytes: 3000 * P })],
      "protect: promised pages": [
        "commit-limit",
        ({ space }) => space.map({ address: at(20), bytes: 1995 * P, rights: READ + EXECUTE, placement: "fixed" }),
        ({ space }) => space.protect(at(18), 1997 * P, READ + WRITE),
      ],
      "remap: promised pages": [
        "commit-limit",
        () => undefined,
        ({ space }) => space.remap({ address: at(0), bytes: 4 * P, newBytes: 3000 * P, mayMove: true }),
      ],
    };
  for (const [name, [refusal, limit, operation]] of Object.entries(cases))
    test(name, () => {
      const of = scene();
      limit(of);
      expectNothing(of, refusal, operation);
    });
});

describe("because frames run out on the way, of which nobody can give one up", () => {
  const cases: Record<string, (scene: Scene) => unknown> = {
    lock: ({ space }) => space.lock(at(30), 32 * P),
    "advice populate-write": ({ space }) => space.advise(at(30), 32 * P, "populate-write"),
    makeUsable: ({ space }) => space.makeUsable(at(30), 40 * P, READ + WRITE),
  };
  for (const [name, operation] of Object.entries(cases))
    test(name, () => {
      const of = scene({ swap: [] }, 24);
      of.space.map({ address: at(30), bytes: 32 * P, placement: "fixed" });
      const bytes = new SpaceMemory(of.space);
      for (let page = 30; page < 36; page++) bytes.store32(at(page), page);
      const regions = (): unknown =>
        of.space.regions.within(of.space.low, of.space.high).map(({ start, end, locked }) => [start, end, locked]);
      const before = [regions(), of.space.mappedPages, of.space.lockedPages, of.vmm.commit.charged];
      expect(operation(of)).toBe("no-memory");
      expect([regions(), of.space.mappedPages, of.space.lockedPages, of.vmm.commit.charged]).toEqual(before);
      for (let page = 30; page < 36; page++) expect(bytes.load32(at(page))).toBe(page);
      of.vmm.check();
    });
});
