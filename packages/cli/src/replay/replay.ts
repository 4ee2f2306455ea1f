/**
 * The main job: traced programs on a whole stack, every access checked.
 *
 *     traces ─► programs ─► processes on a stack (machine, frames, tables, manager, swap) ─► audit, whole pages, audit
 */
import { basename } from "node:path";
import { PhysicalMap, ROOMY_TLB } from "@pagewright/machine";
import { audit, createStack } from "@pagewright/stack";
import type { AuditReport, Stack } from "@pagewright/stack";
import { REAL_PAGES } from "../data.ts";
import { readInput } from "../files.ts";
import { readFirmwareMap } from "../firmware-input.ts";
import { FailedCheck, UsageError } from "../output.ts";
import { decodePageTrace } from "../page-trace.ts";
import { Progress } from "../progress.ts";
import { framesOf } from "../ram-size.ts";
import type { RamSize } from "../ram-size.ts";
import { breathe, temporaryFolder } from "../temporary.ts";
import { KernelMisses } from "./kernel-misses.ts";
import { managerPolicyOf } from "./manager-policy.ts";
import { tlbOf } from "./page-size.ts";
import type { PageSizes } from "./page-size.ts";
import { PageContents } from "./page-contents.ts";
import { ReplayProcess } from "./process.ts";
import type { ReplayReport } from "./report.ts";
import { swapTiersOf } from "./swap-tiers.ts";
import type { SwapTiers } from "./swap-tiers.ts";
import { KilledProgram, MAX_PAGES, TracedProgram } from "./traced-program.ts";

/** What to replay on what. */
export interface ReplayRequest {
  /** Paths of the traces; each becomes a process. */
  readonly traces: readonly string[];
  /** Path of the firmware map. */
  readonly map: string;
  readonly ram: RamSize;
  /** Name of the replacement policy, or null for the manager's own. */
  readonly policy: string | null;
  /** Swap tiers by priority. */
  readonly swap: readonly string[];
  /** Folder for the swap file and the programs' files, or null for the system's. */
  readonly swapFolder: string | null;
  readonly cpus: number;
  /** `2M`: 2M pages wherever they fit; `4K`, as without it: none. */
  readonly pages?: PageSizes;
  /** Name of the processors' TLBs; the machine's roomy ones without it. */
  readonly tlb?: string;
}

/** Milliseconds between two looks at signals and the terminal. */
const BREATH_MS = 50;
/** Share of the frames that compressed pages may take from resident ones: what Linux gives zswap (max_pool_percent). */
const POOL_SHARE = 0.2;
/** Pages verified between two looks. */
const VERIFY_PAGES = 1024;

/** A replay that is set up. */
interface Replay {
  readonly name: string;
  readonly request: ReplayRequest;
  readonly machine: string;
  readonly programs: readonly TracedProgram[];
  readonly frames: number;
  readonly stack: Stack;
  readonly tiers: SwapTiers;
  readonly processes: readonly ReplayProcess[];
  readonly kernel: KernelMisses;
}

/**
 * Replays traces and returns what was found.
 *
 * @throws {@link UsageError} if an input is bad, memory does not suffice, or a swap store fails.
 */
