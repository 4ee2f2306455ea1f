/** Ports that fail when a seeded coin says so, and traced programs that run on them. */
import {
  MemoryBacking,
  MemorySwap,
  type PlainMemory,
  PlainTranslationSystem,
  SeededRandom,
  SpaceMemory,
  type AddressSpace,
  type AsyncSwapStore,
  type Clock,
  type EntrySink,
  type FlushSink,
  type FrameHints,
  type FrameSource,
  type IoOutcome,
  type SwapStore,
  type TranslationSystem,
  type TranslationTables,
} from "@pagewright/vmm";
import { KilledProgram, type ProgramCpu, type TracedProgram } from "../../src/replay/traced-program.ts";

/** Says when a call fails. */
export class Coin {
  /** Calls that failed, by port. */
  readonly failures: Map<string, number> = new Map();
  /** Nothing fails while this is set. */
  off = false;
  readonly #random: SeededRandom;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
  }

  /** Whether a call of this port fails: one in `odds`. */
  fails(port: string, odds: number): boolean {
    if (this.off || this.#random.uint32() % odds !== 0) return false;
    this.failures.set(port, (this.failures.get(port) ?? 0) + 1);
    return true;
  }

  /** A number below `bound`. */
  below(bound: number): number {
    return this.#random.uint32() % bound;
  }
}

const SPOILED = new Uint8Array(4096).fill(0xbd);

/** Frames that are not there now and then, and whose bytes are spoiled as soon as they are given back. */
export class FlakyFrames implements FrameSource {
  readonly #memory: PlainMemory;
  readonly #coin: Coin;

  constructor(memory: PlainMemory, coin: Coin) {
    this.#memory = memory;
    this.#coin = coin;
  }

  take(hints?: FrameHints): number {
    return this.#coin.fails("frames", 50) ? -1 : this.#memory.take(hints);
  }

  give(pfn: number, order?: number): void {
    this.#memory.write(pfn, 0, SPOILED);
    this.#memory.give(pfn, order);
  }

  takeMany(into: Float64Array, count: number, hints?: FrameHints): number {
    return this.#memory.takeMany(into, this.#coin.fails("frames", 50) ? 0 : count, hints);
  }

  giveMany(frames: Float64Array, count: number): void {
    for (let at = 0; at < count; at++) this.give(frames[at]!);
  }
}

/** Tables for which no frame is there now and then. */
export class FlakyTables implements TranslationSystem {
  readonly #system: PlainTranslationSystem = new PlainTranslationSystem();
  readonly #coin: Coin;
  readonly kernel = null;
  readonly structure = null;

  constructor(coin: Coin) {
    this.#coin = coin;
  }

  create(): TranslationTables | null {
    const tables = this.#system.create();
    const coin = this.#coin;
    const { root } = tables;
    return {
      root,
      get frame(): number {
        return tables.frame;
      },
      map: (vpn: number, pfn: number, attributes: number, plan: FlushSink) =>
        !coin.fails("tables", 40) && tables.map(vpn, pfn, attributes, plan),
      fill: (vpn: number, pfn: number, attributes: number) =>
        !coin.fails("tables", 40) && tables.fill(vpn, pfn, attributes),
      unmap: (start: number, end: number, plan: FlushSink, sink: EntrySink | null) => {
        tables.unmap(start, end, plan, sink);
      },
      protect: (start: number, end: number, attributes: number, plan: FlushSink) => {
        tables.protect(start, end, attributes, plan);
      },
      query: (vpn: number) => tables.query(vpn),
      harvest: (start: number, end: number, bits: number, plan: FlushSink, sink: EntrySink) => {
        tables.harvest(start, end, bits, plan, sink);
      },
      destroy: (plan: FlushSink) => {
        tables.destroy(plan);
      },
    };
  }
}

/** A store whose writes fail, or find no room, now and then, and whose reads fail seldom: what was acknowledged is there the next time. */
export class FlakySwap implements SwapStore {
  readonly slots: number;
  readonly #store: MemorySwap;
  readonly #coin: Coin;

  constructor(slots: number, coin: Coin) {
    this.slots = slots;
    this.#store = new MemorySwap(slots);
    this.#coin = coin;
  }

