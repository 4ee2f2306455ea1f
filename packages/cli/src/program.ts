/**
 * The command tree.
 *
 * A command is a module `commands/<name>.ts` with `register<Name>(program)`, and one line of {@link COMMANDS}. The
 * module is imported only when the command line names it, so that `pagewright decode` does not load a whole stack;
 * the help of the program itself needs the line alone.
 */
import { readFile } from "node:fs/promises";
import { Command } from "commander";
import { oneLine, printError, UsageError } from "./output.ts";

interface CommandLine {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<(program: Command) => void>;
}

/** Every command of the program, in the order of the help. */
const COMMANDS: readonly CommandLine[] = [
  {
    name: "replay",
    summary: "run page traces on the whole stack, every load checked against what was stored",
    load: async () => (await import("./commands/replay.ts")).registerReplay,
  },
  {
    name: "map",
    summary: "a firmware map: usable memory, nodes, holes, device windows",
    load: async () => (await import("./commands/map.ts")).registerMap,
  },
  {
    name: "heap",
    summary: "an allocation trace on each allocator: time, footprint, contents checked",
    load: async () => (await import("./commands/heap.ts")).registerHeap,
  },
  {
    name: "policies",
    summary: "exact fault counts of replacement policies on a trace, against the optimum",
    load: async () => (await import("./commands/policies.ts")).registerPolicies,
  },
  {
    name: "conformance",
    summary: "recorded MMU cases through the walker and the machine's MMU",
    load: async () => (await import("./commands/conformance.ts")).registerConformance,
  },
  {
    name: "decode",
    summary: "a page-table entry, bit by bit",
    load: async () => (await import("./commands/decode.ts")).registerDecode,
  },
  {
    name: "explain",
    summary: "registers, error codes, a qemu -d int log or a kernel oops, in words",
    load: async () => (await import("./commands/explain.ts")).registerExplain,
  },
  {
    name: "walk",
    summary: "one address through the page tables of a memory image, level by level",
    load: async () => (await import("./commands/walk.ts")).registerWalk,
  },
  {
    name: "dump",
    summary: "the page tables of a memory image, listed, filtered or compared",
    load: async () => (await import("./commands/dump.ts")).registerDump,
  },
  {
    name: "lint",
    summary: "what is wrong or weak in the page tables of a memory image",
    load: async () => (await import("./commands/lint.ts")).registerLint,
  },
  {
    name: "diagnose",
    summary: "why a machine triple-faults when paging goes on",
    load: async () => (await import("./commands/diagnose.ts")).registerDiagnose,
  },
  {
    name: "tables",
    summary: "build boot page tables from a layout",
    load: async () => (await import("./commands/tables.ts")).registerTables,
  },
];

/**
 * Returns the command tree for one command line; its parse throws a CommanderError instead of leaving the process.
 *
 * @param args - The arguments to be parsed; the commands that they name are loaded, the others only listed.
 */
export async function createProgram(args: readonly string[]): Promise<Command> {
  if (args.length === 0) throw new UsageError("no command given; `pagewright --help` lists them");
  const [first, subject] = args;
  if (first === "help" && subject !== undefined && !COMMANDS.some(({ name }) => name === subject))
    throw new UsageError(`help ${subject}: there is no such command; \`pagewright --help\` lists them`);
  const program = new Command("pagewright")
    .description("Memory management from the command line: real algorithms on real bytes.")
    .version(await versionOf())
    .configureOutput({ outputError: (text) => printError(oneLine(text).replace(/^error: /, "")) })
    .showSuggestionAfterError(true)
    .exitOverride();
  for (const command of COMMANDS) {
    if (args.includes(command.name)) (await command.load())(program);
    else program.command(command.name).summary(command.summary).description(command.summary);
  }
  return program;
}

async function versionOf(): Promise<string> {
  const text = await readFile(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
