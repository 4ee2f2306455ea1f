/** Recorded MMU cases: one access per line, with the registers, the entries on the way, and what the processor did. */
import { UsageError } from "../output.ts";

/** What was attempted. */
export type CaseAccess = "read" | "write" | "execute" | "implicit-read";

/** An entry before and after the access. */
export interface CaseEntry {
  readonly address: bigint;
  readonly before: bigint;
  readonly after: bigint;
}

/** One recorded access. */
export interface MmuCase {
  readonly id: string;
  readonly levels: number;
  readonly maxphyaddr: number;
  readonly cr0: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
  readonly efer: bigint;
  readonly pkru: bigint;
  readonly ac: boolean;
  readonly cpl: number;
  readonly access: CaseAccess;
  readonly va: bigint;
  readonly entries: readonly CaseEntry[];
  readonly expected: CaseResult;
}

/** How an access ended. */
export type CaseResult =
  | { readonly outcome: "ok"; readonly pa: bigint | undefined }
  | { readonly outcome: "fault"; readonly vector: 13 }
  | { readonly outcome: "fault"; readonly vector: 14; readonly error: number; readonly cr2: bigint };

const ACCESSES: readonly CaseAccess[] = ["read", "write", "execute", "implicit-read"];

/** A JSON object whose fields are read with the place of the mistake in the complaint. */
class Fields {
  readonly #where: string;
  readonly #object: Record<string, unknown>;

  constructor(where: string, value: unknown) {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw new UsageError(`${where}: expected a JSON object`);
    this.#where = where;
    this.#object = value as Record<string, unknown>;
  }

  fail(name: string, wanted: string): never {
    throw new UsageError(`${this.#where}: ${name} should be ${wanted}, is ${JSON.stringify(this.#object[name])}`);
  }

  has(name: string): boolean {
    return this.#object[name] !== undefined;
  }

  value(name: string): unknown {
    return this.#object[name];
  }

  word(name: string): bigint {
    const value = this.#object[name];
    if (typeof value !== "string" || !/^0x[0-9a-f]{1,16}$/i.test(value))
      this.fail(name, "a hex string of at most 64 bits");
    return BigInt(value);
  }

  whole(name: string, least: number, most: number): number {
    const value = this.#object[name];
    if (typeof value !== "number" || !Number.isInteger(value) || value < least || value > most)
      this.fail(name, `a whole number from ${least} to ${most}`);
    return value;
  }

  list(name: string): readonly unknown[] {
    const value = this.#object[name];
    if (!Array.isArray(value)) this.fail(name, "a list");
    return value;
  }
}

/** Parses the lines of a file. Throws {@link UsageError} naming file and line of the first that is no case. */
export function parseCases(text: string, file: string): MmuCase[] {
  const cases: MmuCase[] = [];
  text.split("\n").forEach((line, i) => {
    if (line.trim() === "") return;
    const where = `${file}:${i + 1}`;
    let document: unknown;
    try {
      document = JSON.parse(line);
    } catch {
      throw new UsageError(`${where}: not JSON`);
    }
    cases.push(parseCase(new Fields(where, document), where));
  });
  if (cases.length === 0) throw new UsageError(`${file}: holds no cases`);
  return cases;
}

function parseCase(fields: Fields, where: string): MmuCase {
  const id = fields.value("id");
  const access = ACCESSES.find((name) => name === fields.value("access"));
  if (access === undefined) fields.fail("access", ACCESSES.join(", "));
  const cr4 = fields.word("cr4");
  const entries = fields.list("entries").map((entry, i) => {
    const part = new Fields(`${where}: entry ${i}`, entry);
    const address = part.word("addr");
    if (address % 4n !== 0n || address >= 1n << 52n) part.fail("addr", "the physical address of an entry");
    return {
      address,
      before: part.word("before"),
      after: part.has("after") ? part.word("after") : part.word("before"),
    };
  });
  const ac = fields.has("rflags") ? ((fields.word("rflags") >> 18n) & 1n) === 1n : fields.value("ac") === true;
  return {
    id: typeof id === "string" ? id : where,
    levels: fields.has("levels") ? fields.whole("levels", 2, 5) : 4,
    maxphyaddr: fields.whole("maxphyaddr", 32, 52),
    cr0: fields.word("cr0"),
    cr3: fields.word("cr3"),
    cr4,
    efer: fields.word("efer"),
    pkru: fields.has("pkru") ? fields.word("pkru") : 0n,
    ac,
    cpl: fields.whole("cpl", 0, 3),
    access,
    va: fields.word("va"),
    entries,
    expected: parseResult(new Fields(`${where}: result`, fields.value("result"))),
  };
}

/** Normalises what one emulator forgets: a reserved-bit fault has P set. */
function parseResult(fields: Fields): CaseResult {
  if (fields.value("outcome") === "ok") return { outcome: "ok", pa: fields.has("pa") ? fields.word("pa") : undefined };
  if (fields.value("outcome") !== "fault") fields.fail("outcome", "ok or fault");
  if (fields.whole("vector", 13, 14) === 13) return { outcome: "fault", vector: 13 };
  const error = Number(fields.word("error"));
  return { outcome: "fault", vector: 14, error: (error & 8) === 0 ? error : error | 1, cr2: fields.word("cr2") };
}

/** What a result is called in a report. */
export function resultText(result: CaseResult): string {
  if (result.outcome === "ok") return result.pa === undefined ? "ok" : `ok 0x${result.pa.toString(16)}`;
  return result.vector === 13 ? "#GP" : `#PF error 0x${result.error.toString(16)} cr2 0x${result.cr2.toString(16)}`;
}

/** Whether an outcome is the one recorded; a physical address counts where one was observed. */
export function agrees(expected: CaseResult, got: CaseResult): boolean {
  if (expected.outcome === "ok") return got.outcome === "ok" && (expected.pa === undefined || expected.pa === got.pa);
  if (got.outcome === "ok" || got.vector !== expected.vector) return false;
  return expected.vector === 13 || (got.vector === 14 && got.error === expected.error && got.cr2 === expected.cr2);
}
