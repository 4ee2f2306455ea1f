/**
 * What is run before the clock starts, so that the clock times the stack and not the compiler of the host's JavaScript engine, which would otherwise
 * compile the path of a fault bit by bit through its first thousands: made-up programs, one after the other, on a stack of their own.
 *
 * The real stack has to be there already, and the rehearsed one has to stay until the clock is stopped: with the last object of a shape V8 throws
 * away the code that it compiled for that shape.
 */
import type { Stack } from "@pagewright/stack";
import { FETCH, LOAD, STORE } from "../page-trace.ts";
import type { PageTrace } from "../page-trace.ts";
import { breathe } from "../temporary.ts";
import { isPath } from "../user-module.ts";
import { sumOf } from "./figures.ts";
import { ReplayProcess } from "./process.ts";
import { settingOf } from "./set-up.ts";
import type { Replay } from "./set-up.ts";
import { KilledProgram, TracedProgram } from "./traced-program.ts";

/** A replay with fewer records than this is over before its rehearsal would be. */
const LEAST_RECORDS = 2 ** 17;
/** Pages that the programs come upon together: with half as many, faults are half compiled; with twice as many, no faster. */
const ALL_PAGES = 6144;
/** Most pages of one program: two page tables' worth and a little. */
const MOST_PAGES = 1100;
/** Records of a program for each of its pages. */
const RECORDS_PER_PAGE = 16;
/** Pages from one record to the next; prime to the number of pages, so that every page has its turn. */
const STRIDES: readonly number[] = [7, 11, 13];
/** No program is begun after so long: where hardly any page fits, every record is a fault. */
const LONGEST_MS = 1000;
/** Page number of a program's first page. */
const FIRST_VPN = 0x400;
/** Pages in a row with the same use. */
const RUN_PAGES = 8;
/** Uses of pages: what the first record does with a page, and what the later ones do. */
const USES: readonly (readonly [first: number, later: number])[] = [
  [STORE, LOAD],
  [LOAD, STORE],
  [FETCH, FETCH],
  [STORE, STORE],
  [LOAD, LOAD],
  [STORE, LOAD],
];

/** What was rehearsed. */
export interface Rehearsal {
  readonly records: number;
  readonly seconds: number;
  /** To be kept while the replay runs; null if nothing was rehearsed. */
  readonly stack: Stack | null;
}

/** In place of a rehearsal. */
export const NO_REHEARSAL: Rehearsal = { records: 0, seconds: 0, stack: null };

/**
 * Rehearses for a replay that is set up: on its machine, with its share of memory and its swap tiers, but without the user's own modules, which are
 * for the replay alone. Takes about 0.3 s; a short replay has no rehearsal.
 */
export async function rehearse({ request, programs, contents, frames }: Replay): Promise<Rehearsal> {
  if (sumOf(programs, ({ trace }) => trace.records.length) < LEAST_RECORDS) return NO_REHEARSAL;
  const started = performance.now();
  const allPages = sumOf(programs, ({ trace }) => trace.vpns.length);
  const pages = Math.min(MOST_PAGES, allPages);
  const trace = madeUpTrace(pages);
  const policy = request.policy === null || isPath(request.policy) ? null : request.policy;
  const swap = request.swap.map((word) => (isPath(word) ? "file" : word));
  const share = Math.ceil((frames / allPages) * pages);
  const { stack, tiers, folder } = await settingOf({ ...request, policy, swap }, pages, share);
  let records = 0;
  for (let left = Math.ceil(ALL_PAGES / pages); left > 0 && performance.now() - started < LONGEST_MS; left--) {
    const program = new TracedProgram(trace, contents, left, request.pages);
    const process = new ReplayProcess(stack, program, 0, folder);
    await runAsFarAsItGoes(process);
    records += program.position;
    process.end();
    await breathe();
  }
  await tiers.close();
  return { records, seconds: (performance.now() - started) / 1000, stack };
}

/** Runs a program to its end, or to where memory ends: if the replay has too little, it will say so itself. */
async function runAsFarAsItGoes(process: ReplayProcess): Promise<void> {
  try {
    while (!process.program.done) await process.runSlice();
  } catch (error) {
    if (!(error instanceof KilledProgram)) throw error;
  }
}

/** A program that comes upon all its pages here and there, and then, in order, goes on with each for a while: memory that is too small is met twice by each page. */
function madeUpTrace(pages: number): PageTrace {
  const vpns = Float64Array.from({ length: pages }, (_, page) => FIRST_VPN + page);
  const stride = STRIDES.find((step) => pages % step !== 0) ?? 1;
  const records = Uint32Array.from({ length: pages * RECORDS_PER_PAGE }, (_, at) => {
    const isFirst = at < pages;
    const page = isFirst ? (at * stride) % pages : Math.floor((at - pages) / (RECORDS_PER_PAGE - 1));
    const [first, later] = USES[Math.floor(page / RUN_PAGES) % USES.length] ?? [LOAD, LOAD];
    return page * 4 + (isFirst ? first : later);
  });
  const runs = new Uint32Array(records.length).fill(1);
  return { name: "rehearsal", header: {}, vpns, records, runs, references: records.length };
}
