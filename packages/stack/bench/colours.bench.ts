/**
 * Conflict misses of a physically indexed cache with and without page colouring: frames whose colours follow their pages, against frames as they come from an allocator
 * that has worked for a while. A conflict miss is one that a fully associative cache of the same size would not have had.
 *
 *   node --conditions=@pagewright/source --import tsx bench/colours.bench.ts [--json]
 *
 * Two workloads: a loop over an array that fits the cache with room to spare, and the page references of a real program, of each page in turn a line of its own.
 */
import { LastLevelCache, SeededRandom } from "@pagewright/machine";
import { Pmm } from "@pagewright/pmm";
import { PlainMemory, READ, SpaceMemory, Vmm, WRITE } from "@pagewright/vmm";
import { recordedPages } from "./recorded-pages.ts";

/** 1 MiB of 4 ways: 64 colours. */
const CACHE = { bytes: 2 ** 20, ways: 4 };
const COLOURS: number = CACHE.bytes / CACHE.ways / 4096;
const LINE = 64;
const MEMORY_FRAMES = 16384;

interface Misses {
  readonly all: number;
  readonly conflict: number;
}

/** The frames of `pages` pages of a region, asked for with or without colours, out of memory that others have used and left in disorder. */
function framesFor(pages: number, coloured: boolean): Float64Array {
  const range = { start: 0, end: MEMORY_FRAMES, node: 0, rank: 0, hotPluggable: false, faulty: [] };
  const pmm = new Pmm({ ranges: [range], colours: coloured ? COLOURS : 1 });
  const window = new PlainMemory(MEMORY_FRAMES);
  const random = new SeededRandom(5);
  const taken: number[] = [];
  for (let pfn = pmm.take(); pfn >= 0; pfn = pmm.take()) taken.push(pfn);
  for (let at = taken.length - 1; at > 0; at--) {
    const other = random.below(at + 1);
    const held = taken[at] ?? 0;
    taken[at] = taken[other] ?? 0;
    taken[other] = held;
  }
  for (const pfn of taken.slice(0, taken.length / 2)) pmm.give(pfn);
  const vmm = new Vmm({ frames: pmm, window });
  const space = vmm.createSpace();
  const wish = coloured ? { frames: { policy: "local", colours: COLOURS } as const } : {};
  const at = space?.map({ bytes: pages * 4096, rights: READ + WRITE, alignment: COLOURS * 4096, ...wish });
  if (space === null || typeof at !== "number") throw new Error("not mapped");
  const bytes = new SpaceMemory(space);
  return Float64Array.from({ length: pages }, (_, page) => {
    bytes.store32(at + page * 4096, 1);
    space.tables.query(at / 4096 + page);
    return space.tables.frame;
  });
}

/** Runs lines (page × 64 + line of the page) through the cache, and through a fully associative one beside it. */
function run(frames: Float64Array, lines: Uint32Array): Misses {
  const cache = new LastLevelCache({ ...CACHE, lineBytes: LINE });
  const whole = new Map<number, true>();
  const room = CACHE.bytes / LINE;
  let all = 0;
  let conflict = 0;
  for (const line of lines) {
    const missed = !cache.access(frames[line >>> 6]! * 4096 + (line & 63) * LINE);
    const known = whole.delete(line);
    whole.set(line, true);
    if (!known && whole.size > room)
      for (const oldest of whole.keys()) {
        whole.delete(oldest);
        break;
      }
    if (!missed) continue;
    all++;
    if (known) conflict++;
  }
  return { all, conflict };
}

/** Ten rounds over 192 pages: three quarters of the cache. */
function loop(): { pages: number; lines: Uint32Array } {
  const pages = 192;
  const lines = Uint32Array.from({ length: 10 * pages * 64 }, (_, at) => at % (pages * 64));
  return { pages, lines };
}

/** Every page reference of a recorded program as one line of the page, the next one each time that the program comes back to it. */
function recorded(): { pages: number; lines: Uint32Array } {
  const { pages, records } = recordedPages();
  const turns = new Uint32Array(pages);
  const lines = records.map((page) => page * 64 + (turns[page]!++ & 63));
  return { pages, lines };
}

for (const [name, { pages, lines }] of Object.entries({
  "a loop over 768 KiB": loop(),
  "sqlite-index.window": recorded(),
})) {
  const plain = run(framesFor(pages, false), lines);
  const coloured = run(framesFor(pages, true), lines);
  const ratio = coloured.conflict / plain.conflict;
  if (process.argv.includes("--json"))
    console.log(
      JSON.stringify({
        bench: "colours",
        metric: `conflict misses, ${name}`,
        value: coloured.conflict,
        unit: "misses",
        ratioTo: "frames as they come",
        ratio,
      }),
    );
  else
    console.log(
      `${name}: ${lines.length} accesses; conflict misses ${plain.conflict} → ${coloured.conflict} (× ${ratio.toFixed(3)}), misses ${plain.all} → ${coloured.all}`,
    );
}
