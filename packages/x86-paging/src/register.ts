/** Registers as data: encode, decode and explain any of them by its field list. */

import { formatBigint } from "./address.ts";
import { PagingError } from "./errors.ts";

/** One field of a register. */
export interface RegisterField<Name extends string> {
  readonly name: Name;
  /** Lowest bit. */
  readonly at: number;
  readonly width: number;
  /** What the field is, or, of a single bit, what it means when it is 1. */
  readonly text: string;
  /** What a single bit means when it is 0; left out where that goes without saying. */
  readonly zero?: string;
  /** Names of the values, by value. */
  readonly values?: readonly string[];
}

/** A register: bits in no field are reserved. */
export interface Register<Name extends string> {
  readonly name: string;
  readonly bits: 32 | 64;
  readonly fields: readonly RegisterField<Name>[];
}

/** One line of an explanation. */
export interface Explanation {
  /** Field name, or "reserved". */
  readonly name: string;
  /** Bits, as in "31" or "59:52". */
  readonly bits: string;
  readonly value: bigint;
  readonly text: string;
}

function maskOf(width: number): bigint {
  return (1n << BigInt(width)) - 1n;
}

/** The value of every field. Reserved bits are passed over (see `reservedBits`). */
export function decodeRegister<Name extends string>(register: Register<Name>, value: bigint): Record<Name, bigint> {
  const entries = register.fields.map(
    (field) => [field.name, (value >> BigInt(field.at)) & maskOf(field.width)] as const,
  );
  return Object.fromEntries(entries) as Record<Name, bigint>;
}

/** The register with these fields, the others 0. Throws `bad-register` for a value that does not fit its field. */
export function encodeRegister<Name extends string>(
  register: Register<Name>,
  fields: Partial<Record<Name, bigint | number | boolean>>,
): bigint {
  let value = 0n;
  for (const field of register.fields) {
    const given = fields[field.name];
    if (given === undefined) continue;
    const bits = BigInt(given);
    if (bits < 0n || bits > maskOf(field.width)) {
      throw new PagingError(
        "bad-register",
        `${register.name}.${field.name} has ${field.width} bits, ${bits} does not fit`,
        { field: field.name },
      );
    }
    value |= bits << BigInt(field.at);
  }
  return value;
}

/** The bits of a value that belong to no field. */
export function reservedBits<Name extends string>(register: Register<Name>, value: bigint): bigint {
  let known = 0n;
  for (const field of register.fields) known |= maskOf(field.width) << BigInt(field.at);
  return value & ~known & maskOf(64);
}

/** What a register's value says, in words: one line per field that is not 0 or means something when 0. */
export function explainRegister<Name extends string>(register: Register<Name>, value: bigint): Explanation[] {
  const lines: Explanation[] = [];
  for (const field of register.fields) {
    const bits = (value >> BigInt(field.at)) & maskOf(field.width);
    const range = field.width === 1 ? `${field.at}` : `${field.at + field.width - 1}:${field.at}`;
    const text = fieldText(field, bits);
    if (text !== "") lines.push({ name: field.name, bits: range, value: bits, text });
  }
  const reserved = reservedBits(register, value);
  for (let bit = 0; bit < 64; bit++) {
    if (((reserved >> BigInt(bit)) & 1n) === 1n) {
      lines.push({ name: "reserved", bits: `${bit}`, value: 1n, text: `bit ${bit} is reserved and should be 0` });
    }
  }
  return lines;
}

function fieldText<Name extends string>(field: RegisterField<Name>, bits: bigint): string {
  if (field.values !== undefined) return `${field.text}: ${field.values[Number(bits)] ?? `${bits} (reserved)`}`;
  if (field.width === 1) return bits === 1n ? field.text : (field.zero ?? "");
  if (bits === 0n && field.zero === undefined) return "";
  const shown = field.width > 12 ? formatBigint(bits << BigInt(field.at)) : `${bits}`;
  return bits === 0n ? (field.zero ?? "") : `${field.text}: ${shown}`;
}
