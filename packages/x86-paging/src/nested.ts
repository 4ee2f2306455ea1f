/**
 * The two-dimensional walk of a virtual machine: every guest-physical address, those of the guest's own tables among them, goes through EPT or NPT.
 *
 * The guest's tables are read through a `TableMemory` that translates; so the same walker walks both dimensions.
 * Source: SDM 3C, VMX Support for Address Translation; APM 2, Nested Paging.
 */

import type { TableMemory } from "./ports.ts";
import { ABSENT_FRAME } from "./ports.ts";
import { ACCESS_KIND, ACCESS_READ, ACCESS_USER, ACCESS_WRITE, RIGHT_USER } from "./rights.ts";
import type { PagingState } from "./state.ts";
import type { Pfn } from "./units.ts";
import { EPT_VIOLATION, TRANSLATED, Walk, walkExact } from "./walk.ts";
import { walkMarking } from "./mark.ts";

/** The nested tables refused a guest-physical address; `NestedWalk.nested` and `guestPage` say which and why. */
export const NESTED_FAULT = -6;

/** EPT qualification: the guest linear address is valid. */
const LINEAR_VALID = 0x80;
/** EPT qualification: the access was to the translation of the linear address, not to a guest table. */
const FINAL_ACCESS = 0x100;
/** NPT: set in EXITINFO1 for a fault on the final address, */
export const NPT_FINAL: number = 2 ** 32;
/** and for a fault on a guest table. */
export const NPT_TABLE: number = 2 ** 33;

/** Guest-physical memory: frames found through the nested tables. One failed translation makes the rest read as zero. */
class GuestMemory implements TableMemory {
  readonly #state: PagingState;
  readonly #host: TableMemory;
  readonly #nested: Walk;
  /** The nested walk's outcome: `TRANSLATED` as long as all guest frames were found. */
  code: number = TRANSLATED;
  /** The guest frame that was not found. */
  failed: Pfn = -1;
  /** Guest tables are read, or, where the nested tables keep accessed and dirty bits, written. */
  access = ACCESS_READ;
  mark = false;
  #frame: Pfn = -1;
  #at: Pfn = -1;

  constructor(state: PagingState, host: TableMemory, nested: Walk) {
    this.#state = state;
    this.#host = host;
    this.#nested = nested;
  }

  reset(access: number, mark: boolean): void {
    this.code = TRANSLATED;
    this.failed = -1;
    this.#frame = -1;
    this.access = access;
    this.mark = mark;
  }

  /** The host frame of a guest frame, or −1. */
  translate(pfn: Pfn, access: number): Pfn {
    const low = ((pfn - Math.floor(pfn / 0x100000) * 0x100000) * 4096) >>> 0;
    const high = Math.floor(pfn / 0x100000);
    const step = this.mark ? walkMarking : walkExact;
    const code = step(this.#state, this.#host, low, high, access, this.#nested);
    if (code === TRANSLATED) return this.#nested.pfn;
    this.code = code;
    this.failed = pfn;
    return -1;
  }

  words(pfn: Pfn): Uint32Array {
    this.#find(pfn);
    return this.#at < 0 ? ABSENT_FRAME : this.#host.words(this.#at);
  }

  base(pfn: Pfn): number {
    this.#find(pfn);
    return this.#at < 0 ? 0 : this.#host.base(this.#at);
  }

  #find(pfn: Pfn): void {
    if (pfn === this.#frame || this.failed >= 0) return;
    this.#frame = pfn;
    this.#at = this.translate(pfn, this.access);
  }
}

/** What a two-dimensional walk found. Reuse one. */
export class NestedWalk {
  /** The guest's own walk; its `pfn` is guest-physical. */
  readonly guest: Walk = new Walk();
  /** The last nested walk: of the final address, or of the guest frame that was refused. */
  readonly nested: Walk = new Walk();
  /** The host frame reached. Valid after `TRANSLATED`. */
  pfn: Pfn = 0;
  /** After `NESTED_FAULT`: the guest frame refused. */
  guestPage: Pfn = -1;
  /** After `NESTED_FAULT`: whether a guest table was refused, not the final address. */
  inTables = false;
  /** After `NESTED_FAULT`: what the nested walk returned: an EPT exit, or under NPT a page-fault error code. */
  code: number = TRANSLATED;
  /** EPT exit qualification, or NPT's EXITINFO1 (which needs 34 bits). */
  information = 0;
}

/** Walks in two dimensions; keep one per virtual processor. */
export class NestedWalker {
  readonly guest: PagingState;
  readonly nested: PagingState;
  readonly #memory: TableMemory;
  readonly #walks = new WeakMap<NestedWalk, GuestMemory>();

  /** `guest`: the guest's registers, `nested`: EPT or NPT tables in `memory`, which is host memory. */
  constructor(guest: PagingState, nested: PagingState, memory: TableMemory) {
    this.guest = guest;
    this.nested = nested;
    this.#memory = memory;
  }

  /**
   * Walks for one access and changes nothing. Guest tables count as written under NPT, and under EPT where `nested.accessedDirty`:
   * a guest table that the nested tables make read-only is refused then.
   * Returns `TRANSLATED`, a guest page-fault error code, `NON_CANONICAL`, or `NESTED_FAULT`.
   */
  walk(low: number, high: number, access: number, into: NestedWalk): number {
    return this.#run(low, high, access, into, false);
  }

  /**
   * The same as hardware does it: accessed and dirty bits in both dimensions. Guest tables count as written where EPT keeps such bits.
   * Simplified: under EPT that keeps none, setting a guest entry's bits is not checked for EPT's right to write there.
   */
  walkMarking(low: number, high: number, access: number, into: NestedWalk): number {
    return this.#run(low, high, access, into, true);
  }

  #run(low: number, high: number, access: number, into: NestedWalk, mark: boolean): number {
    let memory = this.#walks.get(into);
    if (memory === undefined) this.#walks.set(into, (memory = new GuestMemory(this.nested, this.#memory, into.nested)));
    const ept = this.nested.mode.definition.rule === "ept";
    const tableAccess = ept ? (this.nested.accessedDirty ? ACCESS_WRITE : ACCESS_READ) : ACCESS_USER | ACCESS_WRITE;
    memory.reset(tableAccess, mark);
    const step = mark ? walkMarking : walkExact;
    const code = step(this.guest, memory, low, high, access, into.guest);
    if (memory.code !== TRANSLATED) return this.#fault(memory, into, true, tableAccess);
    if (code !== TRANSLATED) return code;
    const userPage = this.guest.mode.depth > 0 && (into.guest.rights & RIGHT_USER) !== 0;
    const kind = access & ACCESS_KIND;
    const final = ept ? kind | (userPage ? ACCESS_USER : 0) : kind | ACCESS_USER;
    into.pfn = memory.translate(into.guest.pfn, final);
    if (into.pfn < 0) return this.#fault(memory, into, false, final);
    into.code = TRANSLATED;
    return TRANSLATED;
  }

  #fault(memory: GuestMemory, into: NestedWalk, inTables: boolean, access: number): number {
    into.code = memory.code;
    into.guestPage = memory.failed;
    into.inTables = inTables;
    if (memory.code === EPT_VIOLATION) {
      const written = inTables && (access & ACCESS_KIND) === ACCESS_WRITE ? 1 : 0;
      into.information = into.nested.qualification | written | LINEAR_VALID | (inTables ? 0 : FINAL_ACCESS);
    } else {
      into.information = Math.max(0, memory.code) + (inTables ? NPT_TABLE : NPT_FINAL);
    }
    return NESTED_FAULT;
  }
}
