/**
 * UEFI memory maps as they are printed:
 *
 * ```
 *  efi: mem15: type=10, attr=0xf, range=[0x00000000ad853000-0x00000000ad85a000) (0MB)                    Linux to 3.x: end exclusive
 *  efi: mem01: [Conventional Memory|   |  |  |  |   |WB|WT|WC|UC] range=[0x0000000000001000-0x0000000000020000) (0MB)       from 4.0
 *  efi: mem01: [Conventional|   |  |  |  |  |  |  |  |   |WB|WT|WC|UC] range=[0x0000000000001000-0x000000000001ffff] (0MB)  newer: inclusive
 *    0x000000001000-0x000000001fff [Loader Data        |   |  |  |  |   |WB|WT|WC|UC]                    ARM: end inclusive
 *  available   0000000000750000-0000000001841FFF   00000000000010F2 0000000000000009                     memmap of the UEFI shell
 * ```
 *
 * Linux prints it with `efi=debug`. Sources of the names: Linux drivers/firmware/efi/efi.c; UEFI Shell Specification 2.2, memmap.
 */
import { e820OfEfi } from "./efi.ts";
import type { RawEntry } from "./entry.ts";

/** Names of the UEFI types 0 to 15, as Linux (old, new) and the shell print them; without spaces and underscores, lower case. */
const NAMES: readonly (readonly string[])[] = [
  ["reserved"],
  ["loadercode"],
  ["loaderdata"],
  ["bootcode", "bscode", "bootservicecode"],
  ["bootdata", "bsdata", "bootservicedata"],
  ["runtimecode", "rtcode"],
  ["runtimedata", "rtdata"],
  ["conventionalmemory", "conventional", "available"],
  ["unusablememory", "unusable"],
  ["acpireclaimmemory", "acpireclaim", "acpirecl"],
  ["acpimemorynvs", "acpimemnvs", "acpinvs"],
  ["memorymappedi/o", "mmio", "memorymappedio"],
  ["mmioportspace", "mmioport", "memorymappedioportspace"],
  ["palcode"],
  ["persistentmemory", "persistent"],
  ["unaccepted"],
];

/** Attribute bit EFI_MEMORY_SP. */
const SPECIAL_PURPOSE = 0x40000n;

const NUMBERED = /\befi: mem\d+: type=(\d+), attr=0x([0-9a-f]+), range=\[0x([0-9a-f]+)-0x([0-9a-f]+)([)\]])/i;
const NAMED = /\befi: mem\d+: \[([^|\]]+)\|([^\]]*)\] range=\[0x([0-9a-f]+)-0x([0-9a-f]+)([)\]])/i;
const RANGE_FIRST = /(?:^|\s)0x([0-9a-f]{8,16})-0x([0-9a-f]{8,16}) \[([^|\]]+)\|([^\]]*)/i;
const SHELL = /^\s*([a-z][a-z_/ ]*?)\s+([0-9a-f]{8,16})-([0-9a-f]{8,16})\s+[0-9a-f]{8,16}\s+([0-9a-f]{8,16})\s*$/i;

const hex = (digits: string | undefined): bigint => BigInt(`0x${digits ?? "0"}`);

/** The number of a printed type, −1 where there is no such name; what Linux does not know it prints as `type=20`. */
function numberOf(name: string): number {
  const words = name.toLowerCase().replace(/[\s_]/g, "");
  const numbered = /^type=(\d+)$/.exec(words);
  return numbered === null ? NAMES.findIndex((names) => names.includes(words)) : Number(numbered[1]);
}

/** Attributes printed as words, as far as they matter. */
function attributesOf(words: string): bigint {
  return words.split("|").some((word) => word.trim() === "SP") ? SPECIAL_PURPOSE : 0n;
}

/** An entry from `base` to `last`, which counts too. An end below the base wrapped, which sanitising reports. */
function entryOf(efiType: number, attributes: bigint, base: bigint, last: bigint): RawEntry | null {
  if (efiType < 0) return null;
  const length = last + 1n - base;
  return { base, length: length >= 0n ? length : length + (1n << 65n), type: e820OfEfi(efiType, attributes) };
}

/** The last byte of a printed range, whose end is exclusive where a parenthesis closes it. */
function lastOf(end: string | undefined, bracket: string | undefined): bigint {
  return bracket === ")" ? hex(end) - 1n : hex(end);
}

/** Returns the entry that a line of a printed UEFI memory map says, null where it is no such line. */
export function efiEntryOfLine(line: string): RawEntry | null {
  const numbered = NUMBERED.exec(line);
  if (numbered !== null)
    return entryOf(Number(numbered[1]), hex(numbered[2]), hex(numbered[3]), lastOf(numbered[4], numbered[5]));
  const named = NAMED.exec(line);
  if (named !== null)
    return entryOf(numberOf(named[1] ?? ""), attributesOf(named[2] ?? ""), hex(named[3]), lastOf(named[4], named[5]));
  const ranged = RANGE_FIRST.exec(line);
  if (ranged !== null)
    return entryOf(numberOf(ranged[3] ?? ""), attributesOf(ranged[4] ?? ""), hex(ranged[1]), hex(ranged[2]));
  const shell = SHELL.exec(line);
  return shell === null ? null : entryOf(numberOf(shell[1] ?? ""), hex(shell[4]), hex(shell[2]), hex(shell[3]));
}
