/** Ports of which one call fails: the one whose turn it is. */
import {
  MemorySwap,
  PlainMemory,
  PlainTranslationSystem,
  type AsyncBackingStore,
  type AsyncSwapStore,
  type Compressor,
  type FlushSink,
  type FrameHints,
  type IoOutcome,
  type LargeLeaves,
  type Pager,
  type PagerAnswer,
  type SpecialOutcome,
  type SpecialRequest,
  type TranslationTables,
} from "@pagewright/vmm";
import { Lz4Block } from "@pagewright/vmm/swap";

import type { Failing } from "../model/flaky.ts";

/** Counts the calls of each port, and says which fails. */
export class Turn implements Failing {
  /** Calls, by port. */
  readonly calls: Map<string, number> = new Map();
  failures = 0;
  readonly #port: string;
  readonly #call: number;

  /** @param call the number of the call of that port that fails, from 1; 0: none does */
  constructor(port: string, call: number) {
    this.#port = port;
    this.#call = call;
  }

  /** Whether this call of a port fails. */
  fails(port: string): boolean {
    const calls = (this.calls.get(port) ?? 0) + 1;
    this.calls.set(port, calls);
    if (port !== this.#port || calls !== this.#call) return false;
    this.failures++;
    return true;
  }
}

const POISON = new Uint8Array(4096).fill(0xbd);

/** Frames that are not granted, and whose bytes are spoiled when they are given back. */
export class TurnFrames extends PlainMemory {
  readonly #turn: Turn;
  constructor(frames: number, turn: Turn) {
    super(frames);
    this.#turn = turn;
  }
  override take(hints?: FrameHints): number {
    return this.#turn.fails("FrameSource.take") ? -1 : super.take(hints);
  }
  override give(pfn: number, order = 0): void {
    for (let frame = pfn; frame < pfn + 2 ** order; frame++) this.write(frame, 0, POISON);
    super.give(pfn, order);
  }
  override takeMany(into: Float64Array, count: number, hints?: FrameHints): number {
    const granted = this.#turn.fails("FrameSource.takeMany") ? Math.floor(count / 2) : count;
    let taken = 0;
    for (let pfn = 0; taken < granted && pfn >= 0;) if ((pfn = super.take(hints)) >= 0) into[taken++] = pfn;
    return taken;
  }
}

/** Runs that are not granted. */
export function turnRuns(memory: PlainMemory, turn: Turn): PlainMemory {
  const request = memory.request.bind(memory);
  memory.request = (wish: SpecialRequest): SpecialOutcome =>
    turn.fails("SpecialFrames.request") ? { ok: false, reason: "it is its turn" } : request(wish);
  return memory;
}

/** Tables for which no frame is there. */
export function turnTables(turn: Turn): PlainTranslationSystem {
  const system = new PlainTranslationSystem();
  const { large } = system;
  const create = system.create.bind(system);
  const mapLarge = large.map.bind(large);
  Object.assign(large, {
    map: (...[tables, vpn, pfn, pages, attributes]: Parameters<typeof mapLarge>) =>
      !turn.fails("LargeLeaves.map") && mapLarge(tables, vpn, pfn, pages, attributes),
  } satisfies Partial<LargeLeaves>);
  for (const name of ["moveTables", "shareTables"] as const) {
    const work = system[name].bind(system);
    system[name] = (from, fromStart, to, toStart, pages, plan) =>
      !turn.fails(`TableStructure.${name}`) && work(from, fromStart, to, toStart, pages, plan);
  }
  system.create = () => {
    const tables = create();
    const [map, fill] = [tables.map.bind(tables), tables.fill.bind(tables)];
    const failing: Pick<TranslationTables, "map" | "fill"> = {
      map: (vpn: number, pfn: number, attributes: number, plan: FlushSink) =>
        !turn.fails("TranslationTables.map") && map(vpn, pfn, attributes, plan),
      fill: (vpn: number, pfn: number, attributes: number) =>
        !turn.fails("TranslationTables.fill") && fill(vpn, pfn, attributes),
    };
    return Object.assign(tables, failing);
  };
  return system;
}

/** A store that answers later, rejects, and fails. */
export class TurnLateSwap implements AsyncSwapStore {
  readonly slots: number;
  readonly depth = 4;
  readonly #store: MemorySwap;
  readonly #turn: Turn;
  constructor(slots: number, turn: Turn) {
    this.slots = slots;
    this.#store = new MemorySwap(slots);
    this.#turn = turn;
  }
  async writeLater(slot: number, from: Uint8Array): Promise<IoOutcome> {
    await Promise.resolve();
    if (this.#turn.fails("AsyncSwapStore.writeLater rejects")) throw new Error("it is its turn");
    return this.#turn.fails("AsyncSwapStore.writeLater") ? "failed" : this.#store.write(slot, from);
  }
  async readLater(slot: number, into: Uint8Array): Promise<IoOutcome> {
    await Promise.resolve();
    if (this.#turn.fails("AsyncSwapStore.readLater rejects")) throw new Error("it is its turn");
    return this.#turn.fails("AsyncSwapStore.readLater") ? "failed" : this.#store.read(slot, into);
  }
  async discardLater(slot: number): Promise<void> {
    await Promise.resolve();
    if (this.#turn.fails("AsyncSwapStore.discardLater rejects")) throw new Error("it is its turn");
    this.#store.discard(slot);
  }
}

/** A compressor that finds pages too large, and does not know what it made. */
export function turnCompressor(turn: Turn): Compressor {
  const real = new Lz4Block();
  return {
    name: "flaky",
    compress: (page, to) => (turn.fails("Compressor.compress") ? -1 : real.compress(page, to)),
    expand: (from, length, page) => !turn.fails("Compressor.expand") && real.expand(from, length, page),
  };
}

/** A file that answers later, and rejects. */
export class TurnLateFile implements AsyncBackingStore {
  readonly bytes: Uint8Array;
  readonly #turn: Turn;
  constructor(bytes: number, turn: Turn) {
    this.bytes = new Uint8Array(bytes);
    this.#turn = turn;
  }
  size(): number {
    return this.bytes.length;
  }
  async readLater(offset: number, into: Uint8Array): Promise<void> {
    await Promise.resolve();
    if (this.#turn.fails("AsyncBackingStore.readLater")) throw new Error("it is its turn");
    into.set(this.bytes.subarray(offset, offset + into.length));
  }
  async writeLater(offset: number, from: Uint8Array): Promise<void> {
    await Promise.resolve();
    if (this.#turn.fails("AsyncBackingStore.writeLater")) throw new Error("it is its turn");
    this.bytes.set(from, offset);
  }
}

/** A pager that throws, rejects and gives pages up; odd pages come later. A page is its index. */
export function turnPager(turn: Turn): Pager {
  const answer = (index: number, into: Uint8Array): PagerAnswer => {
    if (turn.fails("Pager.request throws")) throw new Error("it is its turn");
    if (turn.fails("Pager.request poisons")) return "poison";
    into[0] = 100 + index;
    return "filled";
  };
  return {
    request: (index, into) =>
      index % 2 === 0 ? answer(index, into) : Promise.resolve().then(() => answer(index, into)),
    writeFault: () => {
      if (turn.fails("Pager.writeFault throws")) throw new Error("it is its turn");
      return turn.fails("Pager.writeFault denies") ? "deny" : "allow";
    },
  };
}
