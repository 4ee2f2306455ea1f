/**
 * The oracle: spaces as Maps from page to what lies there, every byte that matters kept as a number per page. No frames, no sharing, no laziness.
 *
 * A page's content is one number (the 32 bits at its offset 8). Objects are arrays of numbers; private pages are numbers of their own.
 */
import { EXECUTE, READ, WRITE } from "@pagewright/vmm";

/** An object: content by page, and how many pages it has. */
export interface NaiveObject {
  readonly content: Map<number, number>;
  pages: number;
  /** Whether the object outlives eviction in a file: only told apart for messages. */
  readonly name: string;
}

/** A mapped page. */
export interface NaivePage {
  rights: number;
  readonly shared: boolean;
  readonly object: NaiveObject | null;
  readonly index: number;
  /** Private content; undefined: not stored to yet. */
  own: number | undefined;
}

/** What a load or store comes to. */
export type NaiveOutcome = "ok" | "unmapped" | "rights" | "bus";

/** A space as a Map. */
export class NaiveSpace {
  readonly pages: Map<number, NaivePage> = new Map();

  map(start: number, count: number, rights: number, object: NaiveObject | null, index: number, shared: boolean): void {
    for (let at = 0; at < count; at++)
      this.pages.set(start + at, { rights, shared, object, index: index + at, own: undefined });
  }

  unmap(start: number, count: number): void {
    for (let at = 0; at < count; at++) this.pages.delete(start + at);
  }

  isMapped(start: number, count: number): boolean {
    for (let at = 0; at < count; at++) if (!this.pages.has(start + at)) return false;
    return true;
  }

  protect(start: number, count: number, rights: number): boolean {
    if (!this.isMapped(start, count)) return false;
    for (let at = 0; at < count; at++) {
      const page = this.pages.get(start + at);
      if (page !== undefined) page.rights = rights;
    }
    return true;
  }

  /** Private pages lose their content. */
  forget(start: number, count: number): boolean {
    if (!this.isMapped(start, count)) return false;
    for (let at = 0; at < count; at++) {
      const page = this.pages.get(start + at);
      if (page !== undefined) page.own = undefined;
    }
    return true;
  }

  move(start: number, count: number, to: number): boolean {
    if (!this.isMapped(start, count)) return false;
    const moved: [number, NaivePage][] = [];
    for (let at = 0; at < count; at++) {
      const page = this.pages.get(start + at);
      if (page !== undefined) moved.push([to + at, page]);
      this.pages.delete(start + at);
    }
    this.unmap(to, count);
    for (const [vpn, page] of moved) this.pages.set(vpn, page);
    return true;
  }

  clone(): NaiveSpace {
    const copy = new NaiveSpace();
    for (const [vpn, page] of this.pages) copy.pages.set(vpn, { ...page });
    return copy;
  }

  /** Whether a private page that may be stored to still shows its object. */
  follows(vpn: number): boolean {
    const page = this.pages.get(vpn);
    return (
      page !== undefined
      && !page.shared
      && page.object !== null
      && page.own === undefined
      && (page.rights & WRITE) !== 0
    );
  }

  /** Makes what a private page shows its own content. */
  copy(vpn: number): void {
    const page = this.pages.get(vpn);
    if (page !== undefined) page.own = this.load(vpn);
  }

  access(vpn: number, need: number): NaiveOutcome {
    const page = this.pages.get(vpn);
    if (page === undefined) return "unmapped";
    if ((page.rights & need) !== need) return "rights";
    if (page.object !== null && page.own === undefined && page.index >= page.object.pages) return "bus";
    return "ok";
  }

  load(vpn: number): number {
    const page = this.pages.get(vpn);
    if (page === undefined) return 0;
    return page.own ?? page.object?.content.get(page.index) ?? 0;
  }

  store(vpn: number, value: number): void {
    const page = this.pages.get(vpn);
    if (page === undefined) return;
    if (page.shared && page.object !== null) page.object.content.set(page.index, value);
    else page.own = value;
  }
}

/** A change of size: pages beyond are gone, private copies of them too. */
export function resizeObject(object: NaiveObject, pages: number, spaces: Iterable<NaiveSpace>): void {
  if (pages < object.pages) {
    for (const index of [...object.content.keys()]) if (index >= pages) object.content.delete(index);
    for (const space of spaces)
      for (const page of space.pages.values()) if (page.object === object && page.index >= pages) page.own = undefined;
  }
  object.pages = pages;
}

/** The rights that a random program asks for. */
export const RIGHTS: readonly number[] = [0, READ, READ + WRITE, READ + WRITE, READ + WRITE, READ + EXECUTE];
