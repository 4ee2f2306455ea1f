import { invariant } from "../errors.ts";
import type { FrameSource, FrameWindow } from "../ports.ts";
import { SlotLists } from "../reclaim/policies/slot-lists.ts";
import { NO_FRAME, PAGE_SIZE } from "../units.ts";
import { classOf, MAX_GROUP_FRAMES, MAX_GROUP_OBJECTS, SIZE_CLASSES, type SizeClass } from "./size-classes.ts";

/**
 * While fewer frames are held, a new group has one frame if its objects are at most half a page: else the groups of all
 * classes that are begun and not yet full would take more frames than the pages did.
 */
const SINGLE_FRAMES = 32;
/**
 * Room of a larger class is taken instead of a new group, up to twice the object's size while this many frames are held, and
 * less in proportion as there are more: an eighth above it at 1,024. Both rules: 20 real pages take 11 frames instead of
 * 28 to 37, 200 pages 79 to 87 instead of 98 to 111, 2,000 pages as many as without.
 */
const GENEROUS_FRAMES = 128;
/** The object that stands for "no room". */
export const NO_OBJECT = -1;
/** The owner of an object that is not used. */
const FREE = -1;

/**
 * Objects of some bytes each in frames of a frame source: the storage of compressed pages.
 *
 * An object is `group * 64 + index`. Groups of a class that have room are on that class's list; empty groups are given back
 * at once. Each object knows its owner, so that {@link compact} can move it.
 *
 * Invariants: `used[group]` counts the objects of the group that have an owner; a group is on its class's list exactly
 * if it is neither full nor gone; every group with objects holds the frames that it was begun with.
 */
export class ObjectStore {
  readonly #source: FrameSource;
  readonly #window: FrameWindow;
  /** Groups with room, one list for each class, the fullest not necessarily first. */
  readonly #partial: SlotLists = new SlotLists(16, SIZE_CLASSES.length);
  /** Groups without frames. */
  #spare: number[] = [];
  #groups: number = 0;
  /** Class by group. */
  #classOf: Uint8Array = new Uint8Array(16);
  /** Frames that the group was begun with, 1 … 4, by group. */
  #framesOf: Uint8Array = new Uint8Array(16);
  /** Objects with an owner, by group. */
  #used: Uint8Array = new Uint8Array(16);
  /** Frames by group * 4 + index; NO_FRAME beyond those it was begun with. */
  #frames: Float64Array = new Float64Array(16 * MAX_GROUP_FRAMES).fill(NO_FRAME);
  /** Owner by object; FREE where there is none. */
  #owner: Int32Array = new Int32Array(16 * MAX_GROUP_OBJECTS).fill(FREE);
  #frameCount: number = 0;
  readonly #taken: Float64Array = new Float64Array(MAX_GROUP_FRAMES);
  readonly #moving: Uint8Array = new Uint8Array(PAGE_SIZE);

  constructor(source: FrameSource, window: FrameWindow) {
    this.#source = source;
    this.#window = window;
  }

  /** Frames held. */
  get frames(): number {
    return this.#frameCount;
  }

  /**
   * Stores `bytes[0 … length)` for an owner; NO_OBJECT where that needs more frames than `limit` in all, or the source has none.
   *
   * @param length 1 … MAX_OBJECT_BYTES
   * @param owner 0 … 2^31 − 1, told to {@link compact}
   */
  put(bytes: Uint8Array, length: number, owner: number, limit: number): number {
    const kind = classOf(length);
    let group = this.#withRoom(kind);
    if (group < 0) group = this.#begin(kind, limit);
    if (group < 0) return NO_OBJECT;
    const object = this.#claim(group, owner);
    this.#write(object, bytes.subarray(0, length));
    return object;
  }

  /** Reads the first `length` bytes of an object. */
  get(object: number, into: Uint8Array, length: number): void {
    const group = Math.floor(object / MAX_GROUP_OBJECTS);
    const start = (object % MAX_GROUP_OBJECTS) * this.#kind(group).bytes;
    for (let done = 0; done < length;) {
      const at = start + done;
      const part = Math.min(length - done, PAGE_SIZE - (at % PAGE_SIZE));
      this.#window.read(this.#frameAt(group, at), at % PAGE_SIZE, into.subarray(done, done + part));
      done += part;
    }
  }

