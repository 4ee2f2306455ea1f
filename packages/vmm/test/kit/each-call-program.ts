/**
 * One program that uses everything, on ports of which one call fails. What an operation was told to be refused is tried again; in the end every byte is where it belongs, and every
 * frame and slot comes back.
 */
import { expect } from "vitest";

import {
  MemorySwap,
  PAGE_SIZE,
  SpaceMemory,
  TRANSFER_UNIT,
  Vmm,
  type AddressSpace,
  type Outcome,
  type SwapPriority,
} from "@pagewright/vmm";
import { CompressedPool } from "@pagewright/vmm/swap";

import {
  Turn,
  TurnFrames,
  TurnLateFile,
  TurnLateSwap,
  turnCompressor,
  turnPager,
  turnRuns,
  turnTables,
} from "./each-call.ts";
import { FlakyBacking, FlakySwap } from "../model/flaky.ts";
import { spaceOf } from "./rig.ts";

const PAGES = 24;
const FILE_PAGES = 6;
const SLOTS = 3000;
/** Pages of a transfer unit that are stored to. */
const TOUCHED = [0, 7, 511];
/** Goes into each page beside its word, so that it compresses, but not to next to nothing. */
const NOISE = Uint8Array.from({ length: 900 }, (_, at) => (at * at * 31 + at * 7) >>> 3);

/** A program over its own model: what it stored and was told is stored. */
class Program {
  readonly vmm: Vmm;
  readonly #model: Map<AddressSpace, Map<number, number>> = new Map();

  constructor(vmm: Vmm) {
    this.vmm = vmm;
  }

  modelOf(space: AddressSpace): Map<number, number> {
    const known = this.#model.get(space) ?? new Map<number, number>();
    this.#model.set(space, known);
    return known;
  }

  /** Tries something until it is `ok` or a value: one that fails needs no more than a few tries, and breaks nothing. */
  async insist<T>(work: () => T, space: AddressSpace | null = null): Promise<Exclude<T, Outcome | null>> {
    let outcome: T | null = null;
    for (let tries = 0; tries < 40; tries++) {
      outcome = work();
      if ((typeof outcome !== "string" && outcome !== null) || outcome === "ok")
        return outcome as Exclude<T, Outcome | null>;
      this.vmm.check();
      if (outcome === "pending") await space?.pending;
    }
    throw new Error(`never: ${String(outcome)}`);
  }

  async store(space: AddressSpace, address: number, value: number): Promise<void> {
    const bytes = new SpaceMemory(space);
    await this.insist(
      () => (bytes.store32(address, value) && bytes.copyIn(address + 4, NOISE) === NOISE.length ? "ok" : bytes.fault),
      space,
    );
    this.modelOf(space).set(address, value);
  }

  async load(space: AddressSpace, address: number): Promise<number> {
    const bytes = new SpaceMemory(space);
    let value = -1;
    await this.insist(() => ((value = bytes.load32(address)) >= 0 ? "ok" : bytes.fault), space);
    return value;
  }

  /** Every page of a space is what was stored there. */
  async verify(space: AddressSpace): Promise<void> {
    for (const [address, value] of this.modelOf(space))
      expect({ address, value: await this.load(space, address) }).toEqual({ address, value });
  }
}

