import {
  ATTR_ACCESSED,
  ATTR_DIRTY,
  attributes,
  FLUSH_REQUIRED,
  FLUSH_SPURIOUS,
  LeafCursor,
  Mapper,
  mergePages,
  MODE_32_BIT,
  MODE_4_LEVEL,
  MODE_5_LEVEL,
  MODE_EPT,
  MODE_PAE,
  moveTables,
  PagingState,
  RIGHT_EXECUTE,
  RIGHT_READ,
  RIGHT_USER,
  RIGHT_WRITE,
  splitPage,
} from "@pagewright/x86-paging";
import type { FlushPlan, PagingMode, Pfn, Refusal, Vpn } from "@pagewright/x86-paging";
import { describe, expect, test } from "vitest";
import { CountingFrames, firstDifference, Random, snapshot, SparseMemory } from "./support/memory.ts";

const SEED = 77;
const RIGHTS = RIGHT_READ | RIGHT_WRITE | RIGHT_USER | RIGHT_EXECUTE;

/** What a page should be. */
interface ModelPage {
  readonly pfn: Pfn;
  readonly packed: number;
}

/** A mapper, and beside it a Map of pages that every operation is done to by hand. */
class Model {
  readonly memory = new SparseMemory();
  readonly frames = new CountingFrames(this.memory, 0x1000);
  readonly pages = new Map<Vpn, ModelPage>();
  readonly mapper: Mapper;
  readonly mode: PagingMode;
  readonly random: Random;
  /** First page of the area in which the operations take place: a table border, so that moves are possible. */
  readonly area: Vpn;
  readonly span: number;
  readonly unit: number;

  constructor(mode: PagingMode, seed: number) {
    this.mode = mode;
    this.random = new Random(seed);
    const made = Mapper.create({ mode, memory: this.memory, frames: this.frames });
    if (!made.ok) throw new Error(made.sentence);
    this.mapper = made;
    this.unit = mode.levels[1]?.entries ?? 512;
    this.span = this.unit * 6;
    const half = 2 ** (mode.addressBits - 13);
    const third = mode.levels[3]?.pages ?? this.unit * 4;
    this.area = (mode.definition.extension === "sign" ? -half : 0) + third - this.unit * 3;
  }

  range(): { vpn: Vpn; pages: number } {
    const { random, span, area, unit } = this;
    if (random.oneIn(3)) {
      const start = random.below(6);
      return { vpn: area + start * unit, pages: unit * (1 + random.below(6 - start)) };
    }
    const start = random.below(span);
    return { vpn: area + start, pages: 1 + random.below(Math.min(span - start, random.oneIn(3) ? 700 : 9)) };
  }

  packed(): number {
    const rights = this.random.below(8);
    const key = this.mode.keyShift >= 0 ? this.random.below(3) : 0;
    const execute = this.mode.noExecuteHigh !== 0 || this.mode.executeMask !== 0 ? (rights & 4) !== 0 : true;
    return attributes({
      write: (rights & 1) !== 0,
      user: this.mode.userMask !== 0 && (rights & 2) !== 0,
      execute,
      key,
      memoryType: this.mode.definition.rule === "ept" ? 6 : this.random.below(2),
    });
  }

