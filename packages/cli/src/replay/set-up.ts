/** What stands before the first record of a replay: programs with the contents of their pages, a stack, a process for each program. */
import { basename } from "node:path";
import { PhysicalMap, ROOMY_TLB } from "@pagewright/machine";
import { createStack } from "@pagewright/stack";
import type { Stack, StackOptions } from "@pagewright/stack";
import { REAL_PAGES } from "../data.ts";
import { readInput } from "../files.ts";
import { readFirmwareMap } from "../firmware-input.ts";
import { complaintOf, UsageError } from "../output.ts";
import { decodePageTrace } from "../page-trace.ts";
import { framesOf } from "../ram-size.ts";
import type { RamSize } from "../ram-size.ts";
import { temporaryFolder } from "../temporary.ts";
import { sumOf } from "./figures.ts";
import { KernelMisses } from "./kernel-misses.ts";
import { managerPolicyOf } from "./manager-policy.ts";
import { tlbOf } from "./page-size.ts";
import type { PageSizes } from "./page-size.ts";
import { PageContents } from "./page-contents.ts";
import { ReplayProcess } from "./process.ts";
import { swapTiersOf } from "./swap-tiers.ts";
import type { SwapTiers } from "./swap-tiers.ts";
import { MAX_PAGES, TracedProgram } from "./traced-program.ts";

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
  /** False: a fault fetches and maps its own page alone; true without it. */
  readonly prefetch?: boolean;
  /** Whether a rehearsal goes before the clock starts, unless the replay is shorter than that; false without it. */
  readonly rehearsed?: boolean;
}

/** A stack for programs of a number of pages, with what was made for it. */
export interface Setting {
  /** Name of the machine. */
  readonly machine: string;
  readonly stack: Stack;
  readonly tiers: SwapTiers;
  readonly kernel: KernelMisses;
  /** For the files of programs; does not outlive the run. */
  readonly folder: string;
}

/** A replay that is set up. */
export interface Replay extends Setting {
  readonly name: string;
  readonly request: ReplayRequest;
  readonly contents: PageContents;
  readonly programs: readonly TracedProgram[];
  readonly frames: number;
  readonly processes: readonly ReplayProcess[];
}

/** Share of the frames that compressed pages may take from resident ones: what Linux gives zswap (max_pool_percent). */
const POOL_SHARE = 0.2;
/** Frames that a stack touches beside its programs' pages, more or less: tables, windows, frames zeroed in stock. */
const MORE_FRAMES = 256;

/**
 * Reads the inputs, assembles the stack and starts a process for each program; none has run yet. The host has memory behind all frames that the replay will
 * need, as a real machine has its RAM before a program starts.
 *
 * @throws {@link UsageError} if an input is bad, or memory does not suffice.
 */
export async function setUp(request: ReplayRequest): Promise<Replay> {
  const contents = new PageContents(readInput(REAL_PAGES));
  const programs = request.traces.map((path, number) => programOf(path, contents, number, request.pages));
  const pages = sumOf(programs, ({ trace }) => trace.vpns.length);
  const frames = framesOf(request.ram, pages);
  const setting = await settingOf(request, pages, frames);
  const { stack, folder } = setting;
  const processes = programs.map((program, number) => new ReplayProcess(stack, program, number % request.cpus, folder));
  stack.machine.memory.commitAhead(Math.min(frames, pages) + MORE_FRAMES);
  return {
    ...setting,
    name: request.traces.map(nameOfTrace).join("+"),
    request,
    contents,
    programs,
    frames,
    processes,
  };
}

/**
 * Assembles a stack for programs that have `pages` pages together, of which `frames` are resident at once.
 *
 * @throws {@link UsageError} if the machine has fewer frames, or a swap tier or policy cannot be made.
 */
export async function settingOf(request: ReplayRequest, pages: number, frames: number): Promise<Setting> {
  const map = new PhysicalMap(readFirmwareMap(request.map));
  const folder = temporaryFolder(request.swapFolder ?? undefined);
  const tiers = await swapTiersOf(request.swap, { slots: pages, folder });
  const policy = request.policy === null ? {} : { policy: await managerPolicyOf(request.policy, pages, frames) };
  const compressed = tiers.compressed
    ? { compressed: { limitFrames: Math.floor(frames * POOL_SHARE), slots: pages } }
    : {};
  const settings = { residentLimit: frames, swap: tiers.stores, ...policy, ...compressed };
  const largePages = request.pages === "2M" ? "always" : "never";
  const translationBuffers = tlbOf(request.tlb ?? ROOMY_TLB.name);
  const ahead = request.prefetch === false ? { readAhead: 0, faultAround: 1 } : {};
  const stack = stackOf(request.map, {
    map,
    cpus: request.cpus,
    largePages,
    translationBuffers,
    ...ahead,
    ...settings,
  });
  if (frames > stack.pmm.freeFrames)
    throw new UsageError(`--ram ${request.ram.text}: ${frames} frames, but the machine has ${stack.pmm.freeFrames}`);
  const kernel = new KernelMisses(stack);
  for (const cpu of stack.machine.cpus) cpu.faultHandler = kernel;
  return { machine: map.firmware.name, stack, tiers, kernel, folder };
}

/** A stack on a map; what is wrong with the map, too little memory for the kernel or too much for the allocator, is said with its name. */
function stackOf(path: string, options: StackOptions): Stack {
  try {
    return createStack(options);
  } catch (error) {
    throw error instanceof UsageError ? error : new UsageError(`${path}: ${complaintOf(error)}`);
  }
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
