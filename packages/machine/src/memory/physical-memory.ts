/**
 * The bytes behind the physical address map: RAM, ROM and persistent memory in host frames, devices through their
 * registers, holes as all ones. Addresses are PhysAddr; a frame costs host memory from its first touch on.
 *
 * Each frame has a code, computed from the map on first use and forgotten when the map changes:
 *
 *   code > 0           memory; host slot code − 1, writable
 *   code < 0, > DEVICE read-only memory; host slot −code − 1
 *   WATCHED            memory, but every access passes through a watch
 *   DEVICE             one device answers the whole frame
 *   MIXED              regions meet within the frame: every byte is looked up
 *   HOLE               nobody answers
 *   0                  not known yet
 */
import { MachineError } from "../errors.ts";
import type { PhysicalMap } from "../map/physical-map.ts";
import { isMemory } from "../map/region.ts";
import type { Region } from "../map/region.ts";
import { alignUp, FRAME_BYTES, FRAME_WORDS, formatAddress, pfnOf, PHYSICAL_LIMIT } from "../units.ts";
import type { Pfn, PhysAddr } from "../units.ts";
import { DEFAULT_HOST_BYTES, HostFrames } from "./host-frames.ts";
import { SparseTable } from "./sparse-table.ts";

/** How {@link PhysicalMemory} is made. */
export interface MemoryOptions {
  /** Host bytes to reserve (lazily committed). Default: the map's memory, at most 4 GiB. */
  readonly hostBytes?: number;
  /** Whether the host buffer is a SharedArrayBuffer. Default false. */
  readonly shared?: boolean;
  /** Where the frames of non-volatile memory come from and are saved to. Default: nowhere, they only survive power cycles. */
  readonly nonVolatile?: FrameStore;
}

/** Keeps frames over power cycles of the host, for example in a file. */
export interface FrameStore {
  /** Fills `into` (4096 bytes, zero) with the frame's saved bytes; leaves it alone where there are none. */
  load(pfn: Pfn, into: Uint8Array): void;
  /** Saves a frame's bytes. */
  save(pfn: Pfn, from: Uint8Array): void;
}

/** Sees every access to a watched frame. */
export interface FrameWatch {
  /** Returns what a read of `size` bytes at `address` gives, of which `stored` is kept. */
  read(address: PhysAddr, size: number, stored: number): number;
  /** Returns what a write of `value` leaves behind. */
  write(address: PhysAddr, size: number, value: number): number;
}

/** Figures of a {@link PhysicalMemory}. */
export interface MemoryStats {
  /** Frames that have a host slot. */
  readonly touchedFrames: number;
  /** Frames of host memory that were ever in use. */
  readonly committedFrames: number;
  /** Reads that nobody answered. */
  readonly holeReads: number;
  /** Writes that nobody took. */
  readonly holeWrites: number;
  /** Writes to read-only memory. */
  readonly romWrites: number;
  /** Reads that devices answered. */
  readonly deviceReads: number;
  /** Writes that devices took. */
  readonly deviceWrites: number;
}

const WATCHED = -0x7ffffffc;
const DEVICE = -0x7ffffffd;
const MIXED = -0x7ffffffe;
const HOLE = -0x7fffffff;
/** Codes of this value or below are no memory. */
const LAST_SPECIAL = WATCHED;

const ONES = new Uint32Array(FRAME_WORDS);

/** Codes used last, by frame number: saves the look-up in the sparse table. */
const RECENT = 4096;

/** Physical memory: implements the `TableMemory` port of `@pagewright/x86-paging`. */
export class PhysicalMemory {
  /** The map that decides who answers. */
  declare readonly map: PhysicalMap;
  /** The host's side. */
  declare readonly host: HostFrames;
  private readonly codes = new SparseTable();
  private readonly recentPfns: Float64Array = new Float64Array(RECENT).fill(NaN);
  private readonly recentCodes: Int32Array = new Int32Array(RECENT);
  private readonly slots = new SparseTable();
  readonly #store: FrameStore | null;
  readonly #listeners = new Set<() => void>();
  readonly #watches = new Map<Pfn, FrameWatch>();
  readonly #counts = { holeReads: 0, holeWrites: 0, romWrites: 0, deviceReads: 0, deviceWrites: 0 };

