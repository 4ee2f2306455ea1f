/**
 * The main job: traced programs on a whole stack, every access checked.
 *
 *     traces ─► programs ─► processes on a stack ─► rehearsal ─► clock: every record ─► audit, whole pages, audit
 *                           (machine, frames, tables, manager, swap)
 */
import { audit } from "@pagewright/stack";
import { FailedCheck, UsageError } from "../output.ts";
import { Progress } from "../progress.ts";
import { breathe } from "../temporary.ts";
import { bothOf, checkedBy, figuresOf, sumOf } from "./figures.ts";
import type { ReplayProcess } from "./process.ts";
import { NO_REHEARSAL, rehearse } from "./rehearsal.ts";
import type { ReplayReport } from "./report.ts";
import { setUp } from "./set-up.ts";
import type { Replay, ReplayRequest } from "./set-up.ts";
import { KilledProgram } from "./traced-program.ts";

/** Milliseconds between two looks at signals and the terminal. */
const BREATH_MS = 50;
/** Pages verified between two looks. */
const VERIFY_PAGES = 1024;

/**
 * Replays traces and returns what was found.
 *
 * @throws {@link UsageError} if an input is bad, memory does not suffice, or a swap store fails.
 */
export async function replay(request: ReplayRequest): Promise<ReplayReport> {
  const running = await setUp(request);
  try {
    const rehearsal = request.rehearsed === true ? await rehearse(running) : NO_REHEARSAL;
    const seconds = await runAll(running);
    const figures = figuresOf(running);
    const before = audit(running.stack);
    const pagesVerified = await verifyAll(running);
    const after = audit(running.stack);
    return {
      ...figures,
      ...checkedBy(running.programs),
      seconds,
      recordsPerSecond: figures.records / seconds,
      rehearsal: { records: rehearsal.records, seconds: rehearsal.seconds },
      pagesVerified,
      audit: bothOf(before, after),
    };
  } catch (error) {
    throw error instanceof KilledProgram ? verdictOn(running, error) : error;
  } finally {
    for (const process of running.processes) process.close();
    await running.tiers.close();
  }
}

/** Runs the processes in turns until all are done; returns the seconds that it took. */
async function runAll(running: Replay): Promise<number> {
  const { processes } = running;
  const progress = new Progress(
    "replaying",
    sumOf(running.programs, ({ trace }) => trace.records.length),
    "records",
  );
  const started = performance.now();
  let breath = started;
  const waiting = new Map<ReplayProcess, Promise<void>>();
  for (let left = processes.filter(isUnfinished); left.length > 0; left = left.filter(isUnfinished)) {
    for (const process of left) {
      const pending = waiting.has(process) ? null : process.runSlice();
      if (pending !== null)
        waiting.set(
          process,
          pending.finally(() => waiting.delete(process)),
        );
    }
    if (waiting.size === left.length) await Promise.race(waiting.values());
    if (performance.now() - breath < BREATH_MS) continue;
    progress.update(sumOf(running.programs, ({ position }) => position));
    failIfLost(running);
    await breathe();
    breath = performance.now();
  }
  progress.stop();
  failIfLost(running);
  return (performance.now() - started) / 1000;
}

/** Verifies whole pages of all processes; returns how many were touched. */
async function verifyAll(running: Replay): Promise<number> {
  const progress = new Progress(
    "verifying",
    sumOf(running.programs, ({ trace }) => trace.vpns.length),
    "pages",
  );
  let verified = 0;
  for (const process of running.processes) {
    const pages = process.program.trace.vpns.length;
    for (let page = 0; page < pages; page++) {
      for (let wait = process.verify(page); wait !== null; wait = process.verify(page)) await wait;
      if ((page + 1) % VERIFY_PAGES !== 0 && page + 1 < pages) continue;
      progress.update(verified + process.pagesVerified);
      failIfLost(running);
      await breathe();
    }
    verified += process.pagesVerified;
  }
  progress.stop();
  return verified;
}

/** A program that could not go on: too little memory is the user's to mend, anything else is a defect of the stack. */
function verdictOn({ stack, frames, tiers }: Replay, killed: KilledProgram): Error {
  const failure = tiers.failure();
  if (failure !== null) return new UsageError(failure);
  if (stack.lastFault === "no-memory") {
    const failed = sumOf(stack.vmm.swapTiers(), ({ failedWrites }) => failedWrites);
    const full = `${frames} frames and swap (${tiers.names.join(", ")}) are full`;
    return new UsageError(
      `out of memory: ${killed.message}; ${full}${failed === 0 ? "" : `, ${failed} writes of pages to swap failed`}`,
    );
  }
  return new FailedCheck(`${killed.message}: ${stack.lastFault}`);
}

/** A replay on a disk that fails says nothing about the stack: it ends with what the disk complained about. */
function failIfLost({ tiers }: Replay): void {
  const failure = tiers.failure();
  if (failure !== null) throw new UsageError(failure);
}

function isUnfinished(process: ReplayProcess): boolean {
  return !process.program.done;
}
