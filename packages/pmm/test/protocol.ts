import * as arenaModule from "../src/arena.ts";
import * as errorsModule from "../src/errors.ts";
import { Pmm } from "../src/index.ts";
import type { FrameRange } from "../src/index.ts";
import * as hintModule from "../src/hint-map.ts";
import * as layoutModule from "../src/layout.ts";
import * as unitsModule from "../src/units.ts";
import { zonesOf } from "../src/zone.ts";
import { explore, stepping } from "./interleave.ts";
import type { Explored, SteppedSource, Steps } from "./interleave.ts";
import { range } from "./ranges.ts";

/** The methods that the scenarios call, as generators. */
interface SteppingMap {
  add(member: number): Steps;
  remove(member: number): Steps;
}
interface SteppingBlocks {
  reserve(block: number, worker: number): Steps;
  release(block: number, claimed: number, cls: number): Steps;
  put(bitWord: number, mask: number, frames: number): Steps;
  takeWhole(from: number, end: number, worker: number): Steps;
  giveWhole(block: number): Steps;
  takeGroup(from: number, end: number, worker: number): Steps;
  giveGroup(group: number): Steps;
}
interface SteppingStacks {
  baseOf(node: number, kind: number, colour: number): Steps;
  refill(base: number, zone: unknown, kind: number, colour: number, limit: number): Steps;
  drain(base: number, count: number, zone: unknown): Steps;
  pop(base: number, code: number): Steps;
}

const source = (name: string, ...shared: string[]): SteppedSource => ({
  file: new URL(`../src/${name}.ts`, import.meta.url),
  shared,
});
const sources = [
  source("hint-map", "#words"),
  source("blocks", "#words", "#bits", "#groups"),
  source("page-stacks", "#state", "#bits"),
];
const modules = stepping(sources, {
  "./arena.ts": arenaModule,
  "./errors.ts": errorsModule,
  "./layout.ts": layoutModule,
  "./units.ts": unitsModule,
});
export const HintMap = modules["./hint-map.ts"]?.["HintMap"] as new (
  words: Int32Array,
  start: number,
  size: number,
) => SteppingMap;
const Blocks = modules["./blocks.ts"]?.["Blocks"] as new (arena: object) => SteppingBlocks;
const Stacks = modules["./page-stacks.ts"]?.["PageStacks"] as new (
  arena: object,
  blocks: SteppingBlocks,
  worker: number,
) => SteppingStacks;