export async function replay(request: ReplayRequest): Promise<ReplayReport> {
  const running = await setUp(request);
  try {
    const seconds = await runAll(running);
    const figures = figuresOf(running);
    const before = audit(running.stack);
    const pagesVerified = await verifyAll(running);
    const after = audit(running.stack);
    return {
      ...figures,
      ...checkedBy(running.programs),
      ...speedOf(figures.records, seconds),
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

async function setUp(request: ReplayRequest): Promise<Replay> {
  const map = new PhysicalMap(readFirmwareMap(request.map));
  const contents = new PageContents(readInput(REAL_PAGES));
  const programs = request.traces.map((path, number) => programOf(path, contents, number, request.pages));
  const pages = sumOf(programs, ({ trace }) => trace.vpns.length);
  const frames = framesOf(request.ram, pages);
  const folder = temporaryFolder(request.swapFolder ?? undefined);
  const tiers = await swapTiersOf(request.swap, { slots: pages, folder });
  const policy = request.policy === null ? {} : { policy: await managerPolicyOf(request.policy, pages, frames) };
  const compressed = tiers.compressed
    ? { compressed: { limitFrames: Math.floor(frames * POOL_SHARE), slots: pages } }
    : {};
  const settings = { residentLimit: frames, swap: tiers.stores, ...policy, ...compressed };
  const { tlb = ROOMY_TLB.name } = request;
  const largePages = request.pages === "2M" ? "always" : "never";
  const translationBuffers = tlbOf(tlb);
  const stack = createStack({ map, cpus: request.cpus, largePages, translationBuffers, ...settings });
  if (frames > stack.pmm.freeFrames)
    throw new UsageError(`--ram ${request.ram.text}: ${frames} frames, but the machine has ${stack.pmm.freeFrames}`);
  const kernel = new KernelMisses(stack);
  for (const cpu of stack.machine.cpus) cpu.faultHandler = kernel;
  const processes = programs.map((program, number) => new ReplayProcess(stack, program, number % request.cpus, folder));
  const name = request.traces.map(nameOfTrace).join("+");
  return { name, request, machine: map.firmware.name, programs, frames, stack, tiers, processes, kernel };
}

function programOf(path: string, contents: PageContents, number: number, sizes: PageSizes = "4K"): TracedProgram {
  const trace = decodePageTrace(readInput(path), path);
  if (trace.vpns.length > MAX_PAGES)
    throw new UsageError(`${path}: ${trace.vpns.length} pages, more than ${MAX_PAGES}`);
  return new TracedProgram(trace, contents, number, sizes);
}

function nameOfTrace(path: string): string {
  return basename(path)
    .replace(/\.gz$/, "")
    .replace(/\.pgt$/, "");
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
  if (stack.lastFault === "no-memory")
    return new UsageError(
      `out of memory: ${killed.message}; ${frames} frames and swap (${tiers.names.join(", ")}) are full`,
    );
  return new FailedCheck(`${killed.message}: ${stack.lastFault}`);
}

/** A replay on a disk that fails says nothing about the stack: it ends with what the disk complained about. */
function failIfLost({ tiers }: Replay): void {
  const failure = tiers.failure();
  if (failure !== null) throw new UsageError(failure);
}

type Figures = Omit<ReplayReport, keyof Checked | keyof Speed | "pagesVerified" | "audit">;
type Checked = Pick<ReplayReport, "loadsChecked" | "fetchesChecked" | "mismatches">;
type Speed = Pick<ReplayReport, "seconds" | "recordsPerSecond">;

/** What the layers counted; taken before whole pages are verified, which faults them in again. */
function figuresOf({ name, request, machine, programs, frames, stack, tiers, kernel }: Replay): Figures {
  const { stats } = stack.vmm;
  const pmm = stack.pmm.stats();
  return {
    trace: name,
    map: machine,
    policy: stack.vmm.core.policy.name,
    swapTiers: tiers.names,
    cpus: request.cpus,
    records: sumOf(programs, ({ trace }) => trace.records.length),
    references: sumOf(programs, ({ trace }) => trace.references),
    pages: sumOf(programs, ({ trace }) => trace.vpns.length),
    frames,
    faults: { minor: stats.minorFaults, major: stats.majorFaults, total: stats.minorFaults + stats.majorFaults },
    prefetched: stats.prefetched,
    evictions: stats.evictions,
    writebacks: stats.writebacks,
    swap: { in: stats.swapIns, out: stats.swapOuts },
    swapStores: stack.vmm.swapTiers(),
    tlb: { name: request.tlb ?? ROOMY_TLB.name, ...translationsOf(stack), kernelMisses: kernel.misses },
    largePages: { pages: request.pages ?? "4K", ...stack.vmm.large.stats() },
    overheadFrames: pmm.usedFrames - stack.vmm.residentPages,
    zones: pmm.zones.map(({ name, node, frames, freeFrames }) => ({ name, node, frames, freeFrames })),
  };
}

function translationsOf(stack: Stack): Pick<ReplayReport["tlb"], "hits" | "misses"> {
  const figures = stack.machine.cpus.map((cpu) => cpu.stats());
  return {
    hits: sumOf(figures, ({ dataHits, codeHits }) => dataHits + codeHits),
    misses: sumOf(figures, ({ dataMisses, codeMisses }) => dataMisses + codeMisses),
  };
}

function checkedBy(programs: readonly TracedProgram[]): Checked {
  return {
    loadsChecked: sumOf(programs, ({ loadsChecked }) => loadsChecked),
    fetchesChecked: sumOf(programs, ({ fetchesChecked }) => fetchesChecked),
    mismatches: sumOf(programs, ({ mismatches }) => mismatches),
  };
}

function speedOf(records: number, seconds: number): Speed {
  return { seconds, recordsPerSecond: records / seconds };
}

function bothOf(before: AuditReport, after: AuditReport): AuditReport {
  return {
    ok: before.ok && after.ok,
    checked: before.checked + after.checked,
    problems: [...before.problems, ...after.problems],
  };
}

function isUnfinished(process: ReplayProcess): boolean {
  return !process.program.done;
}

function sumOf<T>(items: readonly T[], figure: (item: T) => number): number {
  return items.reduce((sum, item) => sum + figure(item), 0);
}
