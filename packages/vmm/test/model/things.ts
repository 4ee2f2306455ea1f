/** The objects of a world, real and naive side by side. */
import {
  BufferObject,
  PAGE_SIZE,
  type AnonymousObject,
  type AsyncFileObject,
  type FileObject,
  type MemoryBacking,
  type MemoryObject,
  type Pager,
  type PagerAnswer,
  type PagerObject,
  type SharedNames,
  type Vmm,
} from "@pagewright/vmm";

import { FlakyBacking, LateBacking, type Coin } from "./flaky.ts";
import { contentOf, type Kind, type NaiveObject } from "./naive.ts";

/** An object and its oracle. */
export interface Thing {
  readonly real: AnonymousObject | FileObject | AsyncFileObject | PagerObject | BufferObject;
  readonly naive: NaiveObject;
  /** What is in the file; null where there is none. */
  readonly file: MemoryBacking | null;
  /** The name that leads to it; empty: none. */
  readonly name: string;
  /** Whether its pager may be asked for the same page again, so that all it is told must be the same. */
  readonly asksAgain: boolean;
}

/** Offset of the word that stands for a page. */
export const WORD = 8;

/** What the makers of things have in common. */
export interface Workshop {
  readonly vmm: Vmm;
  readonly coin: Coin;
  readonly names: SharedNames;
  /** A number below a bound. */
  readonly next: (bound: number) => number;
}

/** Shared memory without a name. */
export function sharedThing({ vmm }: Workshop, pages: number): Thing {
  return {
    real: vmm.createAnonymous(pages * PAGE_SIZE),
    naive: naiveOf("shared", pages),
    file: null,
    name: "",
    asksAgain: false,
  };
}

/** Shared memory with a name, that can be sealed. */
export function namedThing({ vmm, next, names }: Workshop, pages: number): Thing {
  const name = `/memory ${next(1e9)}`;
  const handle = names.open(name, { create: true, exclusive: true });
  if (typeof handle === "string") throw new Error(handle);
  handle.resize(pages * PAGE_SIZE);
  const real = handle.object;
  if (vmm.core.objects.get(real.number) !== real) throw new Error("not an object of the manager");
  handle.close(); // The name is the handle that stays.
  return { real, naive: naiveOf("named", pages), file: null, name, asksAgain: false };
}

/** A file that answers at once. */
export function fileThing({ vmm, coin }: Workshop, pages: number): Thing {
  const backing = new FlakyBacking(pages * PAGE_SIZE, coin);
  const naive = naiveOf("file", pages);
  for (let index = 0; index < pages; index++) begin(backing, naive, index);
  return { real: vmm.openFile(backing), naive, file: backing, name: "", asksAgain: false };
}

/** A file that answers later. */
export function lateThing({ vmm, coin }: Workshop, pages: number): Thing {
  const backing = new LateBacking(pages * PAGE_SIZE, coin);
  const naive = naiveOf("late", pages);
  for (let index = 0; index < pages; index++) begin(backing.file, naive, index);
  return { real: vmm.openAsyncFile(backing), naive, file: backing.file, name: "", asksAgain: false };
}

/** Pages from a pager that fills them now or later, and does not always allow stores. `again`: it may be asked for the same page more than once. */
export function pagedThing({ vmm, coin, next }: Workshop, pages: number, again: boolean): Thing {
  const naive: NaiveObject = { ...naiveOf("paged", pages), initial: (index) => 500 + index };
  const pager: Pager = {
    request: (index, into): PagerAnswer | Promise<PagerAnswer> => {
      const isGivenUp = coin.fails();
      new DataView(into.buffer).setUint32(WORD, naive.initial(index), true);
      const answer = isGivenUp ? "poison" : "filled";
      return next(2) === 0 ? answer : Promise.resolve(answer);
    },
    writeFault: (index) => {
      if (next(2) === 0) return "deny";
      naive.guarded.delete(index);
      return "allow";
    },
  };
  return { real: vmm.createPaged(pages * PAGE_SIZE, pager, { again }), naive, file: null, name: "", asksAgain: again };
}

/** A buffer for a device; null where no run of frames is free. */
export function bufferThing({ vmm }: Workshop, pages: number): Thing | null {
  const outcome = vmm.allocateDmaBuffer({ bytes: pages * PAGE_SIZE });
  if (!outcome.ok) return null;
  return { real: outcome.buffer, naive: naiveOf("buffer", pages), file: null, name: "", asksAgain: false };
}

/** Whether an object's pages are frames of its own. */
export function isBuffer(object: MemoryObject): object is BufferObject {
  return object instanceof BufferObject;
}

function naiveOf(kind: Kind, pages: number): NaiveObject {
  return {
    kind,
    content: new Map(),
    initial: () => 0,
    seals: new Set(),
    poisoned: new Set(),
    guarded: new Set(),
    pages,
    type: 0,
  };
}

function begin(file: MemoryBacking, naive: NaiveObject, index: number): void {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, 1000 + index, true);
  file.write(index * PAGE_SIZE + WORD, bytes);
  contentOf(naive, index).value = 1000 + index;
}
