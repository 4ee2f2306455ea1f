/**
 * One thing for each page table of a space, by number: the first page divided by 512.
 *
 * ```
 *  floor(number / 512) → folder: 512 things, 1 GiB of pages          a folder changes hands whole
 * ```
 */
import { TABLE_PAGES } from "../units.ts";

/** Tables in a folder. */
const FOLDER_TABLES: number = TABLE_PAGES;

/** Things by table number. */
export class TableMap<T extends object> {
  readonly #folders: Map<number, (T | null)[]> = new Map();
  #count = 0;

  /** Things in the map. */
  get count(): number {
    return this.#count;
  }

  /** The thing of a number, null if there is none. */
  get(number: number): T | null {
    const folder = this.#folders.get(Math.floor(number / FOLDER_TABLES));
    return folder === undefined ? null : (folder[number & (FOLDER_TABLES - 1)] ?? null);
  }

  /** Puts a thing at a number, in place of what is there. */
  set(number: number, thing: T): void {
    const at = number & (FOLDER_TABLES - 1);
    const folder = this.#folder(Math.floor(number / FOLDER_TABLES));
    if ((folder[at] ?? null) === null) this.#count++;
    folder[at] = thing;
  }

  #folder(number: number): (T | null)[] {
    const known = this.#folders.get(number);
    if (known !== undefined) return known;
    const made = new Array<T | null>(FOLDER_TABLES).fill(null);
    this.#folders.set(number, made);
    return made;
  }

  /** Takes the thing at a number out and returns it, null if there is none. */
  take(number: number): T | null {
    const thing = this.get(number);
    if (thing === null) return null;
    this.#folder(Math.floor(number / FOLDER_TABLES))[number & (FOLDER_TABLES - 1)] = null;
    this.#count--;
    return thing;
  }

  /** Takes everything out. */
  clear(): void {
    this.#folders.clear();
    this.#count = 0;
  }

  /** Calls `visit` with every thing at a number in `[first, end)`, ascending. Cost: proportional to the folders in between, or to all. */
  forEach(first: number, end: number, visit: (thing: T, number: number) => void): void {
    const low = Math.floor(first / FOLDER_TABLES);
    const high = Math.floor((end - 1) / FOLDER_TABLES);
    if (high - low < this.#folders.size) {
      for (let folder = low; folder <= high; folder++) this.#visit(folder, first, end, visit);
      return;
    }
    const numbers = [...this.#folders.keys()].sort((a, b) => a - b);
    for (const folder of numbers) if (folder >= low && folder <= high) this.#visit(folder, first, end, visit);
  }

  #visit(number: number, first: number, end: number, visit: (thing: T, number: number) => void): void {
    const folder = this.#folders.get(number);
    if (folder === undefined) return;
    const base = number * FOLDER_TABLES;
    const to = Math.min(FOLDER_TABLES, end - base);
    for (let at = Math.max(0, first - base); at < to; at++) {
      const thing = folder[at] ?? null;
      if (thing !== null) visit(thing, base + at);
    }
  }

  /**
   * Moves what is at `count` numbers from `first` on to those from `target` on in another map, where nothing is, and tells each thing its
   * new number. Whole folders move in O(1) and one call for each thing in them.
   */
  moveTo(
    into: TableMap<T>,
    first: number,
    count: number,
    target: number,
    placed: (thing: T, number: number) => void,
  ): void {
    const isWhole = isFolder(first) && isFolder(target);
    let done = 0;
    for (; isWhole && count - done >= FOLDER_TABLES; done += FOLDER_TABLES)
      this.#moveFolder(into, first + done, target + done, placed);
    for (; done < count; done++) {
      const thing = this.take(first + done);
      if (thing === null) continue;
      into.set(target + done, thing);
      placed(thing, target + done);
    }
  }

  #moveFolder(into: TableMap<T>, first: number, target: number, placed: (thing: T, number: number) => void): void {
    const number = Math.floor(first / FOLDER_TABLES);
    const folder = this.#folders.get(number);
    if (folder === undefined) return;
    this.#folders.delete(number);
    into.#folders.set(Math.floor(target / FOLDER_TABLES), folder);
    for (let at = 0; at < FOLDER_TABLES; at++) {
      const thing = folder[at] ?? null;
      if (thing === null) continue;
      this.#count--;
      into.#count++;
      placed(thing, target + at);
    }
  }
}

function isFolder(number: number): boolean {
  return Math.floor(number / FOLDER_TABLES) * FOLDER_TABLES === number;
}
