/** The layout file of `pagewright tables`, checked field by field. */
import type { Layout, LayoutRange } from "@pagewright/x86-paging";
import { UsageError } from "./output.ts";
import { MODES, numberOf, sizeOf } from "./paging-options.ts";

type Json = Readonly<Record<string, unknown>>;

/** PAT indices by memory type, as the PAT is after reset (there is no WC then). */
const MEMORY_TYPES: Readonly<Record<string, number>> = { wb: 0, wt: 1, "uc-": 2, uc: 3 };
/** EPT memory types. */
const EPT_MEMORY_TYPES: Readonly<Record<string, number>> = { uc: 0, wc: 1, wt: 4, wp: 5, wb: 6 };

const LAYOUT_FIELDS = ["levels", "base", "ranges", "recursiveSlot", "comment"];
const RANGE_FIELDS = [
  "start",
  "size",
  "end",
  "physical",
  "page",
  "rights",
  "write",
  "execute",
  "user",
  "read",
  "global",
  "accessed",
  "dirty",
  "memoryType",
  "key",
  "software",
  "comment",
];

function objectOf(value: unknown, where: string, fields: readonly string[]): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new UsageError(`${where}: expected a JSON object`);
  const unknown = Object.keys(value).find((name) => !fields.includes(name));
  if (unknown !== undefined)
    throw new UsageError(`${where}: unknown field "${unknown}"; known are ${fields.join(", ")}`);
  return value as Json;
}

/** A value of the document as an error names it, cut where it is long. */
function shown(value: unknown): string {
  return value === undefined ? "missing" : JSON.stringify(value).slice(0, 60);
}

/** Reads a layout document. Throws {@link UsageError} naming the file and the field that is wrong. */
export function layoutOf(document: unknown, path: string): Layout {
  const layout = objectOf(document, path, LAYOUT_FIELDS);
  const levels = layout["levels"] ?? "4";
  const name = typeof levels === "number" || typeof levels === "string" ? String(levels).toLowerCase() : "";
  const mode = MODES[name];
  if (mode === undefined)
    throw new UsageError(`${path}: levels should be one of ${Object.keys(MODES).join(", ")}, is ${shown(levels)}`);
  const ranges = layout["ranges"];
  if (!Array.isArray(ranges)) throw new UsageError(`${path}: ranges should be a list, is ${shown(ranges)}`);
  const base = numberOf(`${path}: base`, layout["base"]);
  if (base >= 1n << 52n) throw new UsageError(`${path}: base ${shown(layout["base"])} lies beyond 52 bits`);
  const slot = layout["recursiveSlot"];
  if (slot !== undefined && (typeof slot !== "number" || !Number.isInteger(slot) || slot < 0 || slot > 1023))
    throw new UsageError(`${path}: recursiveSlot should be an index, is ${shown(slot)}`);
  return {
    mode,
    tablesAt: Number(base),
    ranges: ranges.map((range, i) => rangeFrom(range, `${path}: range ${i}`, mode.definition.rule === "ept")),
    ...(slot === undefined ? {} : { recursiveSlot: slot }),
  };
}

function rangeFrom(value: unknown, where: string, ept: boolean): LayoutRange {
  const range = objectOf(value, where, RANGE_FIELDS);
  const start = numberOf(`${where}: start`, range["start"]);
  if ((range["size"] === undefined) === (range["end"] === undefined))
    throw new UsageError(`${where}: give either size or end`);
  const size =
    range["size"] === undefined
      ? numberOf(`${where}: end`, range["end"]) - start
      : sizeOf(`${where}: size`, range["size"]);
  if (size <= 0n) throw new UsageError(`${where}: is empty`);
  const flag = (name: string, letter: string): boolean => {
    const own = range[name];
    if (own !== undefined && typeof own !== "boolean")
      throw new UsageError(`${where}: ${name} should be true or false, is ${shown(own)}`);
    return own ?? rightsOf(range["rights"], where).includes(letter);
  };
  const page = range["page"] ?? "largest";
  if (typeof page !== "string")
    throw new UsageError(`${where}: page should be "4K", "2M", "1G" or "largest", is ${shown(page)}`);
  const known = {
    start,
    size,
    physical: range["physical"] === undefined ? start : numberOf(`${where}: physical`, range["physical"]),
    page,
  };
  return {
    ...known,
    read: range["read"] === undefined || flag("read", "r"),
    write: flag("write", "w"),
    execute: flag("execute", "x"),
    user: flag("user", "u"),
    global: flag("global", "g"),
    accessed: flag("accessed", "a"),
    dirty: flag("dirty", "d"),
    memoryType: typeFrom(range["memoryType"], where, ept),
    key: small(range["key"], `${where}: key`, 16),
    software: small(range["software"], `${where}: software`, 1024),
  };
}

function rightsOf(value: unknown, where: string): string {
  if (value === undefined) return "";
  if (typeof value !== "string" || !/^[rwxugad-]*$/i.test(value))
    throw new UsageError(`${where}: rights should be letters out of r, w, x, u, g, a, d, is ${shown(value)}`);
  return value.toLowerCase();
}

function small(value: unknown, where: string, limit: number): number {
  if (value === undefined) return 0;
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value >= limit)
    throw new UsageError(`${where} should be a whole number below ${limit}, is ${shown(value)}`);
  return value;
}

function typeFrom(value: unknown, where: string, ept: boolean): number {
  if (value === undefined) return ept ? 6 : 0;
  if (typeof value === "number") return small(value, `${where}: memoryType`, 8);
  const type = typeof value === "string" ? (ept ? EPT_MEMORY_TYPES : MEMORY_TYPES)[value.toLowerCase()] : undefined;
  if (type === undefined)
    throw new UsageError(`${where}: memoryType should be a name such as WB or UC, or an index, is ${shown(value)}`);
  return type;
}
