import { explainEntry, PagingState, wordsOfBigint } from "@pagewright/x86-paging";
import type { EntryExplanation } from "@pagewright/x86-paging";
import type { Command } from "commander";
import { wholeNumber } from "../options.ts";
import { print, UsageError } from "../output.ts";
import { hex, MODES, numberOf } from "../paging-options.ts";

interface DecodeOptions {
  readonly level?: number;
  readonly levels: string;
  readonly maxphyaddr: number;
  readonly nxe: boolean;
  readonly cBit?: number;
  readonly json?: boolean;
}

/** Adds `pagewright decode VALUE`: a page-table entry, bit by bit. */
export function registerDecode(program: Command): void {
  program
    .command("decode")
    .summary("a page-table entry, bit by bit")
    .description(
      "Decode a page-table entry. Without --level it is read at every level: bit 7 and bit 12 mean something else at each.",
    )
    .argument("<value>", "the entry, such as 0x8000000000103063")
    .option("--level <n>", "its level: 1 PT, 2 PD, 3 PDPT, 4 PML4, 5 PML5", wholeNumber("--level", 1, 6))
    .option("--levels <mode>", `paging mode: ${Object.keys(MODES).join(", ")}`, "4")
    .option("--maxphyaddr <bits>", "physical address width", wholeNumber("--maxphyaddr", 32, 52), 52)
    .option("--no-nxe", "EFER.NXE is 0: bit 63 is reserved")
    .option("--c-bit <bit>", "SME/SEV: position of the encryption bit", wholeNumber("--c-bit", 12, 62))
    .option("--json", "print one JSON document")
    .action((text: string, options: DecodeOptions) => {
      const value = numberOf("value", text);
      const mode = MODES[options.levels.toLowerCase()];
      if (mode === undefined)
        throw new UsageError(`--levels ${options.levels}: expected one of ${Object.keys(MODES).join(", ")}`);
      const level = options.level;
      if (level !== undefined && level > mode.depth)
        throw new UsageError(`--level ${level}: ${mode.name} paging has ${mode.depth} levels`);
      if (mode.entryWords === 1 && value >= 1n << 32n)
        throw new UsageError(`value ${text}: ${mode.name} entries have 32 bits`);
      const width = Math.min(options.maxphyaddr, mode.definition.physicalBits);
      const cBit = options.cBit === undefined ? {} : { encryptionBit: options.cBit };
      const state = new PagingState({ mode, maxPhysicalBits: width, noExecute: options.nxe, ...cBit });
      const [low, high] = wordsOfBigint(value);
      const levels = level === undefined ? Array.from({ length: mode.depth }, (_, i) => i + 1) : [level];
      const entries = levels.map((n) => explainEntry(state, n, low, high));
      print(
        options.json,
        () =>
          level === undefined
            ? { value: hex(value), mode: mode.name, readings: entries.map(documentOf) }
            : entries.map(documentOf)[0],
        () => entries.map(textOf).join("\n\n"),
      );
    });
}

function textOf(entry: EntryExplanation): string {
  const bits = entry.bits.map(({ name, bits: where, text }) => `  ${where.padEnd(6)} ${name.padEnd(9)} ${text}`);
  const reserved = entry.reserved.map(({ bit, text }) => `  ${String(bit).padEnd(6)} RESERVED  ${text}`);
  return [`level ${entry.level}: ${entry.sentence}`, ...bits, ...reserved].join("\n");
}

function documentOf(entry: EntryExplanation): unknown {
  return {
    mode: entry.mode,
    level: entry.level,
    name: entry.name,
    kind: entry.kind,
    value: hex(entry.value),
    ...(entry.address === undefined ? {} : { address: hex(entry.address) }),
    bits: entry.bits,
    reserved: entry.reserved,
    sentence: entry.sentence,
  };
}
