import { writeFileSync } from "node:fs";
import { buildTables, PagingError, PagingState, runs } from "@pagewright/x86-paging";
import type { BuiltTables, Layout } from "@pagewright/x86-paging";
import type { Command } from "commander";
import { readJson } from "../files.ts";
import { layoutOf } from "../layout.ts";
import { complaintAbout, print, UsageError } from "../output.ts";
import { hex } from "../paging-options.ts";

/** Adds `pagewright tables LAYOUT.json -o FILE`: boot page tables to embed in a kernel. */
export function registerTables(program: Command): void {
  program
    .command("tables")
    .summary("build boot page tables from a layout")
    .description(
      "Build page tables from a layout of ranges; the file holds the tables, root first, to be loaded at the layout's base.",
    )
    .argument("<layout>", "layout, JSON: levels, base, ranges [{start, size, physical, page, write, execute, user …}]")
    .requiredOption("-o, --output <file>", "where to write the tables")
    .option("--json", "print one JSON document")
    .action((path: string, options: { readonly output: string; readonly json?: boolean }) => {
      if (options.output === "") throw new UsageError("--output: the name of the file is empty");
      const layout = layoutOf(readJson(path), path);
      const built = build(layout, path);
      const pages = checkRoundTrip(layout, built);
      try {
        writeFileSync(options.output, built.bytes);
      } catch (error) {
        throw new UsageError(complaintAbout(options.output, error));
      }
      print(
        options.json,
        () => ({
          file: options.output,
          mode: layout.mode.name,
          cr3: hex(built.root),
          tables: built.tables,
          bytes: built.bytes.length,
          pages,
        }),
        () =>
          `${options.output}: ${built.tables} tables (${built.bytes.length} bytes) of ${layout.mode.name} paging map ${pages} pages; load at ${hex(built.root)}, which is also the ${layout.mode.definition.rule === "ept" ? "address for EPTP" : "value for CR3"}`,
      );
    });
}

function build(layout: Layout, path: string): BuiltTables {
  try {
    return buildTables(layout);
  } catch (error) {
    if (PagingError.is(error)) throw new UsageError(`${path}: ${error.message}`);
    throw error;
  }
}

/** Reads the tables back and returns how many 4K pages they map (the recursive slot left out). */
function checkRoundTrip(layout: Layout, built: BuiltTables): number {
  const words = new Uint32Array(built.bytes.buffer);
  const first = built.root / 4096;
  const memory = { words: () => words, base: (pfn: number) => (pfn - first) * 1024 };
  const state = new PagingState({ mode: layout.mode, root: first });
  if (layout.mode.levels[layout.mode.depth]?.inRegisters === true) state.rootEntries.set(words.subarray(0, 8));
  if (layout.recursiveSlot !== undefined)
    return Number(layout.ranges.reduce((sum, range) => sum + range.size / 4096n, 0n));
  let pages = 0;
  for (const run of runs(state, memory)) pages += run.pages;
  return pages;
}
