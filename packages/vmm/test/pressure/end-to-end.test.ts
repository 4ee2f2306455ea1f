/** What happens as memory runs out, in a manager as `new Vmm` makes it. */
import { describe, expect, test } from "vitest";

import {
  FrameReserve,
  ManualClock,
  MemorySwap,
  PAGE_SIZE,
  PlainMemory,
  SpaceMemory,
  Vmm,
  type AddressSpace,
  type PurgeableHandle,
  type SwapStore,
} from "@pagewright/vmm";
import { CompressedPool } from "@pagewright/vmm/swap";

import { spaceOf } from "../kit/rig.ts";

/** Maps `pages` pages and stores a number to each; the address. */
function filled(space: AddressSpace, pages: number): number {
  const at = Number(space.map({ bytes: pages * PAGE_SIZE }));
  const bytes = new SpaceMemory(space);
  for (let page = 0; page < pages; page++) bytes.store32(at + page * PAGE_SIZE, page + 1);
  return at;
}

describe("levels", () => {
  test("are told at each watermark on the way down, and on the way up only at the next one", () => {
    const memory = new PlainMemory(400);
    const vmm = new Vmm({ frames: memory, window: memory, swap: [new MemorySwap(400)], residentLimit: 128 });
    const seen: string[] = [];
    vmm.pressure.onLevel((level, free) => seen.push(`${level} ${String(free)}`));
    const space = spaceOf(vmm);
    const at = filled(space, 128);
    expect(vmm.pressure.level).toBe("min");
    vmm.background(2);
    expect(vmm.pressure.level).toBe("min"); // 2 frames are free: more than the low watermark would end it.
    vmm.background(3);
    expect(vmm.pressure.level).toBe("low");
    vmm.background(100);
    expect(vmm.pressure.level).toBe("none");
    expect(seen).toEqual(["min 0", "low 5", "none 8"]);
    space.unmap(at, 128 * PAGE_SIZE);
    vmm.check();
  });
});

describe("stalls", () => {
  test("count the time in which a store is waited for, by the clock", () => {
    const clock = new ManualClock();
    const slow: SwapStore = new (class extends MemorySwap {
      override write(slot: number, from: Uint8Array): "ok" | "full" | "failed" {
        clock.advance(3_000_000);
        return super.write(slot, from);
      }

      override read(slot: number, into: Uint8Array): "ok" | "full" | "failed" {
        clock.advance(5_000_000);
        return super.read(slot, into);
      }
    })(400);
    const memory = new PlainMemory(400);
    const vmm = new Vmm({ frames: memory, window: memory, swap: [slow], residentLimit: 64, clock });
    const space = spaceOf(vmm);
    const at = filled(space, 164);
    expect(vmm.stats.swapOuts).toBe(100);
    expect(vmm.pressure.some().totalNanoseconds).toBe(100 * 3_000_000);
    const before = vmm.pressure.some().totalNanoseconds;
    new SpaceMemory(space).load32(at);
    expect(vmm.pressure.some().totalNanoseconds - before).toBeGreaterThanOrEqual(5_000_000);
    expect(vmm.pressure.full().totalNanoseconds).toBe(vmm.pressure.some().totalNanoseconds);
    expect(vmm.pressure.some().average10).toBeGreaterThanOrEqual(0);
    vmm.check();
  });
});