  /** What the tables map, page by page, through the cursor. */
  seen(): Map<Vpn, ModelPage> {
    const state = new PagingState({ mode: this.mode, root: this.mapper.root });
    if (this.mode === MODE_PAE) state.rootEntries.set(this.memory.words(this.mapper.root).subarray(0, 8));
    const cursor = new LeafCursor(state, this.memory);
    const found = new Map<Vpn, ModelPage>();
    while (cursor.next()) {
      for (let i = 0; i < cursor.pages; i++) {
        const mapping = i === 0 ? this.mapper.query(cursor.vpn) : null;
        if (mapping !== null) this.#last = mapping.attributes & ~(ATTR_ACCESSED | ATTR_DIRTY);
        found.set(cursor.vpn + i, { pfn: cursor.pfn + i, packed: this.#last });
      }
    }
    return found;
  }

  #last = 0;

  /** Everything that must hold after an operation. */
  check(): void {
    this.mapper.check();
    const seen = this.seen();
    expect(seen.size).toBe(this.pages.size);
    for (const [vpn, page] of this.pages) {
      const found = seen.get(vpn);
      if (found?.pfn !== page.pfn || found.packed !== page.packed) expect(found, `page ${vpn}`).toEqual(page);
    }
    expect(this.frames.taken.size).toBe(this.mapper.countTables());
  }
}

/** Every page of the plan's frames. */
function freed(plan: FlushPlan): Map<Vpn, Pfn> {
  const found = new Map<Vpn, Pfn>();
  plan.forEachFrame((pfn, pages, vpn) => {
    for (let i = 0; i < pages; i++) found.set(vpn + i, pfn + i);
  });
  return found;
}

function requiredPages(plan: FlushPlan, least: number): Set<Vpn> {
  const found = new Set<Vpn>();
  for (const range of plan.ranges)
    if (range.need >= least) for (let i = 0; i < range.pages; i++) found.add(range.start + i);
  return found;
}

/** Completes a plan; its frames must be exactly those of the pages in `gone`. */
function settle(plan: FlushPlan, gone: ReadonlyMap<Vpn, ModelPage>): void {
  const found = freed(plan);
  expect(found.size).toBe(gone.size);
  for (const [vpn, page] of gone)
    if (found.get(vpn) !== page.pfn) throw new Error(`page ${vpn}: frame ${page.pfn} is not in the plan`);
  const flushed = requiredPages(plan, FLUSH_REQUIRED);
  for (const vpn of gone.keys()) if (!flushed.has(vpn)) throw new Error(`page ${vpn} must be flushed`);
  plan.complete();
}

function doMap(model: Model): FlushPlan | Refusal {
  const { random, pages } = model;
  const { vpn, pages: count } = model.range();
  const replace = random.oneIn(3);
  const raw = random.oneIn(2) ? vpn - model.area : random.below(1 << 16);
  const pfn = 0x40000 + raw;
  const packed = model.packed();
  const result = model.mapper.map(vpn, count, pfn, packed, { replace });
  const taken = Array.from({ length: count }, (_, i) => vpn + i).some((page) => pages.has(page));
  if (!result.ok) {
    if (result.reason === "mapped") expect(taken && !replace).toBe(true);
    return result;
  }
  expect(taken && !replace).toBe(false);
  const gone = new Map<Vpn, ModelPage>();
  for (let i = 0; i < count; i++) {
    const before = pages.get(vpn + i);
    if (before !== undefined) gone.set(vpn + i, before);
    pages.set(vpn + i, { pfn: pfn + i, packed });
  }
  settle(result, gone);
  return result;
}

function doUnmap(model: Model): FlushPlan | Refusal {
  const { vpn, pages: count } = model.range();
  const result = model.mapper.unmap(vpn, count);
  if (!result.ok) return result;
  const gone = new Map<Vpn, ModelPage>();
  for (let i = 0; i < count; i++) {
    const before = model.pages.get(vpn + i);
    if (before !== undefined) gone.set(vpn + i, before);
    model.pages.delete(vpn + i);
  }
  settle(result, gone);
  return result;
}

function doProtect(model: Model): FlushPlan | Refusal {
  const { vpn, pages: count } = model.range();
  const packed = model.packed();
  const result = model.mapper.protect(vpn, count, packed);
  if (!result.ok) return result;
  const required = requiredPages(result, FLUSH_REQUIRED);
  const any = requiredPages(result, FLUSH_SPURIOUS);
  for (let i = 0; i < count; i++) {
    const before = model.pages.get(vpn + i);
    if (before === undefined) continue;
    const after = (before.packed & ~RIGHTS) | (packed & RIGHTS);
    if ((before.packed & ~after & RIGHTS) !== 0)
      expect(required.has(vpn + i), "a lost right must be flushed").toBe(true);
    else if (before.packed !== after) expect(any.has(vpn + i), "a right gained may fault spuriously").toBe(true);
    model.pages.set(vpn + i, { pfn: before.pfn, packed: after });
  }
  expect(freed(result).size).toBe(0);
  result.complete();
  return result;
}

function doSplit(model: Model): FlushPlan | Refusal {
  const result = splitPage(model.mapper, model.range().vpn);
  if (result.ok) result.complete();
  return result;
}

function doMerge(model: Model): FlushPlan | Refusal {
  const result = mergePages(model.mapper, model.range().vpn, 2);
  if (result.ok) {
    expect(result.invalidations).toBe(model.unit);
    result.complete();
  }
  return result;
}

function doMove(model: Model): FlushPlan | Refusal {
  const { random, unit, area, pages } = model;
  const from = area + unit * random.below(3);
  const to = area + unit * (3 + random.below(3));
  const count = unit;
  const result = moveTables(model.mapper, from, count, model.mapper, to);
  if (!result.ok) return result;
  const flushed = requiredPages(result, FLUSH_REQUIRED);
  for (let i = 0; i < count; i++) {
    const page = pages.get(from + i);
    if (page === undefined) continue;
    if (!flushed.has(from + i)) throw new Error(`moved page ${from + i} must be flushed`);
    pages.delete(from + i);
    pages.set(to + i, page);
  }
  expect(result.heldFrames).toBe(0);
  result.complete();
  return result;
}

const OPERATIONS = [doMap, doMap, doMap, doUnmap, doUnmap, doProtect, doProtect, doSplit, doMerge, doMove];

const MODES: readonly (readonly [string, PagingMode])[] = [
  MODE_4_LEVEL,
  MODE_5_LEVEL,
  MODE_PAE,
  MODE_32_BIT,
  MODE_EPT,
].map((mode) => [mode.name, mode]);

describe.each(MODES)("mapper, %s", (_name, mode) => {
  test(`random operations agree with a Map of pages, and every frame is accounted for (seed ${SEED})`, () => {
    const model = new Model(mode, SEED);
    for (let step = 0; step < 80; step++) {
      const operation = model.random.pick(OPERATIONS);
      operation(model);
      model.check();
    }
    const plan = model.mapper.destroy();
    plan.complete();
    expect(model.frames.taken.size).toBe(0);
  });

  test(`an operation that runs out of table frames at any point leaves the tables exactly as they were (seed ${SEED})`, () => {
    let refused = 0;
    const model = new Model(mode, SEED + 1);
    for (let step = 0; step < 60; step++) {
      const before = snapshot(model.memory.frames);
      const operation = model.random.pick(OPERATIONS);
      model.frames.left = model.random.below(4);
      const result = operation(model);
      model.frames.left = Infinity;
      if (!result.ok) {
        if (result.reason === "no-table-frame") refused++;
        expect(firstDifference(model.memory.frames, before)).toBe("none");
      }
      model.check();
    }
    expect(refused).toBeGreaterThan(0);
  });
});
