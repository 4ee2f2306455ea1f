/**
 * Random operations of several spaces on one arena and four objects, carried out by a manager and written down for `program.c`. What Linux does only in part where the
 * manager does nothing (operations over holes and over regions that refuse) is not written down; DIFFERENCES.md lists it.
 */
import {
  MemoryBacking,
  PAGE_SIZE,
  READ,
  SeededRandom,
  SpaceMemory,
  type Advice,
  type AddressSpace,
  type AnonymousObject,
  type FileObject,
  type MapRequest,
  type Seal,
  type Vmm,
} from "@pagewright/vmm";

const P = PAGE_SIZE;
const ARENA = 0x200000000;
const ARENA_PAGES = 48;
const OBJECT_PAGES = 6;
const LOOKED_AT = 10;
const MOST_SPACES = 6;

// The numbers of Linux on x86-64.
const [SHARED, PRIVATE, FIXED, ANONYMOUS, GROWSDOWN, LOCKED, NOREPLACE] = [1, 2, 0x10, 0x20, 0x100, 0x2000, 0x100000];
const [MAYMOVE, REMAP_FIXED, DONTUNMAP] = [1, 2, 4];
const [MCL_FUTURE, MCL_ONFAULT] = [2, 4];
const ADVICE: readonly (readonly [Advice, number])[] = [
  ["normal", 0],
  ["random", 1],
  ["sequential", 2],
  ["will-need", 3],
  ["dont-need", 4],
  ["free", 8],
  ["remove", 9],
  ["no-clone", 10],
  ["clone", 11],
  ["wipe-on-clone", 18],
  ["keep-on-clone", 19],
  ["cold", 20],
  ["page-out", 21],
  ["populate-read", 22],
  ["populate-write", 23],
  ["dont-need-locked", 24],
  ["guard", 102],
  ["no-guard", 103],
];
const SEALS: readonly (readonly [Seal, number])[] = [
  ["seal", 1],
  ["shrink", 2],
  ["grow", 4],
  ["write", 8],
  ["future-write", 16],
];
const SIZES = [0, 1, P, 2 * P + 100, 3 * P, 4 * P - 1, 6 * P, 7 * P + 5, 9 * P];

/** One operation. */
export interface Step {
  /** What `program.c` is told. */
  readonly line: string;
  /** What the manager came to: `ok`, a refusal, a signal, or what was seen. */
  readonly ours: string;
}

/** Whether an answer of `program.c` is what the manager came to: refusals are told apart by neither. */
export function agrees({ line, ours }: Step, theirs: string): boolean {
  return / (look|object|store|locked)/.test(line) ? ours === theirs : (ours === "ok") === (theirs === "0");
}

/** A run of operations. */
export class Scenario {
  /** What was done so far. */
  readonly steps: Step[] = [];
  readonly #vmm: Vmm;
  readonly #random: SeededRandom;
  readonly #objects: (AnonymousObject | FileObject)[] = [];
  readonly #spaces: (AddressSpace | null)[] = [];

  /** A manager with the objects of `program.c` and one space. */
  constructor(vmm: Vmm, seed: number) {
    this.#vmm = vmm;
    this.#random = new SeededRandom(seed * 2654435761);
    for (const [number, letter] of ["A", "G", "M", "S"].entries()) {
      const bytes = Uint8Array.from({ length: OBJECT_PAGES * P }, (_, at) => letter.charCodeAt(0) + Math.floor(at / P));
      const object =
        number < 2 ? vmm.createAnonymous(bytes.length, true) : vmm.openFile(new MemoryBacking(bytes.length));
      object.write(0, bytes);
      if (number % 2 === 1) object.resize(bytes.length - 1000);
      this.#objects.push(object);
    }
    this.#spaces.push(vmm.createSpace());
  }

