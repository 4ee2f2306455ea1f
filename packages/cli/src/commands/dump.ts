import {
  bigintOfVpn,
  compareTables,
  jsonDifference,
  linuxPageTables,
  qemuMem,
  qemuTlb,
  runs,
  stateOfRegisters,
  xv6Tree,
} from "@pagewright/x86-paging";
import type { Difference, LeafBound, PagingState, Run, Vpn } from "@pagewright/x86-paging";
import type { Command } from "commander";
import { Option } from "commander";
import { differenceText, runDocument, runText } from "../dump/document.ts";
import type { Filter, FilterOptions } from "../dump/filter.ts";
import { filterOf } from "../dump/filter.ts";
import { writeAll } from "../dump/write.ts";
import type { Image } from "../image/image.ts";
import { openImage } from "../image/image.ts";
import { print, UsageError } from "../output.ts";
import { addPagingOptions, choosePaging, hex, numberOf, stateFor, withRoot } from "../paging-options.ts";
import type { PagingChoice, PagingCommandOptions } from "../paging-options.ts";
import { readSymbols } from "../symbols.ts";
import type { Symbols } from "../symbols.ts";

const FORMATS = ["runs", "qemu-tlb", "qemu-mem", "linux", "xv6", "json"] as const;

/** Leaves that a listing visits before it stops: hostile tables may map 2^36 of them. */
const LEAF_LIMIT = 2 ** 26;

/** Runs or differences that one JSON document may have: more do not fit into a string. Texts are written as they come. */
const DOCUMENT_LIMIT = 2 ** 19;

interface DumpOptions extends PagingCommandOptions, FilterOptions {
  readonly format: (typeof FORMATS)[number];
  readonly against?: string;
  readonly againstCr3?: string;
  readonly symbols?: string;
}

/** Where the limit of leaves ended a listing. */
interface Cut {
  vpn: Vpn | null;
}

interface Opened {
  readonly cut: Cut;
  readonly image: Image;
  readonly state: PagingState;
  readonly filter: Filter;
  readonly symbols: Symbols | undefined;
}

/** Adds `pagewright dump IMAGE`: page tables listed in several styles, filtered, or compared with another image's. */
export function registerDump(program: Command): void {
  const command = program
    .command("dump")
    .summary("the page tables of a memory image, listed, filtered or compared")
    .description("List what the page tables of a memory image map; with --against, what changed.")
    .argument("<image>", "memory image: raw, ELF core, LiME or sparse; plain, .gz or .xz")
    .addOption(new Option("--format <style>", "how to list").choices(FORMATS).default("runs"))
    .option("--range <start-end>", "only these virtual addresses (START-END or START+SIZE)")
    .option("--physical <start-end>", "only what maps these physical addresses")
    .option("--writable", "only what can be written")
    .option("--executable", "only what can be executed")
    .option("--user", "only what user mode can reach")
    .option("--against <image>", "compare with the tables of another image: what was mapped, unmapped, changed since")
    .option("--against-cr3 <value>", "CR3 there (default: the same)")
    .option("--symbols <file>", "ELF file or System.map with names for addresses");
  addPagingOptions(command).action(async (path: string, options: DumpOptions) => {
    const filter = filterOf(options);
    const symbols = options.symbols === undefined ? undefined : readSymbols(options.symbols);
    const image = await openImage(path, options.image);
    const choice = choosePaging(options, image);
    const opened: Opened = { cut: { vpn: null }, image, state: stateFor(choice, image), filter, symbols };
    if (options.against !== undefined) await compare(opened, choice, options.against, options);
    else if (options.json === true || options.format === "json") print(true, () => documentOf(opened, choice), String);
    else {
      await writeAll(listing(opened, options));
      demandWhole(opened);
    }
  });
}

/** The limit of leaves, and who is told where it ended a listing. */
function boundOf({ cut }: Opened): Required<LeafBound> {
  return { leafLimit: LEAF_LIMIT, onCut: (vpn) => (cut.vpn = vpn) };
}

function* accepted(opened: Opened): Generator<Run, void> {
  const { state, image, filter } = opened;
  for (const run of runs(state, image, { ...filter.pages, ...boundOf(opened) })) if (filter.accept(run)) yield run;
}