describe("subscribers", () => {
  test("give back by priority before a page is swapped, in background work and at faults, and what each gave is known", () => {
    const memory = new PlainMemory(400);
    const vmm = new Vmm({ frames: memory, window: memory, swap: [new MemorySwap(400)], residentLimit: 64 });
    const owner = spaceOf(vmm);
    const cache = filled(owner, 24);
    const swapped: number[] = [];
    let given = 0;
    const shrinker = (name: string, priority: number, most: number): void => {
      let left = most;
      vmm.pressure.addShrinker({
        name,
        priority,
        shrink: (pages) => {
          swapped.push(vmm.stats.swapOuts);
          const gave = Math.min(pages, left);
          left -= gave;
          if (gave > 0) owner.unmap(cache + given * PAGE_SIZE, gave * PAGE_SIZE);
          given += gave;
          return gave;
        },
      });
    };
    shrinker("web", 2, 8);
    shrinker("files", 1, 16);
    const space = spaceOf(vmm);
    const at = filled(space, 64);
    expect(swapped[0]).toBe(0);
    const [files, web] = vmm.pressure.shrinkerStats();
    expect(files).toMatchObject({ name: "files", gave: 16 });
    expect(web).toMatchObject({ name: "web", gave: 8 });
    expect(vmm.stats.swapOuts).toBe(0);
    vmm.background(10);
    expect(vmm.pressure.lastRound).toMatchObject([
      { name: "files", gave: 0 },
      { name: "web", gave: 0 },
    ]);
    expect(vmm.stats.swapOuts).toBeGreaterThan(0); // Only now: nobody had anything left.
    const bytes = new SpaceMemory(space);
    for (let page = 0; page < 64; page++) expect(bytes.load32(at + page * PAGE_SIZE)).toBe(page + 1);
    vmm.check();
  });

  test("purgeable memory goes in background work before anything is written, and says so when held again", () => {
    const memory = new PlainMemory(400);
    const vmm = new Vmm({ frames: memory, window: memory, swap: [new MemorySwap(400)], residentLimit: 64 });
    const space = spaceOf(vmm);
    const at = filled(space, 64);
    const images = vmm.makePurgeable(space, at, 16 * PAGE_SIZE);
    expect(images.hold()).toBe("intact");
    images.release();
    images.release();
    expect(vmm.background(10)).toBeGreaterThan(0);
    expect(vmm.stats.swapOuts).toBe(0);
    expect(images.hold()).toBe("purged");
    expect(new SpaceMemory(space).load32(at)).toBe(0);
    vmm.check();
  });

  describe("purgeable memory is its pages, not its addresses:", () => {
    const purgeable = (): { vmm: Vmm; space: AddressSpace; at: number; handle: PurgeableHandle; press: () => void } => {
      const memory = new PlainMemory(400);
      const vmm = new Vmm({ frames: memory, window: memory, swap: [new MemorySwap(400)], residentLimit: 64 });
      const space = spaceOf(vmm);
      const at = Number(space.map({ bytes: 512 * PAGE_SIZE, alignment: 512 * PAGE_SIZE }));
      const bytes = new SpaceMemory(space);
      for (let page = 0; page < 8; page++) bytes.store32(at + page * PAGE_SIZE, page + 1);
      const handle = vmm.makePurgeable(space, at, 8 * PAGE_SIZE);
      handle.release();
      return { vmm, space, at, handle, press: () => filled(spaceOf(vmm), 100) };
    };
    const words = (space: AddressSpace, at: number): number[] =>
      [0, 1, 7].map((page) => new SpaceMemory(space).load32(at + page * PAGE_SIZE));

    test("what is mapped where one was unmapped is not dropped, and its owner is told that it is gone", () => {
      for (const pages of [8, 1]) {
        const { vmm, space, at, handle, press } = purgeable();
        space.unmap(at, pages * PAGE_SIZE);
        space.map({ address: at, bytes: pages * PAGE_SIZE, placement: "fixed" });
        for (const page of [0, 1, 7]) new SpaceMemory(space).store32(at + page * PAGE_SIZE, 100 + page);
        press();
        expect(words(space, at)).toEqual([100, 101, 107]);
        expect(handle.hold()).toBe("purged");
        vmm.check();
      }
    });

    test("one that moves is dropped where it is then, also in another space", () => {
      const { vmm, space, at, handle, press } = purgeable();
      const target = at - 2 ** 30;
      space.remap({ address: at, bytes: 8 * PAGE_SIZE, newBytes: 8 * PAGE_SIZE, mayMove: true, target });
      expect(handle.hold()).toBe("intact");
      handle.release();
      press();
      expect(words(space, target)).toEqual([0, 0, 0]);
      expect(handle.hold()).toBe("purged");
      vmm.check();
      const handed = purgeable();
      const other = spaceOf(handed.vmm);
      const there = Number(handed.space.transfer(handed.at, 512 * PAGE_SIZE, other));
      handed.press();
      expect(words(other, there)).toEqual([0, 0, 0]);
      expect(handed.handle.hold()).toBe("purged");
      handed.vmm.check();
    });

    test("one of which a part moves away is dropped no more", () => {
      const { vmm, space, at, handle, press } = purgeable();
      const target = at - 2 ** 30;
      space.remap({ address: at, bytes: 2 * PAGE_SIZE, newBytes: 2 * PAGE_SIZE, mayMove: true, target });
      press();
      expect([...words(space, target).slice(0, 2), words(space, at)[2]]).toEqual([1, 2, 8]);
      expect(handle.hold()).toBe("intact");
      vmm.check();
    });
  });

  test("purgeable memory whose space is in the middle of an operation is left alone, and dropped the next time", () => {
    const memory = new PlainMemory(400);
    const vmm = new Vmm({ frames: memory, window: memory, swap: [new MemorySwap(400)], residentLimit: 32 });
    const space = spaceOf(vmm);
    const at = filled(space, 16);
    const images = vmm.makePurgeable(space, at, 16 * PAGE_SIZE);
    images.release();
    const more = Number(space.map({ bytes: 24 * PAGE_SIZE }));
    expect(space.lock(more, 24 * PAGE_SIZE)).toBe("ok"); // Frames run short while the space is locking.
    expect(images.hold()).toBe("intact");
    const bytes = new SpaceMemory(space);
    for (let page = 0; page < 16; page++) expect(bytes.load32(at + page * PAGE_SIZE)).toBe(page + 1);
    images.release();
    filled(spaceOf(vmm), 8);
    expect(images.hold()).toBe("purged");
    for (let page = 0; page < 16; page++) expect(bytes.load32(at + page * PAGE_SIZE)).toBe(0);
    vmm.check();
  });
});

