import { spawn } from "node:child_process";
import { basename } from "node:path";
import { encodeHeapTrace, TraceOp } from "@pagewright/heap/trace";
import type { HeapTrace } from "@pagewright/heap/trace";
import type { Command } from "commander";
import { STANDARD_INPUT } from "../files.ts";
import { readHeapTrace } from "../heap-trace.ts";
import { HINT_KINDS, hintsOf } from "../heap-replay/hints.ts";
import type { HintKind } from "../heap-replay/hints.ts";
import { HEAP_NAMES, makeBench } from "../heap-replay/subjects.ts";
import type { Bench } from "../heap-replay/subject.ts";
import { time } from "../heap-replay/time.ts";
import { verify } from "../heap-replay/verify.ts";
import { wordsOf } from "../options.ts";
import { complaintOf, failCheck, grouped, print, textTable, UsageError } from "../output.ts";
import { Progress } from "../progress.ts";

interface HeapOptions {
  readonly allocator: string;
  readonly hints?: string;
  readonly json?: boolean;
  readonly here?: boolean;
}

/** What one allocator did with a trace. */
interface HeapResult {
  readonly allocator: string;
  /** Processor time per event, the replay loop included; null where it failed. */
  readonly nsPerEvent: number | null;
  readonly peakFootprint: number;
  /** `peakFootprint` / the trace's peak of live requested bytes. */
  readonly overhead: number;
  readonly sourceCalls: number;
  readonly verifiedBlocks: number;
  readonly failed: string | null;
}

/** Adds `pagewright heap TRACE`: replays an allocation trace on allocators, each in a process of its own. */
export function registerHeap(program: Command): void {
  program
    .command("heap")
    .summary("an allocation trace on each allocator: time, footprint, contents checked")
    .description("Replay an allocation trace: a first pass checks contents and footprint, a second one takes the time.")
    .argument("<trace>", "allocation trace (HTRC), plain or .gz; - for standard input")
    .option("--allocator <names>", `${HEAP_NAMES.join(", ")}, all, or the path of a module`, "general")
    .option("--hints <kinds>", `tell the allocator of each block: ${HINT_KINDS.join(", ")}`)
    .option("--json", "print one JSON document")
    .option("--here", "replay in this process, not in one for each allocator")
    .action(async (file: string, options: HeapOptions) => {
      const names = options.allocator === "all" ? HEAP_NAMES : wordsOf(options.allocator);
      if (names.length === 0) throw new UsageError("--allocator names no allocator");
      const kinds = hintKinds(options.hints ?? "");
      const trace = readHeapTrace(file);
      const progress = new Progress("replay", names.length, "allocators");
      const results: HeapResult[] = [];
      for (const name of names) {
        results.push(
          options.here === true ? await replayHere(trace, name, kinds) : await replayInChild(file, trace, name, kinds),
        );
        progress.update(results.length);
      }
      progress.stop();
      const { events, peakLiveBytes } = trace;
      print(
        options.json,
        () => ({ trace: nameOf(file), events, peakLiveBytes, results }),
        () => textOf(nameOf(file), trace, results),
      );
      // Of all allocators some are not meant for a trace, and say so; one that was asked for by name should hold it.
      if (options.allocator !== "all" && results.some(({ failed }) => failed !== null)) failCheck();
    });
}

function nameOf(file: string): string {
  return basename(file).replace(/(\.bin)?(\.gz)?$/, "");
}

function hintKinds(text: string): HintKind[] {
  return wordsOf(text).map((word) => {
    const kind = HINT_KINDS.find((known) => known === word);
    if (kind === undefined) throw new UsageError(`--hints ${word}: not one of ${HINT_KINDS.join(", ")}`);
    return kind;
  });
}

async function replayHere(trace: HeapTrace, name: string, kinds: readonly HintKind[]): Promise<HeapResult> {
  const bench = await makeBench(name, trace);
  if (typeof bench === "string") return { ...NOTHING, allocator: name, failed: bench };
  const hints = hintsOf(trace, kinds);
  const progress = new Progress(name, trace.events, "events");
  const verified = verify(trace, bench, hints, (done) => progress.update(done));
  progress.stop();
  const { peakFootprint, sourceCalls, verifiedBlocks } = verified;
  const timed = verified.failed ?? timeOrReason(trace, bench, kinds.length === 0 ? null : hints);
  const failed = typeof timed === "string" ? timed : null;
  return {
    allocator: name,
    nsPerEvent: typeof timed === "number" ? Number(timed.toFixed(2)) : null,
    peakFootprint,
    overhead: Number((peakFootprint / Math.max(trace.peakLiveBytes, 1)).toFixed(4)),
    sourceCalls,
    verifiedBlocks,
    failed,
  };
}

/** The time, or why there is none: an allocator may serve a trace once and not again and again. */
function timeOrReason(trace: HeapTrace, bench: Bench, hints: Uint32Array | null): number | string {
  try {
    return time(trace, bench, hints);
  } catch (error) {
    return `when repeated: ${complaintOf(error)}`;
  }
}

/** Runs this program again for one allocator, so that none sees the type feedback or the garbage of another. */
async function replayInChild(
  file: string,
  trace: HeapTrace,
  name: string,
  kinds: readonly HintKind[],
): Promise<HeapResult> {
  const main = process.argv[1] ?? "";
  const args = [...process.execArgv, main, "heap", file, "--allocator", name, "--here", "--json"];
  if (kinds.length > 0) args.push("--hints", kinds.join(","));
  const child = spawn(process.execPath, args, { stdio: "pipe" });
  // A child that ends before it has read all says itself why.
  child.stdin.on("error", () => undefined).end(file === STANDARD_INPUT ? encodeHeapTrace(trace) : "");
  let out = "";
  let complaint = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (complaint += text));
  const code = await new Promise<number | null>((done) => child.on("close", done));
  try {
    const document = JSON.parse(out) as { readonly results: readonly HeapResult[] };
    const [result] = document.results;
    if (result !== undefined) return result;
  } catch (error) {
    if (code === 2) throw new UsageError(complaint.replace(/^pagewright: /, ""));
    const failed = complaint === "" ? complaintOf(error) : complaint;
    return { ...NOTHING, allocator: name, failed };
  }
  return { ...NOTHING, allocator: name, failed: "the process ended without a result" };
}

const NOTHING = { nsPerEvent: null, peakFootprint: 0, overhead: 0, sourceCalls: 0, verifiedBlocks: 0 } as const;

function textOf(name: string, trace: HeapTrace, results: readonly HeapResult[]): string {
  const rows: (string | number)[][] = [
    ["allocator", "ns/event", "footprint", "overhead", "source calls", "a million", "blocks verified", ""],
  ];
  const allocations = trace.op.reduce((count, op) => count + (op === TraceOp.free ? 0 : 1), 0);
  for (const { allocator, nsPerEvent, peakFootprint, overhead, sourceCalls, verifiedBlocks, failed } of results)
    rows.push([
      allocator,
      nsPerEvent === null ? "-" : nsPerEvent.toFixed(1),
      grouped(peakFootprint),
      overhead.toFixed(3),
      grouped(sourceCalls),
      grouped(Math.round((sourceCalls / Math.max(allocations, 1)) * 1e6)),
      grouped(verifiedBlocks),
      failed === null ? "" : `failed: ${failed}`,
    ]);
  const head = `${name}: ${grouped(trace.events)} events, at most ${grouped(trace.peakLiveBytes)} bytes live`;
  return `${head}\n\n${textTable(rows)}\n\na million: calls to the source of memory for a million allocations`;
}
