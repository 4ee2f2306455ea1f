/** Steps on objects: sizes, seals, write-back, pagers, and the change of one object for another. */
import { expect } from "vitest";

import { AnonymousObject, FileObject, PAGE_SIZE, PagerObject, type Seal } from "@pagewright/vmm";

import { contentOf, resizeObject, setValue } from "./naive.ts";
import { WORD, namedThing, pagedThing, sharedThing } from "./things.ts";
import type { Pair, Range, World } from "./world.ts";

/** Another size. */
export function resize(world: World): string {
  const named = world.things.filter(({ naive: { kind } }) => kind === "named");
  const { real, naive } = world.pick(world.next(3) === 0 ? named : world.things);
  if (!(real instanceof AnonymousObject) && !(real instanceof FileObject)) return "no resize";
  const pages = world.next(world.shape.objectPages);
  const isSealed =
    (pages < naive.pages && naive.seals.has("shrink")) || (pages > naive.pages && naive.seals.has("grow"));
  const outcome = real.resize(pages * PAGE_SIZE);
  if (isSealed) expect(outcome).toBe("sealed");
  else if (real instanceof AnonymousObject) expect(outcome).toBe("ok");
  if (outcome === "ok")
    resizeObject(
      naive,
      pages,
      world.spaces.map((pair) => pair.naive),
    );
  return `resize: ${outcome}`;
}

/** One more seal on shared memory with a name. */
export function seal(world: World): string {
  const { real, naive } = world.pick(world.things.filter((thing) => thing.naive.kind === "named"));
  if (!(real instanceof AnonymousObject)) throw new Error("only memory has seals");
  const wanted = world.pick<Seal>(["shrink", "grow", "future-write", "write", "write"]);
  const isStored = world.spaces.some((pair) =>
    [...pair.naive.pages.values()].some((page) => page.object === naive && page.shared && (page.ceiling & 2) !== 0),
  );
  const outcome = real.addSeals([wanted]);
  expect(outcome).toBe(wanted === "write" && isStored && !naive.seals.has("write") ? "busy" : "ok");
  if (outcome === "ok") naive.seals.add(wanted);
  return `seal ${wanted}: ${outcome}`;
}

/** An object is given up, mapped or not, and a new one takes its place. */
export function replace(world: World): string {
  const kinds = ["shared", "named", "paged"];
  const thing = world.pick(world.things.filter((one) => kinds.includes(one.naive.kind)));
  const pages = Math.max(10, world.shape.objectPages - 200);
  if (thing.name === "") thing.real.close();
  else expect(world.names.unlink(thing.name)).toBe("ok");
  world.retired = [...world.retired.filter(({ real }) => !real.isDestroyed), thing];
  const made =
    thing.naive.kind === "shared"
      ? sharedThing(world, pages)
      : thing.naive.kind === "named"
        ? namedThing(world, pages)
        : pagedThing(world, thing.naive.pages, world.next(2) === 0);
  world.things = world.things.map((one) => (one === thing ? made : one));
  return `replace ${thing.naive.kind}`;
}

/** Write-back of a range, of everything that is old, or of whole files that answer later; what is said to be written is. */
export async function sync(world: World, { real, naive }: Pair, { start, count }: Range): Promise<string> {
  if (world.next(3) === 0) {
    world.vmm.writeBackOlderThan(-1);
    return "write back";
  }
  let outcome = real.sync(start * PAGE_SIZE, count * PAGE_SIZE);
  for (let tries = 0; outcome === "pending" && tries < 4; tries++) {
    await real.pending;
    outcome = real.sync(start * PAGE_SIZE, count * PAGE_SIZE);
  }
  const pages = naive.mapped(start, count);
  if (pages.length < count) expect(outcome).toBe("unmapped");
  if (outcome !== "ok") return `sync: ${outcome}`;
  for (const page of pages) {
    const file = world.things.find((thing) => thing.naive === page.object)?.file;
    const content = page.object?.content.get(page.index);
    if (!page.shared || file === null || file === undefined || content === undefined || content.lost) continue;
    if (page.object === null || page.index >= page.object.pages) continue;
    const bytes = new Uint8Array(4);
    world.coin.off = true;
    file.read(page.index * PAGE_SIZE + WORD, bytes);
    world.coin.off = false;
    expect(new DataView(bytes.buffer).getUint32(0, true)).toBe(content.value);
  }
  return "sync";
}

/** What the owner of a pager does of its own accord: provides, poisons, wants to be asked before stores, or not any more. */
export function pagerStep(world: World): string {
  const { real, naive, asksAgain } = world.pick(world.things.filter((thing) => thing.naive.kind === "paged"));
  if (!(real instanceof PagerObject)) throw new Error("only a pager's object has a pager");
  const index = world.next(naive.pages);
  const dice = world.next(8);
  if (dice === 0 && naive.poisoned.size < 2) {
    real.poison(index);
    naive.poisoned.add(index);
    const content = naive.content.get(index);
    if (content !== undefined) content.owners = 0;
    naive.content.delete(index);
    return "poison";
  }
  if (dice < 3) {
    const page = new Uint8Array(PAGE_SIZE);
    const value = asksAgain ? naive.initial(index) : world.next(1000000000);
    new DataView(page.buffer).setUint32(WORD, value, true);
    const isThere = real.pages.get(index) !== -1;
    const outcome = real.provide(index, page);
    if (naive.poisoned.has(index)) expect(outcome).toBe("poisoned");
    else expect(isThere ? ["exists"] : ["ok", "no-memory"]).toContain(outcome);
    if (outcome === "ok") setValue(contentOf(naive, index), value);
    return `provide: ${outcome}`;
  }
  if (dice < 6) {
    real.protectPages(index, index + 4);
    for (let at = index; at < Math.min(index + 4, naive.pages); at++)
      if (real.pages.get(at) !== -1) naive.guarded.add(at);
    return "guard pages";
  }
  real.unprotectPages(index, index + 4);
  for (let at = index; at < index + 4; at++) naive.guarded.delete(at);
  return "unguard pages";
}