describe("when nothing can leave", () => {
  test("the manager's owner is told who should go and why, and the access goes on when it did", () => {
    const memory = new PlainMemory(200);
    const told: string[] = [];
    const spaces = new Map<number, AddressSpace>();
    const vmm = new Vmm({
      frames: memory,
      window: memory,
      residentLimit: 64,
      outOfMemory: (choice, needy) => {
        told.push(`${String(needy.asid)}: ${choice.scores[0]?.because ?? ""}`);
        if (choice.victim === null || choice.victim.id === needy.asid) return false;
        spaces.get(choice.victim.id)?.destroy();
        return true;
      },
    });
    const [hog, dear, needy] = [spaceOf(vmm), spaceOf(vmm), spaceOf(vmm)];
    for (const space of [hog, dear, needy]) spaces.set(space.asid, space);
    hog.name = "hog";
    dear.limits.outOfMemoryAdjustment = -1000;
    filled(dear, 30);
    filled(hog, 20);
    const at = filled(needy, 20);
    expect(told).toEqual(["3: hog would free 21: 20 resident + 0 swapped + 1 table pages"]);
    expect(hog.isDestroyed).toBe(true);
    expect(new SpaceMemory(needy).load32(at + 19 * PAGE_SIZE)).toBe(20);
    expect(vmm.chooseVictim().scores.map(({ candidate }) => candidate.name)).toEqual(["space 3", "space 2", "kernel"]);
    vmm.check();
  });

  test("an owner that throws is asked again the next time", () => {
    let asked = 0;
    const memory = new PlainMemory(100);
    const vmm = new Vmm({
      frames: memory,
      window: memory,
      residentLimit: 16,
      outOfMemory: () => {
        asked++;
        throw new Error("the owner's own");
      },
    });
    const space = spaceOf(vmm);
    for (let times = 0; times < 3; times++) expect(() => filled(space, 40)).toThrow("the owner's own");
    expect(asked).toBe(3);
    vmm.check();
  });

  test("a policy of one's own decides who should go", () => {
    const memory = new PlainMemory(200);
    const told: string[] = [];
    const vmm = new Vmm({
      frames: memory,
      window: memory,
      residentLimit: 64,
      outOfMemoryPolicy: {
        score: (candidate) =>
          candidate.exempt === undefined
            ? { candidate, score: -candidate.residentPages, because: `${candidate.name} is small` }
            : { candidate, score: -Infinity, because: candidate.exempt },
      },
      outOfMemory: ({ victim, scores }) => {
        told.push(scores[0]?.because ?? "");
        if (victim?.id !== small.asid) return false;
        small.destroy();
        return true;
      },
    });
    const [large, small, needy] = [spaceOf(vmm), spaceOf(vmm), spaceOf(vmm)];
    small.name = "small";
    filled(large, 49);
    filled(small, 5);
    const at = filled(needy, 15);
    expect(told).toEqual(["small is small"]);
    expect([large.isDestroyed, small.isDestroyed]).toEqual([false, true]);
    expect(new SpaceMemory(needy).load32(at + 14 * PAGE_SIZE)).toBe(15);
    vmm.check();
  });

  test("without such an owner the access ends as no-memory", () => {
    const memory = new PlainMemory(200);
    const vmm = new Vmm({ frames: memory, window: memory, residentLimit: 4 });
    const space = spaceOf(vmm);
    filled(space, 4);
    const more = Number(space.map({ bytes: PAGE_SIZE }));
    expect(space.fault(more, 2)).toBe("no-memory");
  });
});

describe("a reserve", () => {
  const stored = (reserved: boolean): number => {
    const memory = new PlainMemory(64);
    const frames = reserved ? new FrameReserve(memory, 4) : memory;
    const pool = new CompressedPool({ frames, window: memory, limitFrames: 40, slots: 1000 });
    const vmm = new Vmm({ frames, window: memory, swap: [pool] });
    const space = spaceOf(vmm);
    const bytes = new SpaceMemory(space);
    const at = Number(space.map({ bytes: 200 * PAGE_SIZE }));
    let done = 0;
    const fill = (page: number): boolean => {
      for (let word = 0; word < 1024; word += 8)
        if (!bytes.store32(at + page * PAGE_SIZE + word * 4, page + word)) return false;
      return true;
    };
    while (done < 200 && fill(done)) done++;
    for (let page = 0; page < done; page++) expect(bytes.load32(at + page * PAGE_SIZE + 32)).toBe(page + 8);
    vmm.check();
    pool.check();
    return done;
  };

  test("lets reclaim compress the first page though no frame is free; without one nothing can leave", () => {
    expect(stored(false)).toBeLessThan(70);
    expect(stored(true)).toBe(200);
  });
});
