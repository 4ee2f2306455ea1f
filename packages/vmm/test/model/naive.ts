/**
 * The oracle: spaces as Maps from page to what lies there, every byte that matters kept as a number per page. No frames, no laziness.
 *
 * A page's content is one number (the 32 bits at its offset 8) with an identity, so that who shares it with whom can be compared too: a clone shares all private
 * contents, and a store makes a new one exactly where another owner is left.
 */
import { EXECUTE, READ, WRITE, type MemoryType, type Seal } from "@pagewright/vmm";

/** What a page holds. */
export class Content {
  value: number;
  /** Pages of spaces that share it as their own, or 1 for an object's. */
  owners = 0;
  /** Transfers under way. */
  pins = 0;
  /** The manager's record of it, −1 until it has been seen. */
  page = -1;
  /** Advised away: it may read as zero at any moment, until it is stored to. */
  mayVanish = false;
  /** The store lost it: every access is a bus error. */
  lost = false;

  /** A content that nobody has yet. */
  constructor(value: number) {
    this.value = value;
  }
}

/** What kind of thing an object is in this world. */
export type Kind = "shared" | "named" | "file" | "late" | "paged" | "buffer";

/** An object: content by page where it is not what it was at first, and how many pages it has. */
export interface NaiveObject {
  readonly kind: Kind;
  readonly content: Map<number, Content>;
  /** What a page holds before anybody stores to it. */
  readonly initial: (index: number) => number;
  readonly seals: Set<Seal>;
  /** Pages whose access is a bus error. */
  readonly poisoned: Set<number>;
  /** Pages that a pager wants to be asked about before they are stored to. */
  readonly guarded: Set<number>;
  pages: number;
  /** The memory type that all its regions have. */
  type: MemoryType;
}

/** A mapped page. */
export interface NaivePage {
  rights: number;
  /** The most that rights may become. */
  readonly ceiling: number;
  readonly shared: boolean;
  readonly object: NaiveObject | null;
  readonly index: number;
  /** Whether its object's pager is asked before stores. */
  readonly notifies: boolean;
  /** Private content; null: not stored to yet. */
  own: Content | null;
  type: MemoryType;
  locked: boolean;
  guard: boolean;
  skipped: boolean;
  wiped: boolean;
}

/** What a load or store comes to. */
export type NaiveOutcome = "ok" | "unmapped" | "rights" | "bus";

/** How pages are mapped. */
export interface NaiveTraits {
  readonly rights: number;
  readonly ceiling?: number;
  readonly object?: NaiveObject | null;
  readonly index?: number;
  readonly shared?: boolean;
  readonly notifies?: boolean;
  readonly type?: MemoryType;
}

/** A space as a Map. */
export class NaiveSpace {
  readonly pages: Map<number, NaivePage> = new Map();

  map(start: number, count: number, traits: NaiveTraits): void {
    const { rights, ceiling = READ + WRITE + EXECUTE, object = null, index = 0, shared = false } = traits;
    this.unmap(start, count);
    for (let at = 0; at < count; at++)
      this.pages.set(start + at, {
        rights,
        ceiling,
        shared,
        object,
        index: index + at,
        notifies: traits.notifies ?? false,
        own: null,
        type: traits.type ?? 0,
        locked: false,
        guard: false,
        skipped: false,
        wiped: false,
      });
  }

  unmap(start: number, count: number): void {
    for (const page of this.mapped(start, count)) setOwn(page, null);
    for (let at = 0; at < count; at++) this.pages.delete(start + at);
  }

  /** The mapped pages of a range. */
  mapped(start: number, count: number): NaivePage[] {
    const found: NaivePage[] = [];
    for (let at = 0; at < count; at++) {
      const page = this.pages.get(start + at);
      if (page !== undefined) found.push(page);
    }
    return found;
  }

  isMapped(start: number, count: number): boolean {
    return this.mapped(start, count).length === count;
  }