  /** Carries out so many operations, looks at everything, and checks the manager. */
  run(operations: number): void {
    for (let done = 0; done < operations; done++) {
      const alive = [...this.#spaces.keys()].filter((number) => this.#spaces[number] !== null);
      const process = this.#pick(alive);
      this.#operate(process, this.#spaceOf(process));
      if (this.#spaces[process] === null) continue;
      if (this.#below(3) === 0) this.#look(process);
      if (this.#below(6) === 0) this.#note(`${process} locked`, String(this.#spaceOf(process).lockedPages));
      if (this.#below(10) === 0) this.#lookAtObject(this.#below(this.#objects.length));
    }
    for (const [process, space] of this.#spaces.entries()) if (space !== null) this.#look(process);
    for (const number of this.#objects.keys()) this.#lookAtObject(number);
    this.#vmm.check();
  }

  #operate(process: number, space: AddressSpace): void {
    const page = 2 + this.#below(20);
    const pages = 1 + this.#below(this.#below(2) === 0 ? 8 : 3);
    const [at, bytes] = [ARENA + page * P, pages * P];
    const range = `${page} ${pages}`;
    /** Notes an operation on a range: always where it was done, and where one region alone refused it. */
    const ranged = (op: string, rest: string, outcome: string): void => {
      if (outcome === "ok" || isWithinOne(space, page, pages)) this.#note(`${process} ${op} ${range}${rest}`, outcome);
    };
    const choice = this.#below(100);
    if (choice < 22) this.#map(process, space, page, pages);
    else if (choice < 28) ranged("unmap", "", space.unmap(at, bytes));
    else if (choice < 36) {
      const rights = this.#pick([0, 1, 3, 3]);
      ranged("protect", ` ${rights}`, space.protect(at, bytes, rights));
    } else if (choice < 56) {
      const [advice, number] = this.#pick(ADVICE);
      ranged("advise", ` ${number}`, space.advise(at, bytes, advice));
    } else if (choice < 60) this.#lock(process, space, page, pages);
    else if (choice < 62) ranged("unlock", "", space.unlock(at, bytes));
    else if (choice < 63) this.#lockFuture(process, space);
    else if (choice < 64) ranged("sync", "", space.sync(at, bytes));
    else if (choice < 70) this.#remap(process, space, page, pages);
    else if (choice < 87) this.#store(process, space, page);
    else if (choice < 94) this.#changeObject();
    else if (choice < 98) this.#fork(process, space);
    else this.#exit(process, space);
  }

  #map(process: number, space: AddressSpace, page: number, pages: number): void {
    const placement = this.#below(4) > 0 ? "fixed" : "fixed-new";
    const rights = this.#pick([0, READ, 3, 3, 3]);
    const locked = this.#below(12) === 0;
    const number = this.#below(this.#objects.length + 2) - 2;
    const isShared = number === -1 || (number >= 0 && this.#below(2) === 0);
    const offset = number < 0 ? 0 : this.#below(8);
    const growsDown = number === -2 && this.#below(5) === 0;
    const made = number === -1 ? this.#vmm.createAnonymous(pages * P) : null;
    const object = made ?? this.#objects[number];
    const request: MapRequest = {
      address: ARENA + page * P,
      bytes: pages * P,
      placement,
      rights,
      growsDown,
      shared: isShared,
      offset: offset * P,
      ...(locked ? { locked: "all" as const } : {}),
      ...(object === undefined ? {} : { object }),
    };
    const flags =
      (placement === "fixed" ? FIXED : NOREPLACE)
      + (isShared ? SHARED : PRIVATE)
      + (number < 0 ? ANONYMOUS : 0)
      + (growsDown ? GROWSDOWN : 0)
      + (locked ? LOCKED : 0);
    const outcome = textOf(space.map(request));
    made?.close();
    this.#note(`${process} map ${page} ${pages} ${rights} ${flags} ${Math.max(-1, number)} ${offset}`, outcome);
  }

  /** Linux leaves locks behind where one could not be had: only what was done is noted. */
  #lock(process: number, space: AddressSpace, page: number, pages: number): void {
    const onFault = this.#below(2);
    const outcome = space.lock(ARENA + page * P, pages * P, onFault === 1 ? "touched" : "all");
    if (outcome === "ok") this.#note(`${process} lock ${page} ${pages} ${onFault}`, outcome);
  }

  #lockFuture(process: number, space: AddressSpace): void {
    const flags = this.#pick([0, MCL_FUTURE, MCL_FUTURE + MCL_ONFAULT]);
    if (flags === 0) space.unlockAll();
    else space.lockAll(false, flags === MCL_FUTURE ? "all" : "touched");
    this.#note(`${process} future ${flags}`, "ok");
  }

  /** Only what lies in one region: Linux moves several where their sizes stay, and never grows or shrinks them. Locked sources of DONTUNMAP are a difference. */
  #remap(process: number, space: AddressSpace, page: number, pages: number): void {
    const [to, newPages, kind] = [2 + this.#below(20), 1 + this.#below(6), this.#below(5)];
    const isLocked = space.regions.find(ARENA / P + page)?.locked !== "none";
    const [address, bytes, target] = [ARENA + page * P, pages * P, ARENA + to * P];
    if (kind === 0) {
      const isAside = to > page || to + newPages <= page;
      if (!isAside) return;
      const alias = space.remap({ address, bytes: 0, newBytes: newPages * P, mayMove: true, target });
      this.#note(`${process} remap ${page} 0 ${newPages} ${MAYMOVE + REMAP_FIXED} ${to}`, textOf(alias));
    } else if (!isWithinOne(space, page, pages)) {
      return;
    } else if (kind === 1) {
      const grown = space.remap({ address, bytes, newBytes: newPages * P });
      this.#note(`${process} remap ${page} ${pages} ${newPages} 0 0`, textOf(grown));
    } else if (kind === 2) {
      if (isLocked) return;
      const kept = space.remap({ address, bytes, newBytes: bytes, mayMove: true, target, keepSource: true });
      const flags = MAYMOVE + REMAP_FIXED + DONTUNMAP;
      this.#note(`${process} remap ${page} ${pages} ${pages} ${flags} ${to}`, textOf(kept));
    } else {
      const moved = space.remap({ address, bytes, newBytes: newPages * P, mayMove: true, target });
      this.#note(`${process} remap ${page} ${pages} ${newPages} ${MAYMOVE + REMAP_FIXED} ${to}`, textOf(moved));
    }
  }

  #store(process: number, space: AddressSpace, page: number): void {
    const memory = new SpaceMemory(space);
    const offset = this.#pick([0, P - 1, 100]);
    const letter = 97 + this.#below(26);
    const done = memory.store8(ARENA + page * P + offset, letter);
    const signal = memory.fault === "bus" ? "7" : "11";
    this.#note(`${process} store ${page} ${offset} ${letter}`, done ? "0" : signal);
  }

  #changeObject(): void {
    const number = this.#below(this.#objects.length);
    const object = this.#objects[number];
    if (object === undefined) return;
    const kind = this.#below(7);
    if (kind < 2) {
      const size = this.#pick(SIZES);
      this.#note(`0 resize ${number} ${size}`, object.resize(size));
    } else if (kind < 4) {
      const offset = this.#below(OBJECT_PAGES * P);
      if (offset >= object.size) return; // Linux would grow the object.
      this.#note(`0 write ${number} ${offset} 65`, textOf(object.write(offset, Uint8Array.of(65))));
    } else if (kind < 6) {
      const offset = this.#pick([0, P, 2 * P, P + 10, 3 * P - 5]);
      const bytes = this.#pick([P, 10, 2 * P, 3 * P + 7]);
      this.#note(`0 punch ${number} ${offset} ${bytes}`, object.punch(offset, offset + bytes));
    } else {
      const [seal, bit] = this.#pick(SEALS);
      if (!("addSeals" in object) || (seal === "seal" && this.#below(3) > 0)) return;
      this.#note(`0 seal ${number} ${bit}`, object.addSeals([seal]));
    }
  }

  #fork(process: number, space: AddressSpace): void {
    const child = this.#spaces.length < MOST_SPACES ? space.clone() : null;
    if (child === null) return;
    this.#note(`${process} fork ${this.#spaces.length}`, "ok");
    this.#spaces.push(child);
  }

  /** The first process stays: it is told what happens to objects. */
  #exit(process: number, space: AddressSpace): void {
    if (process === 0) return;
    space.destroy();
    this.#spaces[process] = null;
    this.#note(`${process} exit`, "ok");
  }

  #look(process: number): void {
    const memory = new SpaceMemory(this.#spaceOf(process));
    let text = "";
    for (let page = 0; page < ARENA_PAGES; page++)
      for (const offset of [0, P - 1]) {
        const byte = memory.load8(ARENA + page * P + offset);
        if (byte >= 0) text += letterOf(byte);
        else text += memory.fault === "bus" ? "#" : "!";
      }
    this.#note(`${process} look`, text);
  }

  #lookAtObject(number: number): void {
    let text = "";
    const into = new Uint8Array(1);
    for (let page = 0; page < LOOKED_AT; page++)
      for (const offset of [0, P - 1])
        text += this.#objects[number]?.read(page * P + offset, into) === 1 ? letterOf(into[0]!) : "-";
    this.#note(`0 object ${number}`, text);
  }

  #note(line: string, ours: string): void {
    this.steps.push({ line, ours });
  }

  #spaceOf(process: number): AddressSpace {
    const space = this.#spaces[process];
    if (space === null || space === undefined) throw new Error(`process ${process} is no more`);
    return space;
  }

  #below(bound: number): number {
    return this.#random.uint32() % bound;
  }

  #pick<T>(from: readonly T[]): T {
    const picked = from[this.#below(from.length)];
    if (picked === undefined) throw new Error("nothing to pick from");
    return picked;
  }
}

/** Whether one region has all pages of a range. */
function isWithinOne(space: AddressSpace, page: number, pages: number): boolean {
  const region = space.regions.find(ARENA / P + page);
  return region !== null && region.end >= ARENA / P + page + pages;
}

/** `ok` for an address, a count or `ok`; else the refusal. */
function textOf(outcome: number | string): string {
  return typeof outcome === "number" ? "ok" : outcome;
}

function letterOf(byte: number): string {
  return byte === 0 ? "." : String.fromCharCode(byte);
}
