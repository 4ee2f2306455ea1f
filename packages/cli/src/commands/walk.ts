import {
  ACCESS_AC,
  ACCESS_FETCH,
  ACCESS_IMPLICIT,
  ACCESS_READ,
  ACCESS_SHADOW_STACK,
  ACCESS_USER,
  ACCESS_WRITE,
  explainWalk,
  formatBigint,
  NON_CANONICAL,
  rightsText,
  TRANSLATED,
  wordsOfBigint,
} from "@pagewright/x86-paging";
import type { WalkExplanation } from "@pagewright/x86-paging";
import type { Command } from "commander";
import { Option } from "commander";
import type { Image } from "../image/image.ts";
import { openImage } from "../image/image.ts";
import { print } from "../output.ts";
import { addPagingOptions, choosePaging, hex, numberOf, stateFor } from "../paging-options.ts";
import type { PagingCommandOptions } from "../paging-options.ts";
import { readSymbols } from "../symbols.ts";
import type { Symbols } from "../symbols.ts";

const ACCESSES: Readonly<Record<string, number>> = {
  read: ACCESS_READ,
  write: ACCESS_WRITE,
  execute: ACCESS_FETCH,
  "implicit-read": ACCESS_READ | ACCESS_IMPLICIT,
  "implicit-write": ACCESS_WRITE | ACCESS_IMPLICIT,
  "shadow-stack-read": ACCESS_READ | ACCESS_SHADOW_STACK,
  "shadow-stack-write": ACCESS_WRITE | ACCESS_SHADOW_STACK,
};

interface WalkOptions extends PagingCommandOptions {
  readonly access: string;
  readonly user?: boolean;
  readonly ac?: boolean;
  readonly symbols?: string;
}

/** Adds `pagewright walk IMAGE ADDRESS…`: every level's entry, what was checked, and the fault that follows. */
export function registerWalk(program: Command): void {
  const command = program
    .command("walk")
    .summary("one address through the page tables of a memory image, level by level")
    .description(
      "Walk the page tables of a memory image for an access, as the processor would, and explain every step.",
    )
    .argument("<image>", "memory image: raw, ELF core, LiME or sparse; plain, .gz or .xz")
    .argument("<address...>", "virtual addresses")
    .addOption(new Option("--access <kind>", "what is attempted").choices(Object.keys(ACCESSES)).default("read"))
    .option("--user", "at CPL 3")
    .option("--ac", "with EFLAGS.AC = 1")
    .option("--symbols <file>", "ELF file or System.map with names for addresses");
  addPagingOptions(command).action(async (path: string, addresses: string[], options: WalkOptions) => {
    const targets = addresses.map((text) => numberOf("address", text));
    const symbols = options.symbols === undefined ? undefined : readSymbols(options.symbols);
    const image = await openImage(path, options.image);
    const state = stateFor(choosePaging(options, image), image);
    const access =
      (ACCESSES[options.access] ?? 0)
      | (options.user === true ? ACCESS_USER : 0)
      | (options.ac === true ? ACCESS_AC : 0);
    const walks = targets.map((address) => {
      const [low, high] = wordsOfBigint(address);
      return explainWalk(state, image, low, high, access);
    });
    print(
      options.json,
      () =>
        walks.length === 1
          ? walks.map((walk) => documentOf(walk, image, symbols))[0]
          : walks.map((walk) => documentOf(walk, image, symbols)),
      () => walks.map((walk) => textOf(walk, image, symbols)).join("\n\n"),
    );
  });
}

/** The sentences of a walk, and one more where it ended in a table that the image does not hold: what was read there are zeros. */
function sentencesOf(walk: WalkExplanation, image: Image): string[] {
  const missing = walk.steps.find((step) => !image.has(step.table));
  if (missing === undefined) return [...walk.sentences];
  const at = formatBigint(BigInt(missing.table) * 4096n);
  return [...walk.sentences, `the image has no memory at ${at}: the ${missing.name} there was taken to be empty`];
}

function textOf(walk: WalkExplanation, image: Image, symbols: Symbols | undefined): string {
  const name = symbols?.nameOf(walk.address);
  const lines = sentencesOf(walk, image);
  if (name !== undefined) lines[0] = `${lines[0] ?? ""} ${name}`;
  return lines.join("\n");
}

/** A walk as JSON: hex strings without padding. */
function documentOf(walk: WalkExplanation, image: Image, symbols: Symbols | undefined): unknown {
  const { failure, physical, code } = walk;
  const name = symbols?.nameOf(walk.address);
  return {
    address: hex(walk.address),
    ...(name === undefined ? {} : { symbol: name }),
    outcome: code === TRANSLATED ? "ok" : "fault",
    ...(physical === undefined ? {} : { physical: hex(physical), rights: rightsText(walk.rights) }),
    ...(code === NON_CANONICAL ? { vector: 13 } : code >= 0 ? { vector: 14, error: hex(code) } : {}),
    ...(failure === undefined ? {} : { check: failure.check, level: failure.level, sentence: failure.sentence }),
    steps: walk.steps.map((step) => ({
      level: step.level,
      name: step.name,
      table: hex(BigInt(step.table) * 4096n),
      index: step.index,
      entryAddress: hex(step.entryAddress),
      value: hex(step.entry.value),
      kind: step.entry.kind,
      ...(step.entry.address === undefined ? {} : { refersTo: hex(step.entry.address) }),
      bits: step.entry.bits.map((bit) => bit.name),
    })),
    text: sentencesOf(walk, image).map((sentence) =>
      sentence.replaceAll(formatBigint(walk.address), hex(walk.address)),
    ),
  };
}
