/** Swap tiers by name, as the user asks for them. */
import { join } from "node:path";
import type { SwapStore } from "@pagewright/vmm";
import { FileSwap } from "@pagewright/vmm/node";
import { complaintOf, UsageError } from "../output.ts";

/** Memory that holds pages compressed. */
const COMPRESSED = "compressed";
/** A file in a folder. */
const FILE = "file";

/** Stores in order of preference, and how to learn that one of them failed. */
export interface SwapTiers {
  readonly names: readonly string[];
  /** Whether compressed memory is the first tier. */
  readonly compressed: boolean;
  /** The stores behind it. */
  readonly stores: readonly SwapStore[];
  /** What a store's disk last complained about, in words; null if it never did. */
  failure(): string | null;
  close(): void;
}

/**
 * Makes the tiers that the user named.
 *
 * @param names - `compressed` for memory, first or not at all; `file` for a file in `folder`.
 * @param pages - Pages that may have to be stored at once.
 * @throws {@link UsageError} for an unknown tier, or if its file cannot be made.
 */
export function swapTiersOf(names: readonly string[], folder: string, pages: number): SwapTiers {
  const files: FileSwap[] = [];
  const compressed = names[0] === COMPRESSED;
  const stores = names.slice(compressed ? 1 : 0).map((name) => {
    if (name === COMPRESSED) throw new UsageError(`--swap ${names.join(",")}: compressed is the first tier, or none`);
    if (name !== FILE) throw new UsageError(`--swap ${name}: not a swap tier; there are: ${COMPRESSED}, ${FILE}`);
    const file = fileSwap(join(folder, `swap-${files.length}`), pages);
    files.push(file);
    return file;
  });
  return {
    names,
    compressed,
    stores,
    failure: () => {
      const failed = files.find((file) => file.lastError !== null);
      return failed === undefined ? null : `the swap file ${failed.path}: ${complaintOf(failed.lastError)}`;
    },
    close: () => files.forEach((file) => file.close()),
  };
}

function fileSwap(path: string, slots: number): FileSwap {
  try {
    return new FileSwap(path, Math.max(1, slots));
  } catch (error) {
    throw new UsageError(`cannot make the swap file: ${complaintOf(error)}`);
  }
}
