/**
 * Reads the firmware-map JSON: `entries` (or `userEntries`) with `base`, inclusive `end`, `length` as hex strings and an
 * E820 `type`; `srat`, `mtrrDefault`, `mtrr`, `bars` and `bridgeWindows` where known.
 */
import { MachineError } from "../errors.ts";
import { firmwareMapOf, requireEntries } from "./firmware-map.ts";
import type { BridgeWindow, FirmwareBar, FirmwareMap, FirmwareMtrr } from "./firmware-map.ts";
import type { AffinityRange, RawEntry } from "./entry.ts";
import { applyMemoryWords, memoryWordsOf } from "./memmap.ts";
import type { MemoryWord } from "./memmap.ts";
import { typeOfKernelName } from "../mtrr/memory-type.ts";
import { PHYSICAL_LIMIT } from "../units.ts";

/** Which list of entries to read. */
export interface FirmwareJsonOptions {
  /**
   * `"entries"` (the firmware's), or `"userEntries"` (after the kernel's `memmap=` words: as listed or, where they are not, as
   * the words in `memoryParameters` make them). Default: `"entries"`.
   */
  readonly list?: "entries" | "userEntries";
}

type Fields = Readonly<Record<string, unknown>>;

function refuse(where: string, what: string): never {
  throw new MachineError("bad-firmware-map", `${where}: ${what}`, { where });
}

function fieldsOf(value: unknown, where: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) refuse(where, "is not an object");
  return value as Fields;
}

function listOf(value: unknown, where: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) refuse(where, "is not a list");
  return value as readonly unknown[];
}

function wordOf(value: unknown, where: string): bigint {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return BigInt(value);
  if (typeof value === "string" && /^(0x[0-9a-f]{1,32}|\d{1,30})$/i.test(value)) return BigInt(value);
  return refuse(where, `${JSON.stringify(value)} is no address (hex string or whole number)`);
}

function numberOf(value: unknown, where: string): number {
  const word = wordOf(value, where);
  if (word > BigInt(PHYSICAL_LIMIT)) refuse(where, `0x${word.toString(16)} is beyond 52 bits`);
  return Number(word);
}

function smallOf(value: unknown, where: string): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && value < 2 ** 32) return value;
  return refuse(where, `${JSON.stringify(value)} is no number in [0, 2^32)`);
}

function rawEntry(value: unknown, where: string): RawEntry {
  const fields = fieldsOf(value, where);
  const base = wordOf(fields["base"], `${where}.base`);
  if (base >= 1n << 64n) refuse(`${where}.base`, `0x${base.toString(16)} is beyond 64 bits`);
  const type = smallOf(fields["type"], `${where}.type`);
  if (fields["length"] !== undefined) return { base, length: wordOf(fields["length"], `${where}.length`), type };
  const end = wordOf(fields["end"], `${where}.end`);
  const length = end + 1n - base;
  // An end below the base wrapped round 2^64.
  return { base, length: length < 0n ? length + (1n << 64n) + (1n << 64n) : length, type };
}

function affinity(value: unknown, where: string): AffinityRange {
  const fields = fieldsOf(value, where);
  const base = numberOf(fields["base"], `${where}.base`);
  const length = numberOf(fields["length"], `${where}.length`);
  const flags = listOf(fields["flags"], `${where}.flags`);
  return {
    node: smallOf(fields["node"], `${where}.node`),
    base,
    end: Math.min(base + length, PHYSICAL_LIMIT),
    hotPluggable: flags.includes("hotplug"),
    nonVolatile: flags.includes("non-volatile"),
  };
}

function mtrr(value: unknown, where: string): FirmwareMtrr {
  const fields = fieldsOf(value, where);
  return {
    base: numberOf(fields["base"], `${where}.base`),
    length: numberOf(fields["length"], `${where}.length`),
    type: typeNameOf(fields["type"], `${where}.type`),
  };
}

/** The name of a memory type as kernels print it. */
function typeNameOf(value: unknown, where: string): string {
  if (typeof value === "string" && typeOfKernelName(value) !== undefined) return value;
  const given = value === undefined ? "nothing" : JSON.stringify(value);
  return refuse(
    where,
    `${given} is no memory type (write-back, write-through, write-combining, write-protect, uncachable)`,
  );
}

function bar(value: unknown, where: string): FirmwareBar {
  const fields = fieldsOf(value, where);
  return {
    device: String(fields["dev"]),
    region: smallOf(fields["region"], `${where}.region`),
    base: numberOf(fields["base"], `${where}.base`),
    length: numberOf(fields["length"], `${where}.length`),
    width: smallOf(fields["width"] ?? 32, `${where}.width`),
    prefetchable: fields["prefetchable"] === true,
    disabled: fields["disabled"] === true,
  };
}

function bridgeWindow(value: unknown, where: string): BridgeWindow {
  const fields = fieldsOf(value, where);
  return {
    device: String(fields["dev"]),
    base: numberOf(fields["base"], `${where}.base`),
    end: numberOf(fields["end"], `${where}.end`) + 1,
    prefetchable: fields["prefetchable"] === true,
  };
}

/** The corrections that `memoryParameters` lists. */
function memoryParameters(document: Fields): readonly MemoryWord[] {
  return listOf(document["memoryParameters"], "memoryParameters").flatMap((word, at) => {
    if (typeof word !== "string") refuse(`memoryParameters[${at}]`, "is no word of a command line");
    return memoryWordsOf(word);
  });
}

/**
 * Returns the firmware map that `json` (a parsed document) describes, sanitised.
 *
 * Throws `bad-firmware-map` with the place of the fault when a field is missing, is no number or no name of a memory type, and when no entry is
 * left after sanitising.
 */
export function firmwareMapFromJson(json: unknown, options: FirmwareJsonOptions = {}): FirmwareMap {
  const document = fieldsOf(json, "map");
  const list = options.list ?? "entries";
  const words = list === "userEntries" && document[list] === undefined ? memoryParameters(document) : [];
  const source = words.length > 0 ? "entries" : list;
  if (!Array.isArray(document[source])) refuse(source, "is missing or is not a list");
  const each = <T>(key: string, read: (value: unknown, where: string) => T): T[] =>
    listOf(document[key], key).map((value, at) => read(value, `${key}[${at}]`));
  const name = document["name"];
  const mtrrDefault = document["mtrrDefault"];
  return requireEntries(
    firmwareMapOf(applyMemoryWords(each(source, rawEntry), words), {
      name: typeof name === "string" ? name : "",
      affinity: each("srat", affinity),
      mtrrDefault: mtrrDefault === undefined || mtrrDefault === null ? null : typeNameOf(mtrrDefault, "mtrrDefault"),
      mtrrs: each("mtrr", mtrr),
      bars: each("bars", bar),
      bridgeWindows: each("bridgeWindows", bridgeWindow),
    }),
  );
}