  write(slot: number, from: Uint8Array): IoOutcome {
    if (this.#coin.fails("swap", 20)) return this.#coin.below(2) === 0 ? "failed" : "full";
    return this.#store.write(slot, from);
  }

  read(slot: number, into: Uint8Array): IoOutcome {
    if (this.#coin.fails("swap reads", 100)) return "failed";
    return this.#store.read(slot, into);
  }

  discard(slot: number): void {
    this.#store.discard(slot);
  }
}

/** The same, later: a promise that takes a few turns, and is rejected now and then. */
export class FlakyLateSwap implements AsyncSwapStore {
  readonly slots: number;
  readonly depth = 4;
  readonly #odds: number;
  readonly #store: MemorySwap;
  readonly #coin: Coin;

  /** @param odds one write in so many is rejected: with 1 the store is fenced at once */
  constructor(slots: number, coin: Coin, odds: number) {
    this.slots = slots;
    this.#store = new MemorySwap(slots);
    this.#coin = coin;
    this.#odds = odds;
  }

  async writeLater(slot: number, from: Uint8Array): Promise<IoOutcome> {
    await this.#turns();
    if (this.#coin.fails("late swap", this.#odds)) throw new Error("the connection is gone");
    return this.#store.write(slot, from);
  }

  async readLater(slot: number, into: Uint8Array): Promise<IoOutcome> {
    await this.#turns();
    if (this.#coin.fails("late swap reads", 10)) throw new Error("the connection is gone");
    return this.#store.read(slot, into);
  }

  async discardLater(slot: number): Promise<void> {
    await this.#turns();
    this.#store.discard(slot);
  }

  async #turns(): Promise<void> {
    for (let turns = this.#coin.below(8); turns > 0; turns--) await Promise.resolve();
  }
}

/** A file whose reads fail now and then. */
export class FlakyFile extends MemoryBacking {
  readonly #coin: Coin;

  constructor(content: Uint8Array, coin: Coin) {
    super(content);
    this.#coin = coin;
  }

  override read(offset: number, into: Uint8Array): IoOutcome {
    return this.#coin.fails("file", 20) ? "failed" : super.read(offset, into);
  }
}

/** Time that stands still, creeps and leaps. */
export class LeapingClock implements Clock {
  #now = 0;
  readonly #coin: Coin;

  constructor(coin: Coin) {
    this.#coin = coin;
  }

  nanoseconds(): number {
    if (this.#coin.fails("clock", 10)) this.#now += 2 ** this.#coin.below(50);
    return this.#now;
  }
}

/** A processor over a space without a machine. */
class SpaceCpu implements ProgramCpu {
  readonly memory: SpaceMemory;
  constructor(space: AddressSpace) {
    this.memory = new SpaceMemory(space);
  }
  load32(va: number): number {
    return this.memory.load32(va);
  }
  fetch32(va: number): number {
    return this.memory.load32(va);
  }
  store32(va: number, value: number): boolean {
    return this.memory.store32(va, value);
  }
  copyIn(va: number, bytes: Uint8Array): boolean {
    return this.memory.copyIn(va, bytes) === bytes.length;
  }
  copyOut(va: number, into: Uint8Array): boolean {
    return this.memory.copyOut(va, into) === into.length;
  }
}

/** Failures in a row after which an access is not tried again. */
const MAX_TRIES = 200;

/** A program in a space whose ports fail: an access that fails is waited for, or tried again. */
export class StubbornProgram {
  /** Accesses that failed and were tried again. */
  retries = 0;
  readonly #cpu: SpaceCpu;
  readonly #space: AddressSpace;
  readonly #program: TracedProgram;

  constructor(space: AddressSpace, program: TracedProgram) {
    this.#cpu = new SpaceCpu(space);
    this.#space = space;
    this.#program = program;
  }

  /** Runs up to `count` records. */
  async run(count: number): Promise<void> {
    const end = Math.min(this.#program.position + count, this.#program.trace.records.length);
    await this.#insist(() => {
      this.#program.run(this.#cpu, end - this.#program.position);
    });
  }

  /** Compares every page that was touched; returns how many there are. */
  async verify(): Promise<number> {
    let verified = 0;
    for (let page = 0; page < this.#program.trace.vpns.length; page++)
      await this.#insist(() => {
        verified += this.#program.verify(this.#cpu, page, page + 1);
      });
    return verified;
  }

  async #insist(work: () => void): Promise<void> {
    let position = -1;
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      try {
        work();
        return;
      } catch (error) {
        if (!(error instanceof KilledProgram)) throw error;
        const { fault } = this.#cpu.memory;
        if (fault !== "no-memory" && fault !== "pending" && fault !== "bus" && fault !== "spurious") throw error;
        if (fault === "pending") await this.#space.pending;
        this.retries++;
        if (this.#program.position !== position) tries = 0;
        ({ position } = this.#program);
      }
    }
    throw new Error(`no progress: ${this.#cpu.memory.fault}`);
  }
}