/** Runs the program on ports; those behind compressed memory answer later where `late`. */
export async function runAll(turn: Turn, late: boolean): Promise<void> {
  const memory = turnRuns(new TurnFrames(1400, turn), turn);
  const pool = new CompressedPool({
    frames: memory,
    window: memory,
    limitFrames: 3,
    slots: 400,
    compressor: turnCompressor(turn),
  });
  const behind: SwapPriority = late
    ? new TurnLateSwap(SLOTS, turn)
    : [new FlakySwap(SLOTS, turn), new FlakySwap(SLOTS, turn)];
  const vmm = new Vmm({
    frames: memory,
    window: memory,
    special: memory,
    tables: turnTables(turn),
    swap: [pool, behind, new MemorySwap(SLOTS)],
    residentLimit: 800,
  });
  const program = new Program(vmm);
  const one = spaceOf(vmm);
  const two = spaceOf(vmm);

  // Private memory, cloned, evicted, moved.
  const at = await program.insist(() => one.map({ bytes: PAGES * PAGE_SIZE }));
  for (let page = 0; page < PAGES; page++) await program.store(one, at + page * PAGE_SIZE, 1000 + page);
  const clone = await program.insist(() => one.clone());
  for (const [address, value] of program.modelOf(one)) program.modelOf(clone).set(address, value);
  for (let page = 0; page < PAGES; page += 3) await program.store(clone, at + page * PAGE_SIZE, 2000 + page);
  vmm.reclaim(PAGES);
  await vmm.settled();
  await program.verify(clone);

  // A file: stored to, made smaller and larger, made durable.
  const backing = new FlakyBacking(FILE_PAGES * PAGE_SIZE, turn);
  const file = vmm.openFile(backing);
  const fileAt = await program.insist(() => one.map({ bytes: FILE_PAGES * PAGE_SIZE, object: file, shared: true }));
  for (let page = 0; page < FILE_PAGES; page++) await program.store(one, fileAt + page * PAGE_SIZE, 3000 + page);
  await program.insist(() => one.sync(fileAt, FILE_PAGES * PAGE_SIZE), one);
  await program.insist(() => file.resize(3 * PAGE_SIZE + 100) === "ok" || null);
  await program.insist(() => file.resize(FILE_PAGES * PAGE_SIZE) === "ok" || null);
  for (let page = 4; page < FILE_PAGES; page++) program.modelOf(one).set(fileAt + page * PAGE_SIZE, 0);
  await program.insist(() => one.advise(fileAt, FILE_PAGES * PAGE_SIZE, "page-out"), one);

  // A file that answers later.
  const remote = new TurnLateFile(FILE_PAGES * PAGE_SIZE, turn);
  const lateFile = vmm.openAsyncFile(remote);
  const lateAt = await program.insist(() => two.map({ bytes: FILE_PAGES * PAGE_SIZE, object: lateFile, shared: true }));
  for (let page = 0; page < FILE_PAGES; page++) await program.store(two, lateAt + page * PAGE_SIZE, 4000 + page);
  await program.insist(() => two.sync(lateAt, FILE_PAGES * PAGE_SIZE), two);
  expect(new Uint32Array(remote.bytes.buffer)[1024]).toBe(4001);

  // Memory of a pager's, asked before stores.
  const paged = vmm.createPaged(FILE_PAGES * PAGE_SIZE, turnPager(turn), { again: true });
  const pagedAt = await program.insist(() =>
    two.map({ bytes: FILE_PAGES * PAGE_SIZE, object: paged, shared: true, writeNotify: true }),
  );
  for (let page = 0; page < FILE_PAGES; page++)
    expect(await program.load(two, pagedAt + page * PAGE_SIZE)).toBe(100 + page);
  paged.protectPages(0, FILE_PAGES);
  for (let page = 0; page < 3; page++) await program.store(two, pagedAt + page * PAGE_SIZE, 5000 + page);

  // A whole unit: handed over, moved, shared, in 2M pages and in parts of them.
  const unit = await program.insist(() => one.map({ bytes: TRANSFER_UNIT, alignment: TRANSFER_UNIT }));
  one.advise(unit, TRANSFER_UNIT, "large");
  for (const page of TOUCHED) await program.store(one, unit + page * PAGE_SIZE, 6000 + page);
  await program.insist(() => one.unmap(unit + 9 * PAGE_SIZE, PAGE_SIZE));
  await program.insist(() => one.map({ address: unit + 9 * PAGE_SIZE, bytes: PAGE_SIZE, placement: "fixed" }));
  vmm.collapser.step(2000);
  const there = await program.insist(() => one.transfer(unit, TRANSFER_UNIT, two));
  for (const page of TOUCHED) {
    program.modelOf(one).delete(unit + page * PAGE_SIZE);
    program.modelOf(two).set(there + page * PAGE_SIZE, 6000 + page);
  }
  const moved = await program.insist(() =>
    two.remap({
      address: there,
      bytes: TRANSFER_UNIT,
      newBytes: TRANSFER_UNIT,
      mayMove: true,
      target: there - 8 * TRANSFER_UNIT,
    }),
  );
  for (const page of TOUCHED) {
    program.modelOf(two).delete(there + page * PAGE_SIZE);
    program.modelOf(two).set(moved + page * PAGE_SIZE, 6000 + page);
  }
  const common = vmm.createAnonymous(TRANSFER_UNIT);
  const commonAt = await program.insist(() =>
    one.map({ bytes: TRANSFER_UNIT, alignment: TRANSFER_UNIT, object: common, shared: true }),
  );
  for (const page of TOUCHED) await program.store(one, commonAt + page * PAGE_SIZE, 7000 + page);
  const commonThere = await program.insist(() => one.share(commonAt, TRANSFER_UNIT, two));
  for (const page of TOUCHED) program.modelOf(two).set(commonThere + page * PAGE_SIZE, 7000 + page);

  // Devices: a buffer, and a transfer.
  const granted = await program.insist(() => {
    const outcome = vmm.allocateDmaBuffer({ bytes: 4 * PAGE_SIZE, alignment: 4 * PAGE_SIZE });
    return outcome.ok ? outcome.buffer : null;
  });
  granted.close();
  const transfer = await program.insist(() => vmm.beginTransfer(one, at, 4 * PAGE_SIZE, "to-device"), one);
  transfer.complete();

  // Pages move, leave and come back; then everything is looked at.
  for (let pfn = 0; pfn < 60; pfn += 7) if (vmm.core.frameMap.pageAt(pfn) >= 0) vmm.migrator.vacate(pfn);
  vmm.core.residentLimit = 24;
  for (let round = 0; round < 60; round++) {
    vmm.background(32);
    await vmm.settled();
  }
  for (let page = 0; page < 4; page++) vmm.idle(2);
  for (const space of [one, two, clone]) await program.verify(space);
  for (let page = 3; page < FILE_PAGES; page++)
    expect(await program.load(two, pagedAt + page * PAGE_SIZE)).toBe(100 + page);
  await program.insist(() => one.sync(fileAt, FILE_PAGES * PAGE_SIZE), one);
  expect(new Uint32Array(backing.bytes.buffer, backing.bytes.byteOffset)[2 * 1024]).toBe(3002);

  // Closed while pages of it are newer than it.
  await program.store(two, lateAt, 4999);
  for (const space of [one, two, clone]) space.destroy();
  for (const object of [file, lateFile, paged, common]) object.close();
  for (let turns = 0; turns < 40; turns++) await Promise.resolve();
  await vmm.settled();
  await new Promise((resolve) => setTimeout(resolve));
  vmm.close();
  vmm.check();
  pool.check();
  expect(vmm.swapTiers().map(({ used }) => used)).toEqual(vmm.swapTiers().map(() => 0));
  expect(memory.freeFrames).toBe(memory.totalFrames);
  if (turn.failures === 0) expect(new Uint32Array(remote.bytes.buffer)[0]).toBe(4999);
}

/** One run for a call of a port that fails. */
export interface Failure {
  readonly port: string;
  /** Calls of it in a run in which none fails. */
  readonly calls: number;
}

const isLate = (port: string): boolean => port.startsWith("AsyncSwapStore");

/** The ports that the program calls, and how often. */
export async function portsCalled(): Promise<Failure[]> {
  const found: Failure[] = [];
  for (const late of [false, true]) {
    const turn = new Turn("", 0);
    await runAll(turn, late);
    for (const [port, calls] of turn.calls) if (isLate(port) === late) found.push({ port, calls });
  }
  return found;
}

/** Runs the program while a call of a port fails, from 1 on. */
export async function runFailing(port: string, call: number): Promise<void> {
  const turn = new Turn(port, call);
  await runAll(turn, isLate(port));
  expect({ port, call, failures: turn.failures }).toEqual({ port, call, failures: 1 });
}
