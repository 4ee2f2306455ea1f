import { diagnose } from "@pagewright/x86-paging";
import type { DescriptorTable, DiagnosisInput, Finding } from "@pagewright/x86-paging";
import type { Command } from "commander";
import { Option } from "commander";
import { openImage } from "../image/image.ts";
import { IMAGE_FORMATS } from "../image/formats.ts";
import type { ImageFormat } from "../image/formats.ts";
import { failCheck, print, UsageError } from "../output.ts";
import { hex, numberOf, readRegisterFile } from "../paging-options.ts";

/** Registers that must be known; the others have a sensible absence. */
const REQUIRED = ["cr0", "cr3", "cr4", "efer", "rip", "rsp"] as const;

interface DiagnoseOptions extends Readonly<Record<string, unknown>> {
  readonly registers?: string;
  readonly image?: ImageFormat;
  readonly json?: boolean;
}

/** Adds `pagewright diagnose IMAGE`: why would this machine triple-fault. */
export function registerDiagnose(program: Command): void {
  const command = program
    .command("diagnose")
    .summary("why a machine triple-faults when paging goes on")
    .description("Find out why a machine cannot run with these registers and this memory: the first cause comes first.")
    .argument("<image>", "memory image: raw, ELF core, LiME or sparse; plain, .gz or .xz")
    .option("--registers <file>", "JSON file with cr0, cr3, cr4, efer, rip, rsp, idtr {base, limit} …");
  for (const name of [...REQUIRED, "cr2", "cs", "maxphyaddr"]) command.option(`--${name} <value>`, name.toUpperCase());
  command
    .option("--idtr <base,limit>", "IDTR")
    .option("--gdtr <base,limit>", "GDTR")
    .addOption(new Option("--image <format>", "what the image file is (default: found out)").choices(IMAGE_FORMATS))
    .option("--json", "print one JSON document")
    .action(async (path: string, options: DiagnoseOptions) => {
      const registers = {
        ...(options.registers === undefined ? {} : readRegisterFile(options.registers)),
        ...given(options),
      };
      const known = inputOf(registers);
      const image = await openImage(path, options.image);
      const findings = diagnose({ ...known, memory: image });
      const ok = findings.length === 0;
      if (!ok) failCheck();
      print(
        options.json,
        () => ({ ok, findings: findings.map(documentOf) }),
        () =>
          ok
            ? "nothing is wrong: code, stack, descriptor tables and handlers can be reached"
            : findings.map((finding, i) => `${i + 1}. ${finding.rule}: ${finding.sentence}`).join("\n"),
      );
    });
}

/** Registers given as options. */
function given(options: DiagnoseOptions): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    if (typeof value !== "string" || name === "registers" || name === "image") continue;
    if (name !== "idtr" && name !== "gdtr") {
      found[name] = value;
      continue;
    }
    const [base, limit, ...rest] = value.split(/[,:]/);
    if (base === undefined || rest.length > 0) throw new UsageError(`--${name} ${value}: expected BASE,LIMIT`);
    found[name] = { base, limit: limit ?? "0xfff" };
  }
  return found;
}

function tableOf(name: string, value: unknown): DescriptorTable | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "object" || value === null)
    throw new UsageError(`${name}: expected an object with base and limit`);
  const { base, limit } = value as Record<string, unknown>;
  const size = numberOf(`${name}.limit`, limit);
  if (size > 0xffffn) throw new UsageError(`${name}.limit ${hex(size)}: expected at most 0xffff`);
  return { base: numberOf(`${name}.base`, base), limit: Number(size) };
}

function inputOf(registers: Record<string, unknown>): Omit<DiagnosisInput, "memory"> {
  for (const name of REQUIRED) {
    if (registers[name] === undefined)
      throw new UsageError(`${name} is missing: give it in --registers FILE or as --${name} VALUE`);
  }
  const number = (name: string): bigint => numberOf(name, registers[name]);
  const idtr = tableOf("idtr", registers["idtr"]);
  if (idtr === undefined) throw new UsageError("idtr is missing: give it in --registers FILE or as --idtr BASE,LIMIT");
  const gdtr = tableOf("gdtr", registers["gdtr"]);
  const width = registers["maxphyaddr"] === undefined ? 52n : number("maxphyaddr");
  if (width < 32n || width > 52n) throw new UsageError(`maxphyaddr ${width}: expected 32 to 52`);
  return {
    cr0: number("cr0"),
    cr3: number("cr3"),
    cr4: number("cr4"),
    efer: number("efer"),
    rip: number("rip"),
    rsp: number("rsp"),
    idtr,
    maxPhysicalBits: Number(width),
    ...(gdtr === undefined ? {} : { gdtr }),
    ...(registers["cr2"] === undefined ? {} : { cr2: number("cr2") }),
    ...(registers["cs"] === undefined ? {} : { cs: number("cs") }),
    ...(registers["pkru"] === undefined ? {} : { pkru: number("pkru") }),
  };
}

/** A finding as JSON: hex strings without padding, what does not apply absent. */
function documentOf(finding: Finding): unknown {
  const { rule, sentence, level, index } = finding;
  const optional = Object.entries({
    table: finding.table,
    entryAddress: finding.entryAddress,
    value: finding.value,
    address: finding.address,
  });
  const shown = Object.fromEntries(
    optional.flatMap(([name, value]) => (value === undefined ? [] : [[name, hex(value)]])),
  );
  return {
    rule,
    sentence,
    ...(level === undefined ? {} : { level }),
    ...(index === undefined ? {} : { index }),
    ...shown,
  };
}