function* listing(opened: Opened, options: DumpOptions): Generator<string, void> {
  const { state, image, filter, symbols } = opened;
  const bound = boundOf(opened);
  switch (options.format) {
    case "qemu-tlb":
    case "qemu-mem": {
      const print = options.format === "qemu-tlb" ? qemuTlb : qemuMem;
      yield* print(state, image, {
        ...filter.pages,
        ...bound,
        ...(filter.active ? { accept: (leaf) => filter.accept(leaf) } : {}),
      });
      return;
    }
    case "linux":
    case "xv6":
      if (filter.active || options.range !== undefined)
        throw new UsageError(`--format ${options.format} lists everything: filters do not go with it`);
      yield* options.format === "linux"
        ? linuxPageTables(state, image, undefined, bound.leafLimit, bound.onCut)
        : xv6Tree(state, image);
      return;
    default:
      for (const run of accepted(opened)) yield runText(state.mode, run, symbols);
  }
}

function documentOf(opened: Opened, choice: PagingChoice): unknown {
  const { state, symbols } = opened;
  const list: unknown[] = [];
  let pages = 0;
  for (const run of accepted(opened)) {
    demandRoom(list.length, run.vpn);
    list.push(runDocument(state.mode, run, symbols));
    pages += run.pages;
  }
  demandWhole(opened);
  return { mode: state.mode.name, cr3: hex(choice.registers.cr3), pages, runs: list };
}

/** Refuses a document that would be too long, and says how far it came. */
function demandRoom(length: number, vpn: Vpn): void {
  if (length < DOCUMENT_LIMIT) return;
  throw new UsageError(
    `more than ${DOCUMENT_LIMIT} lines for one JSON document, at ${hex(bigintOfVpn(vpn))}: choose less with --range, or a text format`,
  );
}

/** Refuses to pass a listing for whole that the limit of leaves has ended. */
function demandWhole({ cut }: Opened): void {
  if (cut.vpn === null) return;
  throw new UsageError(
    `more than ${LEAF_LIMIT} leaves, nothing is listed from ${hex(bigintOfVpn(cut.vpn))} on: choose less with --range`,
  );
}

async function compare(before: Opened, choice: PagingChoice, path: string, options: DumpOptions): Promise<void> {
  const other = await openImage(path, options.image);
  const cr3 = options.againstCr3 === undefined ? choice.registers.cr3 : numberOf("--against-cr3", options.againstCr3);
  const option = options.againstCr3 === undefined ? "--against-cr3 (as --cr3)" : "--against-cr3";
  const state = withRoot(stateOfRegisters({ ...choice.registers, cr3 }, other, choice.mode), other, option, cr3);
  const { mode } = state;
  const found = differences(before, state, other);
  if (options.json === true || options.format === "json") {
    const list: Difference[] = [];
    for (const one of found) {
      demandRoom(list.length, one.vpn);
      list.push(one);
    }
    demandWhole(before);
    const pages = (kind: Difference["kind"]): number =>
      list.reduce((sum, one) => sum + (one.kind === kind ? one.pages : 0), 0);
    print(
      true,
      () => ({
        mode: mode.name,
        same: list.length === 0,
        pages: { mapped: pages("mapped"), unmapped: pages("unmapped"), changed: pages("changed") },
        differences: list.map((one) => jsonDifference(mode, one)),
      }),
      String,
    );
    return;
  }
  await writeAll(lines(found, before.cut));
  demandWhole(before);
}

function* lines(found: Iterable<Difference>, cut: Cut): Generator<string, void> {
  let any = false;
  for (const difference of found) {
    any = true;
    yield differenceText(difference);
  }
  if (!any && cut.vpn === null) yield "the tables map the same\n";
}

function* differences(before: Opened, after: PagingState, memory: Image): Generator<Difference, void> {
  for (const one of compareTables(before.state, before.image, after, memory, {
    ...before.filter.pages,
    ...boundOf(before),
  })) {
    const sides = [one.before, one.after].filter((side) => side !== undefined);
    if (sides.some((side) => before.filter.accept({ rights: side.rights, pfn: side.pfn, pages: one.pages }))) yield one;
  }
}