  /** Forgets an object; the frames of a group that has none left are given back. */
  free(object: number): void {
    const group = Math.floor(object / MAX_GROUP_OBJECTS);
    invariant((this.#owner[object] ?? FREE) !== FREE, "An object that is not used was freed.", { object });
    this.#owner[object] = FREE;
    const before = this.#used[group]!;
    this.#used[group] = before - 1;
    if (before === this.#objectsOf(group)) this.#partial.pushHead(this.#classOf[group]!, group);
    if (before === 1) this.#end(group);
  }

  /**
   * Empties groups by moving their objects to others of the class, and gives their frames back; returns how many frames.
   * O(groups + objects moved).
   *
   * @param moved told the owner and the new object of each that moved
   */
  compact(moved: (owner: number, object: number) => void): number {
    const before = this.#frameCount;
    for (let kind = 0; kind < SIZE_CLASSES.length; kind++) {
      for (let group = this.#emptiest(kind); group >= 0 && this.#fitsElsewhere(group); group = this.#emptiest(kind))
        this.#vacate(group, moved);
    }
    return before - this.#frameCount;
  }

  /** Walks everything; throws with the sentence of the broken invariant. */
  check(): void {
    this.#partial.check();
    let frames = 0;
    for (let group = 0; group < this.#groups; group++) {
      const held = this.#framesOf[group]!;
      let used = 0;
      for (let index = 0; index < MAX_GROUP_OBJECTS; index++)
        if (this.#owner[group * MAX_GROUP_OBJECTS + index] !== FREE) used++;
      invariant(used === this.#used[group], "A group has not as many objects as counted.", { group, used });
      const listed = this.#partial.listOf[group]!;
      const hasRoom = used > 0 && used < this.#objectsOf(group);
      invariant(listed === (hasRoom ? this.#classOf[group]! : -1), "A group with room is not on its class's list.", {
        group,
      });
      for (let index = 0; index < MAX_GROUP_FRAMES; index++) {
        const there = this.#frames[group * MAX_GROUP_FRAMES + index] !== NO_FRAME;
        invariant(there === (used > 0 && index < held), "A group holds other frames than it was begun with.", {
          group,
        });
        if (there) frames++;
      }
    }
    invariant(frames === this.#frameCount, "The count of frames is wrong.", { frames });
  }

  #kind(group: number): SizeClass {
    return SIZE_CLASSES[this.#classOf[group]!] ?? impossible();
  }

  /** Objects that fit into a group's frames. */
  #objectsOf(group: number): number {
    return Math.min(MAX_GROUP_OBJECTS, Math.trunc((this.#framesOf[group]! * PAGE_SIZE) / this.#kind(group).bytes));
  }

  #frameAt(group: number, offset: number): number {
    return this.#frames[group * MAX_GROUP_FRAMES + Math.floor(offset / PAGE_SIZE)]!;
  }

  #write(object: number, bytes: Uint8Array): void {
    const group = Math.floor(object / MAX_GROUP_OBJECTS);
    const start = (object % MAX_GROUP_OBJECTS) * this.#kind(group).bytes;
    for (let done = 0; done < bytes.length;) {
      const at = start + done;
      const part = Math.min(bytes.length - done, PAGE_SIZE - (at % PAGE_SIZE));
      this.#window.write(this.#frameAt(group, at), at % PAGE_SIZE, bytes.subarray(done, done + part));
      done += part;
    }
  }

  /** A group with room of the class, or of a larger one where that wastes less than a new group would; −1 if there is none. */
  #withRoom(kind: number): number {
    const { bytes } = SIZE_CLASSES[kind] ?? impossible();
    const most = bytes * (1 + Math.min(1, GENEROUS_FRAMES / (this.#frameCount + 1)));
    for (let larger = kind; larger < SIZE_CLASSES.length; larger++) {
      if ((SIZE_CLASSES[larger]?.bytes ?? Infinity) > most) return -1;
      const group = this.#partial.head(larger);
      if (group >= 0) return group;
    }
    return -1;
  }

  /** Gives the first free object of a group an owner. */
  #claim(group: number, owner: number): number {
    const object = this.#owner.indexOf(FREE, group * MAX_GROUP_OBJECTS);
    this.#owner[object] = owner;
    const used = this.#used[group]! + 1;
    this.#used[group] = used;
    if (used === this.#objectsOf(group)) this.#partial.removeIfLinked(group);
    return object;
  }

  /** A new group with all its frames, on its class's list; −1 where the frames are not to be had. */
  #begin(kind: number, limit: number): number {
    const best = SIZE_CLASSES[kind] ?? impossible();
    const frames = this.#frameCount < SINGLE_FRAMES && best.bytes <= PAGE_SIZE / 2 ? 1 : best.frames;
    if (this.#frameCount + frames > limit) return -1;
    const count = this.#source.takeMany(this.#taken, frames);
    if (count < frames) {
      this.#source.giveMany(this.#taken, count);
      return -1;
    }
    const group = this.#spare.pop() ?? this.#addGroup();
    this.#classOf[group] = kind;
    this.#framesOf[group] = frames;
    for (let index = 0; index < frames; index++) this.#frames[group * MAX_GROUP_FRAMES + index] = this.#taken[index]!;
    this.#frameCount += frames;
    this.#partial.pushHead(kind, group);
    return group;
  }

  /** Gives the frames of an empty group back. */
  #end(group: number): void {
    const frames = this.#framesOf[group]!;
    this.#partial.removeIfLinked(group);
    const start = group * MAX_GROUP_FRAMES;
    for (let index = 0; index < frames; index++) this.#taken[index] = this.#frames[start + index]!;
    this.#frames.fill(NO_FRAME, start, start + frames);
    this.#source.giveMany(this.#taken, frames);
    this.#frameCount -= frames;
    this.#spare.push(group);
  }

  #addGroup(): number {
    const group = this.#groups++;
    const capacity = this.#used.length;
    if (group < capacity) return group;
    this.#partial.grow(capacity * 2);
    this.#classOf = grown(this.#classOf, new Uint8Array(capacity * 2));
    this.#framesOf = grown(this.#framesOf, new Uint8Array(capacity * 2));
    this.#used = grown(this.#used, new Uint8Array(capacity * 2));
    this.#frames = grown(this.#frames, new Float64Array(capacity * 2 * MAX_GROUP_FRAMES).fill(NO_FRAME));
    this.#owner = grown(this.#owner, new Int32Array(capacity * 2 * MAX_GROUP_OBJECTS).fill(FREE));
    return group;
  }

  /** The group of a class with room that has the fewest objects, −1 if none has room. */
  #emptiest(kind: number): number {
    let best = -1;
    const { next, slots } = this.#partial;
    for (let group = next[slots + kind]!; group < slots; group = next[group]!)
      if (best < 0 || this.#used[group]! < this.#used[best]!) best = group;
    return best;
  }

  /** Whether the other groups of the class have room for all objects of this one. */
  #fitsElsewhere(group: number): boolean {
    let room = 0;
    const { next, slots } = this.#partial;
    for (let other = next[slots + this.#classOf[group]!]!; other < slots; other = next[other]!)
      if (other !== group) room += this.#objectsOf(other) - this.#used[other]!;
    return room >= this.#used[group]!;
  }

  #vacate(group: number, moved: (owner: number, object: number) => void): void {
    const kind = this.#classOf[group]!;
    const { bytes } = this.#kind(group);
    const objects = this.#objectsOf(group);
    this.#partial.remove(group);
    for (let index = 0; index < objects; index++) {
      const object = group * MAX_GROUP_OBJECTS + index;
      const owner = this.#owner[object]!;
      if (owner === FREE) continue;
      this.get(object, this.#moving, bytes);
      const target = this.#claim(this.#partial.head(kind), owner);
      this.#write(target, this.#moving.subarray(0, bytes));
      this.#owner[object] = FREE;
      moved(owner, target);
    }
    this.#used[group] = 0;
    this.#end(group);
  }
}

function grown<T extends Uint8Array | Int32Array | Float64Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

function impossible(): never {
  throw new RangeError("no such size class");
}
