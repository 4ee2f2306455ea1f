/** Firmware maps as inputs: a JSON document or a kernel log, read and sanitised, every complaint naming the file. */
import { firmwareMapFromDmesg, firmwareMapFromJson, isDmesg, isMachineError } from "@pagewright/machine";
import type { FirmwareMap } from "@pagewright/machine";
import { readText } from "./files.ts";
import { complaintOf, UsageError } from "./output.ts";

/** Which of a machine's two maps: what its firmware said, or what is left after the kernel's `memmap=` words. */
export type MapList = "entries" | "userEntries";

/**
 * Reads a firmware map.
 *
 * @throws {@link UsageError} naming the file if it cannot be read or holds no firmware map.
 */
export function readFirmwareMap(path: string, list: MapList = "entries"): FirmwareMap {
  const text = readText(path);
  try {
    return isDmesg(text) ? firmwareMapFromDmesg(text, { list }) : fromJson(text, path, list);
  } catch (error) {
    if (isMachineError(error)) throw new UsageError(`${path}: ${error.message}`);
    throw error;
  }
}

function fromJson(text: string, path: string, list: MapList): FirmwareMap {
  const document = parse(text, path);
  if (list === "userEntries" && !hasUserEntries(document))
    throw new UsageError(`${path}: has no second map (userEntries)`);
  return firmwareMapFromJson(document, { list });
}

function parse(text: string, path: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new UsageError(`${path}: neither a kernel log with a BIOS-e820 map nor JSON: ${complaintOf(error)}`);
  }
}

function hasUserEntries(document: unknown): boolean {
  const isObject = typeof document === "object" && document !== null;
  return isObject && ("userEntries" in document || "memoryParameters" in document);
}
