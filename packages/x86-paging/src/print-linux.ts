/**
 * The text of Linux's /sys/kernel/debug/page_tables: unmapped stretches too, markers between regions.
 * Source: Linux, arch/x86/mm/dump_pagetables.c (format) and Documentation/arch/x86/x86_64/mm.rst (regions).
 */

import { PageDigits } from "./address.ts";
import { ATTR_GLOBAL, ATTR_TYPE_SHIFT } from "./attributes.ts";
import type { LeafBound } from "./bounded-cursor.ts";
import { rawOfVpn, vpnOfRaw } from "./cursor.ts";
import type { PagingMode } from "./mode.ts";
import type { TableMemory } from "./ports.ts";
import { RIGHT_EXECUTE, RIGHT_USER, RIGHT_WRITE } from "./rights.ts";
import { runs } from "./runs.ts";
import type { PagingState } from "./state.ts";

/** A name for what begins at an address. */
export interface RegionMarker {
  readonly address: bigint;
  readonly name: string;
}

const MARKERS_4_LEVEL: readonly RegionMarker[] = [
  { address: 0n, name: "User Space" },
  { address: 0xffff_8000_0000_0000n, name: "Kernel Space" },
  { address: 0xffff_8880_0000_0000n, name: "Low Kernel Mapping" },
  { address: 0xffff_c900_0000_0000n, name: "vmalloc() Area" },
  { address: 0xffff_ea00_0000_0000n, name: "Vmemmap" },
  { address: 0xffff_fe00_0000_0000n, name: "CPU entry Area" },
  { address: 0xffff_ff00_0000_0000n, name: "ESPfix Area" },
  { address: 0xffff_ffef_0000_0000n, name: "EFI Runtime Services" },
  { address: 0xffff_ffff_8000_0000n, name: "High Kernel Mapping" },
  { address: 0xffff_ffff_c000_0000n, name: "Modules" },
  { address: 0xffff_ffff_ff00_0000n, name: "End Modules" },
  { address: 0xffff_ffff_ff57_8000n, name: "Fixmap Area" },
];

const MARKERS_5_LEVEL: readonly RegionMarker[] = [
  { address: 0n, name: "User Space" },
  { address: 0xff00_0000_0000_0000n, name: "Kernel Space" },
  { address: 0xff11_0000_0000_0000n, name: "Low Kernel Mapping" },
  { address: 0xffa0_0000_0000_0000n, name: "vmalloc() Area" },
  { address: 0xffd4_0000_0000_0000n, name: "Vmemmap" },
  ...MARKERS_4_LEVEL.slice(5),
];

/** The regions of Linux where it is not randomised; none for modes that Linux lays out otherwise. */
export function linuxMarkers(mode: PagingMode): readonly RegionMarker[] {
  if (mode.addressBits === 48) return MARKERS_4_LEVEL;
  return mode.addressBits === 57 ? MARKERS_5_LEVEL : [{ address: 0n, name: "User Space" }];
}

const DIGITS: PageDigits = /* @__PURE__ */ new PageDigits();
const LEVEL_NAMES = ["", "pte", "pmd", "pud", "p4d", "pgd"];

/** Linux folds levels from the top: the root is always "pgd". */
function levelName(mode: PagingMode, level: number): string {
  return level === mode.depth ? "pgd" : (LEVEL_NAMES[level] ?? "pgd");
}

function sizeText(pages: number): string {
  const units = "KMGTPE";
  let size = pages * 4;
  let unit = 0;
  while (size >= 1024 && Number.isInteger(size / 1024) && unit < units.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${size}`.padStart(9) + (units[unit] ?? "");
}

function rightsColumns(level: number, rights: number, packed: number): string {
  const type = (packed >>> ATTR_TYPE_SHIFT) & 7;
  const column = (on: boolean, text: string, otherwise = " ".repeat(text.length)): string => (on ? text : otherwise);
  return (
    column((rights & RIGHT_USER) !== 0, "USR ")
    + column((rights & RIGHT_WRITE) !== 0, "RW ", "ro ")
    + column((type & 1) !== 0, "PWT ")
    + column((type & 2) !== 0, "PCD ")
    + column(level > 1, "PSE ")
    + column((type & 4) !== 0, "PAT ")
    + column((packed & ATTR_GLOBAL) !== 0, "GLB ")
    + column((rights & RIGHT_EXECUTE) === 0, "NX ", "x  ")
  );
}

/**
 * The lines of a dump in Linux's style: effective rights, runs merged, gaps as the level of entry that is empty. No more than `leafLimit` leaves
 * are looked at: a loop of tables may map 2^36; `onCut` is told of the first page left out, and the dump ends before it.
 */
export function* linuxPageTables(
  state: PagingState,
  memory: TableMemory,
  markers: readonly RegionMarker[] = linuxMarkers(state.mode),
  leafLimit: number = Infinity,
  onCut?: LeafBound["onCut"],
): Generator<string, void> {
  const mode = state.mode;
  const span = 2 ** (mode.addressBits - 12);
  const marks = markers.map((marker) => ({
    raw: rawOfVpn(mode, Number(BigInt.asIntN(64, marker.address) >> 12n)),
    name: marker.name,
  }));
  let next = 0;
  let at = 0;
  function* upTo(raw: number, level: number, text: string): Generator<string, void> {
    while (at < raw) {
      if (marks[next]?.raw === at) yield `---[ ${marks[next++]?.name ?? ""} ]---\n`;
      const stop = Math.min(raw, marks[next]?.raw ?? raw);
      yield line(mode, at, stop, text, level);
      at = stop;
    }
  }
  const blank = " ".repeat(30);
  let end = span;
  const bound: LeafBound = {
    leafLimit,
    onCut: (vpn) => {
      end = rawOfVpn(mode, vpn);
      onCut?.(vpn);
    },
  };
  for (const run of runs(state, memory, { anyFrame: true, ...bound })) {
    const raw = rawOfVpn(mode, run.vpn);
    yield* gap(upTo, mode, at, raw, blank);
    yield* upTo(raw + run.pages, run.level, rightsColumns(run.level, run.rights, run.attributes));
  }
  yield* gap(upTo, mode, at, end, blank);
}

type Emit = (raw: number, level: number, text: string) => Generator<string, void>;

/** A gap in pieces, each named after the largest aligned entry that it leaves empty. */
function* gap(emit: Emit, mode: PagingMode, from: number, to: number, blank: string): Generator<string, void> {
  let at = from;
  for (let n = 2; n <= mode.depth && at < to; n++) {
    const pages = mode.levels[n]?.pages ?? 1;
    const stop = Math.min(to, Math.ceil(at / pages) * pages);
    if (stop > at) yield* emit(stop, n - 1, blank);
    at = stop;
  }
  for (let n = mode.depth; n >= 1 && at < to; n--) {
    const pages = mode.levels[n]?.pages ?? 1;
    const stop = Math.floor(to / pages) * pages;
    if (stop > at) yield* emit(stop, n, blank);
    at = Math.max(at, stop);
  }
}

function line(mode: PagingMode, start: number, end: number, text: string, level: number): string {
  const digits = (raw: number): string => DIGITS.of(raw >= 2 ** (mode.addressBits - 12) ? 0 : vpnOfRaw(mode, raw));
  return `0x${digits(start)}-0x${digits(end)}   ${sizeText(end - start)} ${text}${levelName(mode, level)}\n`;
}