  /** Creates memory over `map`; touches nothing. */
  constructor(map: PhysicalMap, options: MemoryOptions = {}) {
    this.map = map;
    const needed = map.regions().reduce((sum, one) => (isMemory(one.kind) ? sum + one.end - one.start : sum), 0);
    const bytes = options.hostBytes ?? Math.min(needed + FRAME_BYTES, DEFAULT_HOST_BYTES);
    this.host = new HostFrames(alignUp(bytes, FRAME_BYTES), options.shared ?? false);
    this.#store = options.nonVolatile ?? null;
    map.onChange(() => {
      this.forgetCodes();
      this.announce();
    });
  }

  /** Calls `listener` whenever host places may have moved (map change, compaction), until the returned function is called. */
  onMove(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  private announce(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Returns the frame's code (see the top of this file), resolving it on first use. */
  private code(pfn: Pfn): number {
    const at = pfn & (RECENT - 1);
    return this.recentPfns[at]! === pfn ? this.recentCodes[at]! : this.lookUp(pfn, at);
  }

  private lookUp(pfn: Pfn, at: number): number {
    const known = this.codes.get(pfn);
    const code = known === 0 ? this.resolve(pfn) : known;
    this.recentPfns[at] = pfn;
    this.recentCodes[at] = code;
    return code;
  }

  private forgetCodes(): void {
    this.codes.clear();
    this.recentPfns.fill(NaN);
  }

  private resolve(pfn: Pfn): number {
    const start = pfn * FRAME_BYTES;
    if (pfn < 0 || start >= PHYSICAL_LIMIT || !Number.isSafeInteger(pfn)) return HOLE;
    const first = this.map.find(start);
    const whole = first !== undefined && first.end >= start + FRAME_BYTES;
    let code = HOLE;
    if (whole) code = this.codeOf(first, pfn);
    else if (this.map.overlapping(start, start + FRAME_BYTES).length > 0) code = this.mixedCode(pfn);
    this.codes.set(pfn, code);
    return code;
  }

  /** A frame in which regions meet is plain memory when all of it is writable memory kept at its own address. */
  private mixedCode(pfn: Pfn): number {
    const start = pfn * FRAME_BYTES;
    const parts = this.map.overlapping(start, start + FRAME_BYTES);
    let at = start;
    for (const part of parts) {
      const plain = isMemory(part.kind) && part.kind !== "rom" && part.backing === part.start;
      if (!plain || part.start > at || part.nonVolatile) return MIXED;
      at = part.end;
    }
    return at >= start + FRAME_BYTES ? this.slotOf(pfn, false) + 1 : MIXED;
  }

  private codeOf(region: Region, pfn: Pfn): number {
    if (region.kind === "mmio") return region.device === null ? HOLE : DEVICE;
    if (region.kind === "absent") return HOLE;
    const backing = pfn * FRAME_BYTES - region.start + region.backing;
    if (backing % FRAME_BYTES !== 0) return MIXED;
    const slot = this.slotOf(backing / FRAME_BYTES, region.nonVolatile);
    if (this.#watches.has(pfn)) return WATCHED;
    return region.kind === "rom" ? -slot - 1 : slot + 1;
  }

  private slotOf(backing: Pfn, nonVolatile: boolean): number {
    const known = this.slots.get(backing);
    if (known !== 0) return known - 1;
    const slot = this.host.take();
    this.slots.set(backing, slot + 1);
    if (nonVolatile) this.#store?.load(backing, this.bytesOf(slot));
    return slot;
  }

  private bytesOf(slot: number): Uint8Array {
    return this.host.bytes.subarray(slot * FRAME_BYTES, (slot + 1) * FRAME_BYTES);
  }

  /**
   * Returns the index of the frame's first word in `host.words`, plus 1: positive where loads and stores may go there,
   * negative where only loads may, 0 where no plain memory answers.
   */
  place(pfn: Pfn): number {
    const code = this.code(pfn);
    if (code > 0) return (code - 1) * FRAME_WORDS + 1;
    return code > LAST_SPECIAL ? (code + 1) * FRAME_WORDS - 1 : 0;
  }

  /** Returns the index of the frame's first word in `host.words` when loads may go there, else −1. */
  readableBase(pfn: Pfn): number {
    const code = this.code(pfn);
    if (code <= LAST_SPECIAL) return -1;
    return (Math.abs(code) - 1) * FRAME_WORDS;
  }

  /** Returns the index of the frame's first word in `host.words` when stores may go there, else −1. */
  writableBase(pfn: Pfn): number {
    const code = this.code(pfn);
    return code > 0 ? (code - 1) * FRAME_WORDS : -1;
  }

  /** `TableMemory`: the array that holds the frame's 1024 words; a fresh array of ones where no memory answers. */
  words(pfn: Pfn): Uint32Array {
    return this.code(pfn) >= LAST_SPECIAL ? this.host.words : ONES.fill(0xffffffff);
  }

  /** `TableMemory`: the index of the frame's first word in that array. */
  base(pfn: Pfn): number {
    const code = this.code(pfn);
    if (code === WATCHED) return (this.slots.get(pfn) - 1) * FRAME_WORDS;
    return code > LAST_SPECIAL ? (Math.abs(code) - 1) * FRAME_WORDS : 0;
  }

  /** Lets `watch` see every access to a frame of memory kept at its own address; one watch per frame, the last one. */
  watch(pfn: Pfn, watch: FrameWatch): void {
    this.base(pfn);
    this.#watches.set(pfn, watch);
    this.forgetCodes();
    this.announce();
  }

  /** Ends a watch. */
  unwatch(pfn: Pfn): void {
    if (!this.#watches.delete(pfn)) return;
    this.forgetCodes();
    this.announce();
  }

  /** Returns `size` (1, 2 or 4) bytes as they are kept, whatever a watch would make of them. */
  readStored(address: PhysAddr, size: number): number {
    const at = this.base(pfnOf(address)) * 4 + (address & 0xfff);
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + this.host.bytes[at + i]!;
    return value;
  }

  private writeStored(address: PhysAddr, size: number, value: number): void {
    const at = this.base(pfnOf(address)) * 4 + (address & 0xfff);
    for (let i = 0; i < size; i++) this.host.bytes[at + i] = Math.floor(value / 2 ** (8 * i)) & 0xff;
  }

  /** Returns `size` (1, 2 or 4) bytes at `address`, unsigned; `address` must be a multiple of `size`. Holes read as ones. */
  read(address: PhysAddr, size: number): number {
    const pfn = Math.floor(address / FRAME_BYTES);
    const code = this.code(pfn);
    if (code > LAST_SPECIAL) {
      const at = (Math.abs(code) - 1) * FRAME_BYTES + (address & 0xfff);
      if (size === 4) return this.host.words[at / 4]!;
      return size === 2 ? this.host.halves[at / 2]! : this.host.bytes[at]!;
    }
    return this.readSlowly(address, size, code);
  }

  private readSlowly(address: PhysAddr, size: number, code: number): number {
    if (code === DEVICE) {
      const region = this.map.find(address);
      if (region?.device !== undefined && region.device !== null) {
        this.#counts.deviceReads++;
        return region.device.read(address - region.origin, size);
      }
    }
    if (code === WATCHED) {
      const stored = this.readStored(address, size);
      return this.#watches.get(pfnOf(address))?.read(address, size, stored) ?? stored;
    }
    if (code === MIXED) return this.readMixed(address, size);
    this.#counts.holeReads++;
    return 2 ** (8 * size) - 1;
  }

  private readMixed(address: PhysAddr, size: number): number {
    let value = 0;
    for (let at = size - 1; at >= 0; at--) value = value * 256 + this.readByte(address + at);
    return value;
  }

  private readByte(address: PhysAddr): number {
    const region = this.map.find(address);
    if (region?.kind === "mmio" && region.device !== null) {
      this.#counts.deviceReads++;
      return region.device.read(address - region.origin, 1);
    }
    const at = this.byteAt(region, address);
    if (at >= 0) return this.host.bytes[at]!;
    this.#counts.holeReads++;
    return 0xff;
  }

  private byteAt(region: Region | undefined, address: PhysAddr): number {
    if (region === undefined || !isMemory(region.kind)) return -1;
    const backing = address - region.start + region.backing;
    return this.slotOf(Math.floor(backing / FRAME_BYTES), region.nonVolatile) * FRAME_BYTES + (backing & 0xfff);
  }

  /** Stores the low `size` (1, 2 or 4) bytes of `value`; `address` must be a multiple of `size`. Holes and ROM lose it. */
  write(address: PhysAddr, size: number, value: number): void {
    const pfn = Math.floor(address / FRAME_BYTES);
    const code = this.code(pfn);
    if (code > 0) {
      const at = (code - 1) * FRAME_BYTES + (address & 0xfff);
      if (size === 4) this.host.words[at / 4] = value;
      else if (size === 2) this.host.halves[at / 2] = value;
      else this.host.bytes[at] = value;
      return;
    }
    this.writeSlowly(address, size, value, code);
  }

  private writeSlowly(address: PhysAddr, size: number, value: number, code: number): void {
    if (code === DEVICE) {
      const region = this.map.find(address);
      if (region?.device !== undefined && region.device !== null) {
        this.#counts.deviceWrites++;
        region.device.write(address - region.origin, size, value);
        return;
      }
    }
    if (code === WATCHED) {
      const watch = this.#watches.get(pfnOf(address));
      this.writeStored(address, size, watch?.write(address, size, value >>> 0) ?? value);
    } else if (code > LAST_SPECIAL) this.#counts.romWrites++;
    else if (code === MIXED) {
      for (let at = 0; at < size; at++) this.writeByte(address + at, Math.floor(value / 2 ** (8 * at)) & 0xff);
    } else this.#counts.holeWrites++;
  }

  private writeByte(address: PhysAddr, value: number): void {
    const region = this.map.find(address);
    if (region?.kind === "mmio" && region.device !== null) {
      this.#counts.deviceWrites++;
      region.device.write(address - region.origin, 1, value);
    } else if (region?.kind === "rom") this.#counts.romWrites++;
    else {
      const at = this.byteAt(region, address);
      if (at >= 0) this.host.bytes[at] = value;
      else this.#counts.holeWrites++;
    }
  }

  /** Stores a whole line from a write-combining buffer: one burst for a device that takes bursts, else 32-bit writes. */
  writeBurst(line: PhysAddr, bytes: Uint8Array): void {
    const region = this.map.find(line);
    const device = region?.device;
    if (region !== undefined && device?.writeBurst !== undefined && region.end >= line + bytes.length) {
      this.#counts.deviceWrites++;
      device.writeBurst(line - region.origin, bytes);
      return;
    }
    for (let at = 0; at < bytes.length; at += 4)
      this.write(
        line + at,
        4,
        bytes[at]! + bytes[at + 1]! * 2 ** 8 + bytes[at + 2]! * 2 ** 16 + bytes[at + 3]! * 2 ** 24,
      );
  }

  /** Fills `into` with the bytes from `address` on, frame by frame; any length, any alignment. */
  readBytes(address: PhysAddr, into: Uint8Array): void {
    this.requireInside(address, into.length);
    for (let done = 0; done < into.length;) {
      const at = address + done;
      const count = Math.min(into.length - done, FRAME_BYTES - (at & 0xfff));
      const base = this.readableBase(Math.floor(at / FRAME_BYTES));
      if (base >= 0) {
        const from = base * 4 + (at & 0xfff);
        into.set(this.host.bytes.subarray(from, from + count), done);
      } else for (let i = 0; i < count; i++) into[done + i] = this.read(at + i, 1);
      done += count;
    }
  }

  /** Stores `from` at `address`, frame by frame; any length, any alignment. */
  writeBytes(address: PhysAddr, from: Uint8Array): void {
    this.requireInside(address, from.length);
    for (let done = 0; done < from.length;) {
      const at = address + done;
      const count = Math.min(from.length - done, FRAME_BYTES - (at & 0xfff));
      const base = this.writableBase(Math.floor(at / FRAME_BYTES));
      if (base >= 0) this.host.bytes.set(from.subarray(done, done + count), base * 4 + (at & 0xfff));
      else for (let i = 0; i < count; i++) this.write(at + i, 1, from[done + i]!);
      done += count;
    }
  }

  /** Programs read-only memory, as a flasher does; like {@link PhysicalMemory.writeBytes} but ROM takes the bytes. */
  program(address: PhysAddr, from: Uint8Array): void {
    this.requireInside(address, from.length);
    from.forEach((value, i) => {
      const at = this.byteAt(this.map.find(address + i), address + i);
      if (at >= 0) this.host.bytes[at] = value;
    });
  }

  private requireInside(address: PhysAddr, length: number): void {
    if (!Number.isSafeInteger(address) || address < 0 || address + length > PHYSICAL_LIMIT)
      throw new MachineError(
        "beyond-map",
        `${length} bytes at ${formatAddress(Math.max(address, 0))} do not fit the 52-bit physical address space`,
        { address, length },
      );
  }

  /** Calls `visit` for each frame that has a host slot, with its backing frame number. */
  forEachTouched(visit: (pfn: Pfn, slot: number) => void): void {
    this.slots.forEach((pfn, value) => {
      visit(pfn, value - 1);
    });
  }

  /** Forgets the contents of one frame; see {@link PhysicalMemory.discardMany}. */
  discard(pfn: Pfn): void {
    this.discardMany([pfn]);
  }

  /**
   * Forgets the contents of frames: they read as zero again and their host slots are free for others. What a balloon or a
   * removed DIMM does. Nothing happens for frames that were never touched. Returns how many were.
   */
  discardMany(frames: Iterable<Pfn>): number {
    let count = 0;
    for (const pfn of frames) {
      const slot = this.slots.get(pfn);
      if (slot === 0) continue;
      this.host.give(slot - 1);
      this.slots.set(pfn, 0);
      count++;
    }
    if (count > 0) {
      this.forgetCodes();
      this.announce();
    }
    return count;
  }

  /** Puts the bytes of a frame back as they were kept, whatever the map says of it now: for snapshots. */
  restoreFrame(backing: Pfn, bytes: Uint8Array): void {
    this.bytesOf(this.slotOf(backing, false)).set(bytes);
  }

  /** Gives the host back everything but the frames in use, by moving them to a new buffer. Returns the bytes given back. */
  compact(): number {
    const before = this.host.committed;
    const slots: number[] = [];
    const owners: Pfn[] = [];
    this.forEachTouched((pfn, slot) => {
      slots.push(slot);
      owners.push(pfn);
    });
    this.host.compact(slots);
    owners.forEach((pfn, at) => {
      this.slots.set(pfn, at + 1);
    });
    this.forgetCodes();
    this.announce();
    return (before - this.host.committed) * FRAME_BYTES;
  }

  /** Saves non-volatile frames to the frame store, if there is one. Returns how many. */
  saveNonVolatile(): number {
    if (this.#store === null) return 0;
    let saved = 0;
    this.forEachNonVolatile((pfn, slot) => {
      this.#store?.save(pfn, this.bytesOf(slot));
      saved++;
    });
    return saved;
  }

  private forEachNonVolatile(visit: (pfn: Pfn, slot: number) => void): void {
    this.forEachTouched((pfn, slot) => {
      if (this.map.find(pfn * FRAME_BYTES)?.nonVolatile === true) visit(pfn, slot);
    });
  }

  /** Power goes and comes back: RAM is zero again, ROM and non-volatile memory keep their bytes. */
  powerCycle(): void {
    this.saveNonVolatile();
    const kept = new Set<Pfn>();
    this.forEachNonVolatile((pfn) => kept.add(pfn));
    const lost: Pfn[] = [];
    this.forEachTouched((pfn) => {
      if (!kept.has(pfn)) lost.push(pfn);
    });
    for (const pfn of lost) {
      this.host.give(this.slots.get(pfn) - 1);
      this.slots.set(pfn, 0);
    }
    this.forgetCodes();
    this.announce();
  }

  /** Returns the figures. */
  stats(): MemoryStats {
    return {
      touchedFrames: this.host.inUse,
      committedFrames: this.host.committed,
      ...this.#counts,
    };
  }

  /** Throws `broken-invariant` unless every touched frame has a host slot of its own and none is lost. */
  check(): void {
    this.host.check();
    const seen = new Set<number>();
    this.forEachTouched((pfn, slot) => {
      if (seen.has(slot))
        throw new MachineError("broken-invariant", `Frame ${pfn} shares host slot ${slot}`, { pfn, slot });
      seen.add(slot);
    });
    if (seen.size !== this.host.inUse)
      throw new MachineError("broken-invariant", "Every host slot in use belongs to a frame", {
        inUse: this.host.inUse,
        owned: seen.size,
      });
  }
}
