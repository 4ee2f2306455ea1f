/** Options that the page-table commands share: which image, which registers, which mode. */
import type { PagingMode, PagingRegisters, PagingState } from "@pagewright/x86-paging";
import {
  MODE_32_BIT,
  MODE_4_LEVEL,
  MODE_5_LEVEL,
  MODE_EPT,
  MODE_EPT_5_LEVEL,
  MODE_NPT,
  MODE_PAE,
  parseNumber,
  PagingError,
  stateOfRegisters,
} from "@pagewright/x86-paging";
import type { Command } from "commander";
import { Option } from "commander";
import { readJson, readText } from "./files.ts";
import type { Image } from "./image/image.ts";
import { IMAGE_FORMATS } from "./image/formats.ts";
import type { ImageFormat } from "./image/formats.ts";
import { UsageError } from "./output.ts";

/** What these options give. */
export interface PagingCommandOptions {
  readonly cr0?: string;
  readonly cr3?: string;
  readonly cr4?: string;
  readonly efer?: string;
  readonly pkru?: string;
  readonly pkrs?: string;
  readonly levels?: string;
  readonly maxphyaddr?: string;
  readonly cBit?: string;
  readonly registers?: string;
  readonly image?: ImageFormat;
  readonly json?: boolean;
}

/** Modes by the names that `--levels` takes. */
export const MODES: Readonly<Record<string, PagingMode>> = {
  "4": MODE_4_LEVEL,
  "5": MODE_5_LEVEL,
  pae: MODE_PAE,
  "32": MODE_32_BIT,
  ept: MODE_EPT,
  ept5: MODE_EPT_5_LEVEL,
  npt: MODE_NPT,
};

/** Adds the options to a command. */
export function addPagingOptions(command: Command): Command {
  return command
    .option("--cr3 <value>", "CR3 (or EPTP, nCR3): where the root table is")
    .option("--levels <mode>", `paging mode: ${Object.keys(MODES).join(", ")} (default: by the registers, else 4)`)
    .option(
      "--registers <file>",
      "JSON file with cr0, cr3, cr4, efer, pkru, maxphyaddr …, or QEMU's `info registers` text",
    )
    .option("--cr0 <value>", "CR0 (default: paging, write protect and protected mode on)")
    .option("--cr4 <value>", "CR4 (default: PAE and PGE, LA57 with --levels 5)")
    .option("--efer <value>", "EFER (default: LME, LMA and NXE)")
    .option("--pkru <value>", "PKRU")
    .option("--pkrs <value>", "IA32_PKRS")
    .option("--maxphyaddr <bits>", "physical address width (default 52)")
    .option("--c-bit <bit>", "SME/SEV: position of the encryption bit")
    .addOption(new Option("--image <format>", "what the image file is (default: found out)").choices(IMAGE_FORMATS))
    .option("--json", "print one JSON document");
}

