import { invariant } from "../../errors.ts";

/**
 * Doubly linked lists of slots on typed arrays: the one data structure under every queue and stack of the policies.
 *
 * A slot is on at most one list. List `l` is a ring through the sentinel `slots + l`; `next` leads from head to tail,
 * `prev` back:
 *
 * ```
 *   sentinel ──next──▶ head ──▶ … ──▶ tail ──next──▶ sentinel
 * ```
 *
 * Invariants: `next[prev[n]] === n` for every linked n; `listOf[slot] === l` exactly for the slots on ring l;
 * `lengths[l]` counts them. All operations but `grow` and `check` are O(1) and allocate nothing.
 */
export class SlotLists {
  /** Slots are 0 … slots − 1; the sentinels' numbers follow. Changed by {@link grow} alone. */
  slots: number;
  /** Neighbour towards the tail, by slot or sentinel. */
  next: Int32Array;
  /** Neighbour towards the head, by slot or sentinel. */
  prev: Int32Array;
  /** The list that a slot is on, −1 where it is on none. */
  listOf: Int8Array;
  /** Slots on each list. */
  readonly lengths: Int32Array;

  constructor(slots: number, lists: number) {
    this.slots = slots;
    this.next = new Int32Array(slots + lists);
    this.prev = new Int32Array(slots + lists);
    this.listOf = new Int8Array(slots).fill(-1);
    this.lengths = new Int32Array(lists);
    for (let list = 0; list < lists; list++) this.next[slots + list] = this.prev[slots + list] = slots + list;
  }

  /** Puts `slot`, which is on no list, at the head of `list`. */
  pushHead(list: number, slot: number): void {
    this.insertAfter(list, this.slots + list, slot);
  }

  /** Puts `slot`, which is on no list, at the tail of `list`. */
  pushTail(list: number, slot: number): void {
    this.insertAfter(list, this.prev[this.slots + list]!, slot);
  }

  /** Puts `slot`, which is on no list, behind `anchor`: a slot of `list` or its sentinel. */
  insertAfter(list: number, anchor: number, slot: number): void {
    const behind = this.next[anchor]!;
    this.next[anchor] = slot;
    this.prev[slot] = anchor;
    this.next[slot] = behind;
    this.prev[behind] = slot;
    this.listOf[slot] = list;
    this.lengths[list] = this.lengths[list]! + 1;
  }

  /** Moves `slot` to the head of the `list` it is on. At the head already: one read. */
  moveToHead(list: number, slot: number): void {
    const sentinel = this.slots + list;
    const first = this.next[sentinel]!;
    if (first === slot) return;
    const before = this.prev[slot]!;
    const behind = this.next[slot]!;
    this.next[before] = behind;
    this.prev[behind] = before;
    this.next[sentinel] = slot;
    this.prev[slot] = sentinel;
    this.next[slot] = first;
    this.prev[first] = slot;
  }

  /** Takes `slot` off the list it is on. */
  remove(slot: number): void {
    const before = this.prev[slot]!;
    const behind = this.next[slot]!;
    this.next[before] = behind;
    this.prev[behind] = before;
    const list = this.listOf[slot]!;
    this.lengths[list] = this.lengths[list]! - 1;
    this.listOf[slot] = -1;
  }

  /** Takes `slot` off its list if it is on one. */
  removeIfLinked(slot: number): void {
    if (this.listOf[slot]! >= 0) this.remove(slot);
  }

  /** Takes the last slot off `list` and returns it, −1 where the list is empty. */
  popTail(list: number): number {
    const slot = this.tail(list);
    if (slot >= 0) this.remove(slot);
    return slot;
  }

  /** The first slot of `list`, −1 where it is empty. */
  head(list: number): number {
    const slot = this.next[this.slots + list]!;
    return slot < this.slots ? slot : -1;
  }

  /** The last slot of `list`, −1 where it is empty. */
  tail(list: number): number {
    const slot = this.prev[this.slots + list]!;
    return slot < this.slots ? slot : -1;
  }

  /** Makes room for slots 0 … slots − 1; never shrinks. The sentinels get new numbers. O(slots). */
  grow(slots: number): void {
    if (slots <= this.slots) return;
    const lists = this.lengths.length;
    const grown = new SlotLists(slots, lists);
    grown.next.set(this.next.subarray(0, this.slots));
    grown.prev.set(this.prev.subarray(0, this.slots));
    grown.listOf.set(this.listOf);
    for (let list = 0; list < lists; list++) {
      if (this.lengths[list] === 0) continue;
      const head = this.head(list);
      const tail = this.tail(list);
      grown.next[slots + list] = head;
      grown.prev[slots + list] = tail;
      grown.prev[head] = grown.next[tail] = slots + list;
    }
    this.slots = slots;
    this.next = grown.next;
    this.prev = grown.prev;
    this.listOf = grown.listOf;
  }

  /** Walks every ring both ways; throws with the sentence of the broken invariant. O(slots). */
  check(): void {
    let linked = 0;
    for (let list = 0; list < this.lengths.length; list++) linked += this.#checkRing(list);
    for (let slot = 0; slot < this.slots; slot++) if (this.listOf[slot]! >= 0) linked--;
    invariant(linked === 0, "a slot names a list that it is not linked on");
  }

  #checkRing(list: number): number {
    const sentinel = this.slots + list;
    let count = 0;
    for (let slot = this.next[sentinel]!; slot !== sentinel; slot = this.next[slot]!) {
      invariant(this.listOf[slot] === list, "a slot is linked on a list that it does not name", { slot, list });
      invariant(this.prev[this.next[slot]!] === slot, "prev of next of a slot is another slot", { slot, list });
      invariant(++count <= this.slots, "a list is longer than there are slots", { list });
    }
    invariant(count === this.lengths[list], "a list has not as many slots as counted", { list, count });
    return count;
  }
}

/** A copy of `bytes` with room for `slots` entries, the new ones zero; `bytes` itself where it is long enough. */
export function grownBytes(bytes: Uint8Array, slots: number): Uint8Array {
  if (bytes.length >= slots) return bytes;
  const grown = new Uint8Array(slots);
  grown.set(bytes);
  return grown;
}
