/** Firmware maps as inputs: a JSON document, read and sanitised, every complaint naming the file. */
import { firmwareMapFromJson, isMachineError } from "@pagewright/machine";
import type { FirmwareMap } from "@pagewright/machine";
import { readJson } from "./files.ts";
import { UsageError } from "./output.ts";

/** Which of a machine's two maps: what its firmware said, or what is left after the kernel's `memmap=` words. */
export type MapList = "entries" | "userEntries";

/**
 * Reads a firmware map.
 *
 * @throws {@link UsageError} naming the file if it cannot be read or is no firmware map.
 */
export function readFirmwareMap(path: string, list: MapList = "entries"): FirmwareMap {
  const document = readJson(path);
  if (list === "userEntries" && !hasUserEntries(document))
    throw new UsageError(`${path}: has no second map (userEntries)`);
  try {
    return firmwareMapFromJson(document, { list });
  } catch (error) {
    if (isMachineError(error)) throw new UsageError(`${path}: ${error.message}`);
    throw error;
  }
}

function hasUserEntries(document: unknown): boolean {
  return typeof document === "object" && document !== null && "userEntries" in document;
}
