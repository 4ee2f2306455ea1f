import { expect, test } from "vitest";

import { PlainMemory, Vmm, type AddressSpace, type Pager, type PagerObject } from "@pagewright/vmm";

const P = 4096;

/** A space with `pages` pages of a pager that answers later; `frames` frames in all. */
function laterSpace(
  pages: number,
  frames: number,
  pager?: Pager,
): { vmm: Vmm; space: AddressSpace; object: PagerObject; at: number; asked: number[] } {
  const memory = new PlainMemory(frames);
  const vmm = new Vmm({ frames: memory, window: memory, zeroFrame: false });
  const space = vmm.createSpace();
  if (space === null) throw new Error("no frame for a space");
  const asked: number[] = [];
  const object = vmm.createPaged(
    pages * P,
    pager ?? {
      request: async (index, into) => {
        asked.push(index);
        await Promise.resolve();
        into.fill(index + 1);
        return "filled" as const;
      },
    },
    { again: true },
  );
  const at = space.map({ bytes: pages * P, object, shared: true });
  if (typeof at === "string") throw new Error(at);
  return { vmm, space, object, at, asked };
}

test("work over absent pages is repeated until all of them are there", async () => {
  const { vmm, space, at, asked } = laterSpace(5, 16);
  const outcome = await space.run((memory) => {
    let sum = 0;
    for (let page = 0; page < 5; page++) sum += memory.load8(at + page * P);
    return sum;
  });
  expect(outcome).toEqual({ done: true, value: 15, rounds: 6 });
  expect(asked).toEqual([0, 1, 2, 3, 4]);
  expect(vmm.reclaim(100)).toBe(5);
  vmm.check();
});

test("pages that the work has touched stay until it has run through, and work that needs more than there is says so", async () => {
  const { vmm, space, at } = laterSpace(8, 4);
  const fits = await space.run((memory) => memory.load8(at) + memory.load8(at + 3 * P));
  expect(fits).toMatchObject({ done: true, value: 5 });
  const tooMuch = await space.run((memory) => {
    for (let page = 0; page < 8; page++) memory.load8(at + page * P);
  });
  expect(tooMuch.done).toBe(false);
  expect(vmm.reclaim(100)).toBeGreaterThan(0);
  vmm.check();
});

test("a page that never stays is lack of progress, not a loop", async () => {
  const { vmm, space, at } = laterSpace(1, 8, {
    request: async () => {
      await Promise.resolve();
      return "filled" as const;
    },
  });
  const run = space.run((memory) => {
    vmm.reclaim(8);
    return memory.load8(at);
  });
  expect(await run).toEqual({ done: false, reason: "no-progress", address: at });
  vmm.check();
});

test("a failed request is one bus error, after which the page is asked for again", async () => {
  let fails = true;
  const { space, at } = laterSpace(1, 8, {
    request: async (_index, into) => {
      await Promise.resolve();
      if (fails) throw new Error("lost");
      into.fill(7);
      return "filled" as const;
    },
  });
  const first = await space.run((memory) => [memory.load8(at), memory.fault]);
  expect(first).toMatchObject({ done: true, value: [-1, "bus"] });
  fails = false;
  expect(await space.run((memory) => memory.load8(at))).toMatchObject({ done: true, value: 7 });
});

test("poison makes a page's every access a bus error, also where it is mapped already", () => {
  const { vmm, space, object, at } = laterSpace(2, 8);
  object.provide(0, new Uint8Array(P).fill(3));
  expect(space.populateNow(at, P, 1)).toBe("ok");
  object.poison(0);
  expect(space.fault(at, 1)).toBe("bus");
  expect(object.provide(0, new Uint8Array(P))).toBe("poisoned");
  expect(() => {
    object.poison(2);
  }).toThrow(expect.objectContaining({ code: "out-of-range" }));
  vmm.check();
});

test("what the work throws, the run throws, and nothing stays pinned", async () => {
  const { vmm, space, at } = laterSpace(1, 8);
  await expect(
    space.run((memory) => {
      memory.load8(at);
      throw new Error("mine");
    }),
  ).rejects.toThrow("mine");
  expect(vmm.reclaim(8)).toBe(1);
  vmm.check();
});

test("a range larger than memory is populated by going through it once", async () => {
  const { vmm, space, at, asked } = laterSpace(40, 16);
  expect(await space.populate(at, 40 * P, 1)).toBe("ok");
  expect([...asked].sort((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, page) => page));
  vmm.check();
});
