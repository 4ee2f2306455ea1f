import { basename, extname } from "node:path";
import { policies, simulate } from "@pagewright/vmm/policies";
import type { PolicyFactory, Simulation } from "@pagewright/vmm/policies";
import type { Command } from "commander";
import { readInput } from "../files.ts";
import { wordsOf } from "../options.ts";
import { grouped, print, textTable, UsageError } from "../output.ts";
import { decodePageTrace, STORE } from "../page-trace.ts";
import { isBuiltInPolicy, policyFactoryOf, runUserPolicy } from "../policy-modules.ts";
import { Progress } from "../progress.ts";
import { framesOf, parseRamSizes } from "../ram-size.ts";
import type { RamSize } from "../ram-size.ts";

interface PoliciesOptions {
  readonly ram: string;
  readonly policies?: string;
  readonly time?: boolean;
  readonly json?: boolean;
}

/** Every policy at one size of memory; the records are keyed by the policies' names. */
interface SizeResult {
  readonly percent: number;
  readonly frames: number;
  readonly faults: Record<string, number>;
  readonly writebacks: Record<string, number>;
  /** Only where asked for. */
  readonly requestsPerSecond?: Record<string, number>;
}

/** How long a simulation is repeated where its speed is asked for: long enough to be compiled. */
const TIMING_MS = 300;

/** Adds `pagewright policies TRACE`: the exact faults of replacement policies on a trace, OPT beside them. */
export function registerPolicies(program: Command): void {
  program
    .command("policies")
    .summary("exact fault counts of replacement policies on a trace, against the optimum")
    .description(
      `Simulate replacement policies exactly on a page trace: ${Object.keys(policies).join(", ")}, or a module of your `
        + "own that exports by default a function ({slots, frames, requests}) => policy with insert(slot), accessed(slot) "
        + "and evict() => slot.",
    )
    .argument("<trace>", "page trace, plain or .gz; - for standard input")
    .option("--ram <list>", "sizes of memory: 25% of the distinct pages, 64M, 1000f", "10%,25%,50%,75%")
    .option("--policies <list>", "names and paths of modules (default: all that are built in)")
    .option("--time", "measure requests per second too, decoding apart: repeats each simulation until it runs warm")
    .option("--json", "print one JSON document")
    .action(async (file: string, options: PoliciesOptions) => {
      const sizes = parseRamSizes(options.ram);
      const factories = await factoriesOf(wordsOf(options.policies ?? Object.keys(policies).join(",")));
      const trace = decodePageTrace(readInput(file), file);
      const requests = requestsOf(trace.records);
      const pages = trace.vpns.length;
      const name = file === "-" ? trace.name : basename(file).replace(/(\.pgt)?(\.gz)?$/, "");
      const results = simulateAll(factories, requests, pages, sizes, options.time === true);
      print(
        options.json,
        () => ({ trace: name, requests: requests.length, pages, results }),
        () => textOf(name, requests.length, pages, results),
      );
    });
}

/** Records as requests, `slot * 2 + (1 for a store)`: consecutive records of a page are one, whatever their kinds. */
function requestsOf(records: Uint32Array): Uint32Array {
  const requests = new Uint32Array(records.length);
  let count = 0;
  let last = -1;
  for (let i = 0; i < records.length; i++) {
    const page = records[i]! >>> 2;
    const store = (records[i]! & 3) === STORE ? 1 : 0;
    if (page === last) requests[count - 1] = requests[count - 1]! | store;
    else requests[count++] = page * 2 + store;
    last = page;
  }
  return requests.subarray(0, count);
}

async function factoriesOf(words: readonly string[]): Promise<Map<string, PolicyFactory>> {
  const factories = new Map<string, PolicyFactory>();
  for (const word of words) {
    const factory = await policyFactoryOf("--policies", word);
    factories.set(isBuiltInPolicy(word) ? word.toLowerCase() : nameOfModule(word, factories), factory);
  }
  if (factories.size === 0) throw new UsageError("--policies: none named");
  return factories;
}

/** The file's name without its extension; the whole path where that name is taken. */
function nameOfModule(path: string, taken: ReadonlyMap<string, unknown>): string {
  const name = basename(path, extname(path));
  return taken.has(name) || isBuiltInPolicy(name) ? path : name;
}

function simulateAll(
  factories: ReadonlyMap<string, PolicyFactory>,
  requests: Uint32Array,
  pages: number,
  sizes: readonly RamSize[],
  timed: boolean,
): SizeResult[] {
  const progress = new Progress("simulating", factories.size * sizes.length, "runs");
  let done = 0;
  const results = sizes.map((size) => {
    const frames = framesOf(size, pages);
    const faults: Record<string, number> = {};
    const writebacks: Record<string, number> = {};
    const requestsPerSecond: Record<string, number> = {};
    for (const [name, factory] of factories) {
      const run = (): Simulation => simulateOne(name, factory, requests, pages, frames);
      const counts = run();
      faults[name] = counts.faults;
      writebacks[name] = counts.writebacks;
      if (timed) requestsPerSecond[name] = Math.round(requests.length / fastestSeconds(run));
      progress.update(++done);
    }
    const percent = size.percent ?? (100 * frames) / pages;
    return { percent, frames, faults, writebacks, ...(timed ? { requestsPerSecond } : {}) };
  });
  progress.stop();
  return results;
}

function simulateOne(
  name: string,
  factory: PolicyFactory,
  requests: Uint32Array,
  slots: number,
  frames: number,
): Simulation {
  const policy = factory({ slots, frames, requests });
  return runUserPolicy(name, () => simulate(policy, requests, slots, frames));
}

function fastestSeconds(run: () => unknown): number {
  let fastest = Infinity;
  const end = performance.now() + TIMING_MS;
  do {
    const started = performance.now();
    run();
    fastest = Math.min(fastest, performance.now() - started);
  } while (performance.now() < end);
  return fastest / 1000;
}

function textOf(name: string, requests: number, pages: number, results: readonly SizeResult[]): string {
  const names = Object.keys(results[0]?.faults ?? {});
  const tables = results.map(({ percent, frames, faults, writebacks, requestsPerSecond }) => {
    const best = faults["opt"];
    const rows = names.map((policy) => [
      policy,
      grouped(faults[policy] ?? 0),
      best === undefined ? "" : `${((faults[policy] ?? 0) / best).toFixed(3)} × OPT`,
      grouped(writebacks[policy] ?? 0),
      requestsPerSecond === undefined ? "" : `${((requestsPerSecond[policy] ?? 0) / 1e6).toFixed(0)} M requests/s`,
    ]);
    const share = Number.isInteger(percent) ? String(percent) : percent.toFixed(1);
    return `${share} %, ${grouped(frames)} frames\n${textTable([["policy", "faults", "", "write-backs", ""], ...rows])}`;
  });
  return [`${name}: ${grouped(requests)} requests, ${grouped(pages)} pages`, ...tables].join("\n\n");
}