/** Runs a generator to its end at once. */
export function finished(steps: Steps): unknown {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/** A small allocator whose protocol runs step by step, and the words that its threads can change. */
export class Instance {
  readonly pmm: Pmm;
  readonly arena: arenaModule.Arena;
  readonly blocks: SteppingBlocks;
  readonly zone: ReturnType<typeof zonesOf>[number];
  readonly #steppingArena: object;
  readonly #start: Int32Array;
  readonly #watched: readonly Int32Array[];

  constructor(ranges: FrameRange[], workers: number, prepare: (pmms: Pmm[]) => void) {
    this.pmm = new Pmm({ ranges, lowZoneEnd: 0, workers });
    const { share } = this.pmm;
    const pmms = [this.pmm];
    for (let worker = 1; worker < workers; worker += 1) pmms.push(new Pmm({ share, worker }));
    prepare(pmms);
    this.arena = new arenaModule.Arena(share.layout, share.buffer);
    const { layout, buffer } = share;
    const hints = new Int32Array(buffer, layout.hints, (layout.tallies - layout.hints) / 4);
    const { groups } = layout.geometry;
    const blocks = groups * layoutModule.GROUP_BLOCKS;
    const words = hintModule.hintWords(blocks);
    const maps = Array.from({ length: workers * 2 + 1 }, (_, map) => new HintMap(hints, map * words, blocks));
    const joinable = new HintMap(hints, maps.length * words + hintModule.hintWords(groups), groups);
    this.#steppingArena = Object.create(this.arena, {
      partial: { value: maps.slice(0, -1) },
      whole: { value: maps.at(-1) },
      wholeGroups: { value: new HintMap(hints, maps.length * words, groups) },
      joinable: { value: joinable },
    }) as object;
    this.blocks = new Blocks(this.#steppingArena);
    const zone = zonesOf(this.arena)[0];
    if (zone === undefined) throw new Error("There is no zone");
    this.zone = zone;
    this.#watched = [
      hints,
      this.arena.control,
      this.arena.groups,
      this.arena.blocks.subarray(0, 4),
      this.arena.bits.subarray(0, 64),
      new Int32Array(buffer, layout.state, Math.min(4, blocks) * 128),
      ...pmms.map((_, worker) =>
        this.arena.workers.subarray(this.arena.areaOf(worker), this.arena.areaOf(worker) + 40),
      ),
    ];
    this.#start = this.memory();
  }

  stacks(worker: number): { stacks: SteppingStacks; base: number } {
    const stacks = new Stacks(this.#steppingArena, this.blocks, worker);
    return { stacks, base: Number(finished(stacks.baseOf(0, 0, 0))) };
  }

  memory(): Int32Array {
    const all = new Int32Array(this.#watched.reduce((sum, words) => sum + words.length, 0));
    let at = 0;
    for (const words of this.#watched) {
      all.set(words, at);
      at += words.length;
    }
    return all;
  }

  reset(): void {
    let at = 0;
    for (const words of this.#watched) {
      words.set(this.#start.subarray(at, at + words.length));
      at += words.length;
    }
  }

  /** Explores threads; at the end of every order (and death) the real checker must be content. */
  explore(threads: (() => Steps)[], deaths: boolean, verify: () => void = () => undefined): Explored {
    return explore({
      deaths,
      memory: () => this.memory(),
      start: () => {
        this.reset();
        return threads.map((thread) => thread());
      },
      verify: (died) => {
        if (died >= 0) {
          const saviour = new Pmm({ share: this.pmm.share, worker: threads.length });
          saviour.recover(died);
        } else verify();
        this.pmm.check();
      },
    });
  }
}

/** Refill one frame and pop it. */
export function* taking(instance: Instance, worker: number, got: number[]): Generator<unknown, void> {
  const { stacks, base } = instance.stacks(worker);
  if (Number(yield* stacks.refill(base, instance.zone, 0, 0, 1)) > 0) got.push(Number(yield* stacks.pop(base, 16)));
}

export function* draining(instance: Instance, worker: number, count: number): Generator<unknown, void> {
  const { stacks, base } = instance.stacks(worker);
  yield* stacks.drain(base, count, instance.zone);
}

/** The scenarios that both suites explore: without deaths, and with one at any step. */
export function scenarios(deaths: boolean): { readonly name: string; run(): Explored }[] {
  return [
    {
      name: "two workers refill from one block of two frames",
      run: () => {
        let got: number[] = [];
        const instance = new Instance([range(0, 2)], 3, () => undefined);
        const first = (): Steps => {
          got = [];
          return taking(instance, 0, got);
        };
        return instance.explore([first, () => taking(instance, 1, got)], deaths, () => {
          if (new Set(got).size !== got.length) throw new Error("One frame was taken twice");
        });
      },
    },
    {
      name: "one worker refills while another drains into the same block",
      run: () => {
        const instance = new Instance([range(0, 3)], 3, (pmms) => {
          const frames = new Float64Array(3);
          pmms[0]?.takeMany(frames, 3);
          pmms[1]?.give(frames[0]!);
          pmms[1]?.give(frames[1]!);
        });
        return instance.explore([() => taking(instance, 0, []), () => draining(instance, 1, 2)], deaths);
      },
    },
    {
      name: "the last frame of a block comes home while another worker takes the block whole",
      run: () => {
        const instance = new Instance([range(0, 512)], 3, (pmms) => {
          const pfn = pmms[1]?.take() ?? -1;
          pmms[1]?.drain();
          pmms[1]?.give(pfn);
        });
        return instance.explore([() => takingWhole(instance, 0), () => draining(instance, 1, 1)], deaths);
      },
    },
  ];
}

/** Drains, and notes a double free instead of throwing it. */
function* drainingDoubled(instance: Instance, worker: number, found: number[]): Generator<unknown, void> {
  try {
    yield* draining(instance, worker, 1);
  } catch (error) {
    if (!errorsModule.PmmError.is(error) || error.code !== "double-free") throw error;
    found.push(worker);
  }
}

/** A frame that two workers gave at once, on the stacks of both; they drain it. */
export function doubleFree(): Explored {
  let found: number[] = [];
  const instance = new Instance([range(0, 4)], 2, (pmms) => {
    const pfn = pmms[0]?.take() ?? -1;
    pmms[0]?.drain();
    pmms[1]?.take();
    pmms[1]?.drain();
    const again = pmms[0]?.take() ?? pfn;
    pmms[0]?.drain();
    const share = pmms[0]?.share;
    if (share === undefined) return;
    const state = new Uint8Array(share.buffer, share.layout.state, 4);
    pmms[0]?.give(again);
    state[again] = arenaModule.TAKEN;
    pmms[1]?.give(again);
  });
  const first = (): Steps => {
    found = [];
    return drainingDoubled(instance, 0, found);
  };
  return instance.explore([first, () => drainingDoubled(instance, 1, found)], false, () => {
    if (found.length !== 1) throw new Error(`${found.length} of two workers found the double free`);
  });
}

/** Three at once: one refills, one drains the block's last frames, one takes it whole. */
export function threeThreads(): Explored {
  const instance = new Instance([range(0, 512)], 3, (pmms) => {
    const pfn = pmms[1]?.take() ?? -1;
    pmms[1]?.drain();
    pmms[1]?.give(pfn);
  });
  return instance.explore(
    [() => taking(instance, 2, []), () => draining(instance, 1, 1), () => takingWhole(instance, 0)],
    false,
  );
}

/** Takes a whole block, as a taker of order 9 does. */
export function* takingWhole(instance: Instance, worker: number): Generator<unknown, void> {
  const block = Number(yield* instance.blocks.takeWhole(0, 4, worker));
  if (block < 0) return;
  yield;
  instance.arena.state[block * 512] = arenaModule.TAKEN_2M;
  yield;
  instance.arena.intend(worker, layoutModule.TAKING, 0);
  instance.zone.addFree(-512);
}

/** Takes a whole group, by joining its blocks if it must, as a taker of the largest order does. */
export function* takingGroup(instance: Instance, worker: number, got: number[] = []): Generator<unknown, void> {
  const group = Number(yield* instance.blocks.takeGroup(0, 1, worker));
  if (group < 0) return;
  yield;
  instance.arena.state[group * unitsModule.GROUP_FRAMES] = arenaModule.TAKEN_1G;
  yield;
  instance.arena.intend(worker, layoutModule.TAKING, 0);
  instance.zone.addFree(-unitsModule.GROUP_FRAMES);
  got.push(group);
}

/** Gives a taken group back, as `give` of the largest order does. */
export function* givingGroup(instance: Instance, group: number): Generator<unknown, void> {
  const { arena } = instance;
  arena.intend(0, layoutModule.GIVING_BACK, -1 - group);
  yield;
  arena.state[group * unitsModule.GROUP_FRAMES] = arenaModule.STACKED;
  const given = yield* instance.blocks.giveGroup(group);
  yield;
  arena.intend(0, layoutModule.GIVING_BACK, 0);
  yield;
  if (given === true) instance.zone.addFree(unitsModule.GROUP_FRAMES);
}