  /** Private pages lose their content. */
  forget(start: number, count: number): void {
    for (const page of this.mapped(start, count)) setOwn(page, null);
  }

  /** Moves pages, those of another space too, over whatever is there. */
  move(start: number, count: number, to: number, into: NaiveSpace = this): void {
    const moved: [number, NaivePage][] = [];
    for (let at = 0; at < count; at++) {
      const page = this.pages.get(start + at);
      if (page !== undefined) moved.push([to + at, page]);
      this.pages.delete(start + at);
    }
    into.unmap(to, count);
    for (const [vpn, page] of moved) into.pages.set(vpn, page);
  }

  clone(): NaiveSpace {
    const copy = new NaiveSpace();
    for (const [vpn, page] of this.pages) {
      if (page.skipped) continue;
      const other = { ...page, own: null, locked: false, guard: page.guard && !page.wiped };
      const isInTransfer = page.own !== null && page.own.pins > 0;
      if (!page.wiped) setOwn(other, isInTransfer ? copyOf(page.own) : page.own);
      copy.pages.set(vpn, other);
    }
    return copy;
  }

  access(vpn: number, need: number): NaiveOutcome {
    const page = this.pages.get(vpn);
    if (page === undefined) return "unmapped";
    if (page.guard || (page.rights & need) !== need) return "rights";
    const { object, index, own } = page;
    if (own !== null) return own.lost ? "bus" : "ok";
    if (object === null) return "ok";
    if (index >= object.pages || object.poisoned.has(index)) return "bus";
    return object.content.get(index)?.lost === true ? "bus" : "ok";
  }

  load(vpn: number): number {
    const page = this.pages.get(vpn);
    if (page === undefined) return 0;
    return page.own?.value ?? (page.object === null ? 0 : valueOf(page.object, page.index));
  }

  store(vpn: number, value: number): void {
    const page = this.pages.get(vpn);
    if (page === undefined) return;
    if (page.shared && page.object !== null) setValue(contentOf(page.object, page.index), value);
    else if (page.own !== null && page.own.owners === 1) setValue(page.own, value);
    else setOwn(page, new Content(value));
  }
}

/** Gives a page another private content, or none. */
export function setOwn(page: NaivePage, own: Content | null): void {
  if (page.own !== null) page.own.owners--;
  page.own = own;
  if (own !== null) own.owners++;
}

/** A content of its own with the same value. */
export function copyOf(content: Content | null): Content | null {
  if (content === null) return null;
  const copy = new Content(content.value);
  copy.lost = content.lost;
  copy.mayVanish = content.mayVanish;
  return copy;
}

/** What a page of an object holds now. */
export function valueOf(object: NaiveObject, index: number): number {
  return object.content.get(index)?.value ?? object.initial(index);
}

/** The content of a page of an object, made if it is still what it was at first. */
export function contentOf(object: NaiveObject, index: number): Content {
  let content = object.content.get(index);
  if (content === undefined) {
    content = new Content(object.initial(index));
    content.owners = 1;
    object.content.set(index, content);
  }
  return content;
}

/** Stores to a content. */
export function setValue(content: Content, value: number): void {
  content.value = value;
  content.mayVanish = false;
}

/** A change of size: pages beyond are gone, private copies of them too. */
export function resizeObject(object: NaiveObject, pages: number, spaces: Iterable<NaiveSpace>): void {
  if (pages < object.pages) {
    for (const [index, content] of [...object.content])
      if (index >= pages) {
        content.owners = 0;
        object.content.delete(index);
      }
    for (const space of spaces)
      for (const page of space.pages.values())
        if (page.object === object && page.index >= pages && page.own !== null) setOwn(page, null);
  }
  object.pages = pages;
}

/** The rights that a random program asks for. */
export const RIGHTS: readonly number[] = [0, READ, READ + WRITE, READ + WRITE, READ + WRITE, READ + EXECUTE];