/** Bare digits that can only be hexadecimal: a letter among them, or zeros in front, as emulators print registers. */
const BARE_HEX = /^(?=.*[a-f]|0[0-9a-f]{7})[0-9a-f`_]+$/i;

/** Reads a 64-bit number that a user gave: 0x…, decimal, or bare hexadecimal digits where they can be nothing else. */
export function numberOf(name: string, text: unknown): bigint {
  if (typeof text === "number" && Number.isSafeInteger(text) && text >= 0) return BigInt(text);
  if (typeof text === "string") {
    try {
      return parseNumber(BARE_HEX.test(text) ? `0x${text}` : text);
    } catch (error) {
      if (!PagingError.is(error)) throw error;
    }
  }
  throw new UsageError(
    `${name} ${typeof text === "string" ? text : JSON.stringify(text)}: expected a number of at most 64 bits, such as 0x1000`,
  );
}

/** Reads a number of bytes that a user gave, as {@link numberOf} does, or one with a unit: "2M", "1G". */
export function sizeOf(name: string, value: unknown): bigint {
  const match = typeof value === "string" ? /^(\d+)([KMGT])(i?B)?$/i.exec(value.trim()) : null;
  if (match === null) return numberOf(name, value);
  return BigInt(match[1] ?? "0") << BigInt(10 * ("KMGT".indexOf((match[2] ?? "K").toUpperCase()) + 1));
}

/**
 * Registers by lower-case name, from a JSON object or from a text with NAME=value in it (QEMU's `info registers`; of several processors
 * the first counts).
 */
export function readRegisterFile(path: string): Record<string, unknown> {
  const text = readText(path);
  if (!text.trimStart().startsWith("{")) return registersOfText(text, path);
  const document = readJson(path);
  if (typeof document !== "object" || document === null || Array.isArray(document))
    throw new UsageError(`${path}: expected a JSON object of registers`);
  return Object.fromEntries(Object.entries(document).map(([name, value]) => [name.toLowerCase(), value as unknown]));
}

function registersOfText(text: string, path: string): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const [, name, digits] of text.matchAll(/\b(CR[0-8]|EFER|RIP|RSP|PKRU|RFL|EIP|ESP)\s*=\s*([0-9a-f]+)/gi)) {
    const known = (name ?? "").toLowerCase().replace(/^e(?=ip|sp)/, "r");
    found[known] ??= `0x${digits ?? ""}`;
  }
  const cs = /\bCS\s*=\s*([0-9a-f]{4})\b/i.exec(text);
  if (cs !== null) found["cs"] = `0x${cs[1] ?? ""}`;
  for (const name of ["idt", "gdt"]) {
    const table = new RegExp(`\\b${name}\\s*=\\s*([0-9a-f]+)\\s+([0-9a-f]+)`, "i").exec(text);
    if (table !== null) found[`${name}r`] = { base: `0x${table[1] ?? ""}`, limit: `0x${table[2] ?? ""}` };
  }
  if (found["cr3"] === undefined)
    throw new UsageError(`${path}: neither a JSON object nor a text with registers (CR3=…) in it`);
  return found;
}

/** `0x` and digits, as JSON documents want numbers. */
export function hex(value: bigint | number): string {
  return `0x${BigInt(value).toString(16)}`;
}

/** What the registers of a command line say, and in which mode to read the tables. */
export interface PagingChoice {
  readonly registers: PagingRegisters;
  /** Absent: the mode that the registers select. */
  readonly mode: PagingMode | undefined;
}

/** Puts options, a registers file and what the image knows together. `--cr3` is required where none of them tells. */
export function choosePaging(options: PagingCommandOptions, image?: Image): PagingChoice {
  const file = options.registers === undefined ? {} : readRegisterFile(options.registers);
  const given = (name: keyof PagingCommandOptions): bigint | undefined => {
    const option = options[name];
    if (typeof option === "string") return numberOf(`--${name}`, option);
    return file[name] === undefined ? undefined : numberOf(name, file[name]);
  };
  const mode = options.levels === undefined ? undefined : MODES[options.levels.toLowerCase()];
  if (options.levels !== undefined && mode === undefined) {
    throw new UsageError(`--levels ${options.levels}: expected one of ${Object.keys(MODES).join(", ")}`);
  }
  const cr3 = given("cr3") ?? image?.cr3;
  if (cr3 === undefined) throw new UsageError("--cr3 is missing: where is the root table?");
  const bits = given("maxphyaddr") ?? 52n;
  if (bits < 32n || bits > 52n) throw new UsageError(`--maxphyaddr ${bits}: expected 32 to 52`);
  const cBit = options.cBit === undefined ? undefined : Number(numberOf("--c-bit", options.cBit));
  if (cBit !== undefined && (cBit < 12 || cBit > 62)) throw new UsageError(`--c-bit ${cBit}: expected 12 to 62`);
  const registers: PagingRegisters = {
    cr0: given("cr0") ?? 0x8001_0033n,
    cr3,
    cr4: given("cr4") ?? defaultCr4(mode),
    efer: given("efer") ?? 0xd01n,
    pkru: given("pkru") ?? 0n,
    pkrs: given("pkrs") ?? 0n,
    maxPhysicalBits: Number(bits),
    ...(cBit === undefined ? {} : { encryptionBit: cBit }),
  };
  return {
    registers,
    mode:
      mode
      ?? (options.registers === undefined && options.cr0 === undefined && options.cr4 === undefined
        ? MODE_4_LEVEL
        : undefined),
  };
}

function defaultCr4(mode: PagingMode | undefined): bigint {
  if (mode === MODE_5_LEVEL) return 0x10a0n;
  return mode === MODE_32_BIT ? 0x90n : 0xa0n;
}

/** The paging state of a choice, tables in the image. */
export function stateFor(choice: PagingChoice, image: Image): PagingState {
  const state = stateOfRegisters(choice.registers, image, choice.mode);
  if (state.mode.depth === 0)
    throw new UsageError("CR0.PG is 0: paging is off, there are no tables (give --levels to read them all the same)");
  return withRoot(state, image, "--cr3", choice.registers.cr3);
}

/**
 * Returns the state whose root table is in the image.
 *
 * @throws {@link UsageError} naming the option and its value where the image holds no byte of it: the tables would read as empty.
 */
export function withRoot(state: PagingState, image: Image, option: string, cr3: bigint | number): PagingState {
  if (image.has(state.root)) return state;
  throw new UsageError(
    `${option} ${hex(cr3)}: the image has no memory at ${hex(BigInt(state.root) * 4096n)}, where the root table would be`,
  );
}
