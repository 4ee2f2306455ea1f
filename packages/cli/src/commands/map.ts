import { formatAddress, GIB, KIB, MIB, reportMtrrs, summariseMap, typeName, validateMtrrs } from "@pagewright/machine";
import type { FirmwareMap, MapSummary } from "@pagewright/machine";
import type { Command } from "commander";
import { readFirmwareMap } from "../firmware-input.ts";
import { grouped, print, textTable } from "../output.ts";

interface MapOptions {
  readonly user?: boolean;
  readonly json?: boolean;
}

/** Adds `pagewright map FILE`: what a firmware map gives an operating system to work with. */
export function registerMap(program: Command): void {
  program
    .command("map")
    .summary("a firmware map: usable memory, nodes, holes, device windows")
    .description("Read a firmware map, sanitise it, and print what an operating system can do with it.")
    .argument(
      "<file>",
      "firmware map: JSON, a kernel log or a printed UEFI memory map, plain or .gz; - for standard input",
    )
    .option("--user", "the second map, after the kernel's memmap= words")
    .option("--json", "print one JSON document")
    .action((file: string, options: MapOptions) => {
      const map = readFirmwareMap(file, options.user === true ? "userEntries" : "entries");
      const summary = summariseMap(map);
      print(
        options.json,
        () => ({ name: map.name, ...summary, ...mtrrFields(map), changes: map.changes }),
        () => textOf(map, summary),
      );
    });
}

function textOf(map: FirmwareMap, summary: MapSummary): string {
  const entries = map.entries.map(({ base, end, type }) => [
    `${formatAddress(base)}–${formatAddress(end - 1)}`,
    typeName(type),
    sizeOf(end - base),
  ]);
  const figures: [string, string | number][] = [
    ["usable bytes", grouped(summary.usableBytes)],
    ["usable frames", grouped(summary.usablePages)],
    ["  below 1 MiB", grouped(summary.usablePagesBelow1MiB)],
    ["  below 16 MiB", grouped(summary.usablePagesBelow16MiB)],
    ["  below 4 GiB", grouped(summary.usablePagesBelow4GiB)],
    ...nodeRows(summary),
    ...summary.gapsBelow4GiB.map(([start, end]): [string, string] => ["hole below 4 GiB", `${start}–${end}`]),
    ["256 MiB window", windowText(summary)],
    ...mtrrRows(map),
    ...map.changes.map(({ message }): [string, string] => ["sanitised", message]),
  ];
  return `${map.name === "" ? "" : `${map.name}\n`}${textTable(entries)}\n\n${textTable(figures)}`;
}

function nodeRows(summary: MapSummary): [string, string][] {
  const nodes = Object.entries(summary.usablePagesByNode ?? {});
  const rows = nodes.map(([node, frames]): [string, string] => [`  on node ${node}`, grouped(frames)]);
  if (summary.hotplugBytes !== undefined && summary.hotplugBytes > 0)
    rows.push(["hot-pluggable", sizeOf(summary.hotplugBytes)]);
  return rows;
}

function windowText(summary: MapSummary): string {
  const window = summary.bar256MiB;
  if (window === null) return "none below 4 GiB";
  return `${window.slots} places, ${window.lowestBase} to ${window.highestBase}`;
}

function mtrrFields(map: FirmwareMap): object {
  const real = validateMtrrs(map);
  return { mtrr: reportMtrrs(map), ...(real === null ? {} : { realMtrr: real }) };
}

function mtrrRows(map: FirmwareMap): [string, string][] {
  const { lenient, strict } = reportMtrrs(map);
  const least = ({ defaultUC_WBonly, defaultUC_WBandUC, defaultWB_UCholes }: typeof lenient): string =>
    `${defaultUC_WBonly.count} (WB only), ${defaultUC_WBandUC.count} (WB and UC), ${defaultWB_UCholes.count} (UC, default WB)`;
  const rows: [string, string][] = [
    ["MTRRs, holes UC", least(lenient)],
    ["MTRRs, all but RAM UC", least(strict)],
  ];
  const real = validateMtrrs(map);
  if (real === null) return rows;
  return [
    ...rows,
    ["this machine's MTRRs", `${real.registers}, default ${real.default ?? "unknown"}`],
    ["  RAM that is not WB", grouped(real.ramBytesNotWB)],
    ["  holes that are WB", grouped(real.unlistedBytesWB)],
  ];
}

/** Returns a size in the largest unit of which it is at least one. */
function sizeOf(bytes: number): string {
  const units: readonly (readonly [number, string])[] = [
    [1024 * GIB, "TiB"],
    [GIB, "GiB"],
    [MIB, "MiB"],
    [KIB, "KiB"],
  ];
  const [unit, name] = units.find(([size]) => bytes >= size) ?? [1, "bytes"];
  const amount = bytes / unit;
  return `${Number.isInteger(amount) ? amount : amount.toFixed(1)} ${name}`;
}
