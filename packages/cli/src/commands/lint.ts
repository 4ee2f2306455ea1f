import { bigintOfVpn, lint, stateOfRegisters, vpnOfBigint } from "@pagewright/x86-paging";
import type { LintFinding, LintOptions, StackSpan } from "@pagewright/x86-paging";
import type { Command } from "commander";
import { openImage } from "../image/image.ts";
import { failCheck, print, UsageError } from "../output.ts";
import { addPagingOptions, choosePaging, hex, numberOf, sizeOf, stateFor, withRoot } from "../paging-options.ts";
import type { PagingCommandOptions } from "../paging-options.ts";
import { rangeOf } from "../page-range.ts";
import { readSymbols } from "../symbols.ts";
import type { Symbols } from "../symbols.ts";

interface LintCommandOptions extends PagingCommandOptions {
  readonly recursiveSlot?: string;
  readonly stack?: string[];
  readonly ram?: string;
  readonly pat?: string;
  readonly pge?: boolean;
  readonly also?: string[];
  readonly symbols?: string;
}

/** Adds `pagewright lint IMAGE`: what is wrong or weak in the page tables of an image. */
export function registerLint(program: Command): void {
  const command = program
    .command("lint")
    .summary("what is wrong or weak in the page tables of a memory image")
    .description(
      "Check the page tables of a memory image by rules. Exits 1 where there is an error or a warning; notes do not count.",
    )
    .argument("<image>", "memory image: raw, ELF core, LiME or sparse; plain, .gz or .xz")
    .option("--recursive-slot <index>", "root entry that refers to the root on purpose")
    .option("--stack <start-end...>", "stacks, below each of which a page should be unmapped")
    .option("--ram <size>", "RAM from address 0 on: bytes, or 64M (default: what the image holds)")
    .option("--pat <value>", "IA32_PAT (default: as after reset)")
    .option("--no-pge", "global pages are off: do not look for missing global bits")
    .option("--also <cr3...>", "other address spaces whose mappings count for aliases and writable tables")
    .option("--symbols <file>", "ELF file or System.map with names for addresses");
  addPagingOptions(command).action(async (path: string, options: LintCommandOptions) => {
    const symbols = options.symbols === undefined ? undefined : readSymbols(options.symbols);
    const stacks = (options.stack ?? []).map(stackOf);
    const image = await openImage(path, options.image);
    const choice = choosePaging(options, image);
    const state = stateFor(choice, image);
    const others = (options.also ?? []).map((text) => {
      const cr3 = numberOf("--also", text);
      return withRoot(stateOfRegisters({ ...choice.registers, cr3 }, image, choice.mode), image, "--also", cr3);
    });
    const ram =
      options.ram === undefined
        ? image.segments.map(({ start, end }) => ({ start: Math.ceil(start / 4096), end: Math.floor(end / 4096) }))
        : [{ start: 0, end: Math.floor(Number(sizeOf("--ram", options.ram)) / 4096) }];
    const slot =
      options.recursiveSlot === undefined
        ? undefined
        : slotOf(options.recursiveSlot, state.mode.levels[state.mode.depth]?.entries ?? 0);
    const rules: LintOptions = {
      stacks,
      others,
      globalPages: options.pge !== false,
      has: (pfn) => image.has(pfn),
      ...(image.format === "sparse" && options.ram === undefined ? {} : { ram }),
      ...(options.pat === undefined ? {} : { pat: numberOf("--pat", options.pat) }),
      ...(slot === undefined ? {} : { recursiveSlot: slot }),
    };
    const findings = lint(state, image, rules);
    const ok = findings.every((finding) => finding.severity === "note");
    if (!ok) failCheck();
    print(
      options.json,
      () => ({ ok, mode: state.mode.name, findings: findings.map((finding) => documentOf(finding, symbols)) }),
      () => textOf(findings, symbols),
    );
  });
}

function slotOf(text: string, entries: number): number {
  const slot = Number(numberOf("--recursive-slot", text));
  if (slot >= entries) throw new UsageError(`--recursive-slot ${text}: the root table has ${entries} entries`);
  return slot;
}

function stackOf(text: string): StackSpan {
  const { start, end } = rangeOf("--stack", text);
  return { vpn: vpnOfBigint(start), pages: Number((end - start) / 4096n) };
}

function documentOf(finding: LintFinding, symbols: Symbols | undefined): unknown {
  const { rule, severity, sentence, pages, pfn } = finding;
  const start = bigintOfVpn(finding.vpn);
  const symbol = symbols?.nameOf(start);
  return {
    rule,
    severity,
    start: hex(start),
    end: hex(start + BigInt(pages) * 4096n),
    ...(pfn === undefined ? {} : { physical: hex(BigInt(pfn) * 4096n) }),
    ...(symbol === undefined ? {} : { symbol }),
    sentence,
  };
}

function textOf(findings: readonly LintFinding[], symbols: Symbols | undefined): string {
  if (findings.length === 0) return "nothing found";
  return findings
    .map(({ rule, severity, sentence, vpn }) => {
      const symbol = symbols?.nameOf(bigintOfVpn(vpn));
      return `${severity}: ${rule}: ${sentence}${symbol === undefined ? "" : ` (${symbol})`}`;
    })
    .join("\n");
}
