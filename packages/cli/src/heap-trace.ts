/** Allocation traces as input files: the codec is `@pagewright/heap/trace`, this is its reader for the command line. */
import { isHeapError } from "@pagewright/heap";
import { decodeHeapTrace } from "@pagewright/heap/trace";
import type { HeapTrace } from "@pagewright/heap/trace";
import { readInput } from "./files.ts";
import { UsageError } from "./output.ts";

/**
 * Returns the allocation trace in a file, plain or gzip'd.
 *
 * @throws {@link UsageError} naming the file if it cannot be read, is no trace, is truncated or contradicts itself.
 */
export function readHeapTrace(path: string): HeapTrace {
  const bytes = readInput(path);
  try {
    return decodeHeapTrace(bytes);
  } catch (error) {
    if (isHeapError(error)) throw new UsageError(`${path}: ${error.message}`);
    throw error;
  }
}
