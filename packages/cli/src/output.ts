/**
 * What the program says: one JSON document or a text on standard output, one line on standard error, an exit code.
 *
 *     0  success
 *     1  what the command checked does not hold
 *     2  bad usage or unreadable input; nothing was done
 */

/** Exit code of a run that did what it was asked. */
export const EXIT_OK = 0;
/** Exit code of a run that found that what it checked does not hold. */
export const EXIT_FAILED_CHECK = 1;
/** Exit code of a run whose arguments or input are bad. */
export const EXIT_BAD_INPUT = 2;

/** Ends the run with exit code 2 and this one line on standard error: the user's arguments or input are bad. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Makes the run exit with code 1: what the running command checked does not hold. */
export function failCheck(): void {
  process.exitCode = EXIT_FAILED_CHECK;
}

/** Ends the run with exit code 1 and this one line on standard error: what was checked does not hold, and cannot be checked further. */
export class FailedCheck extends Error {
  override readonly name = "FailedCheck";
}

/** Prints `document` as JSON if asked to, else the text; both come lazily, so that the other one costs nothing. */
export function print(json: boolean | undefined, document: () => unknown, text: () => string): void {
  const out = json === true ? JSON.stringify(document(), null, 1) : text();
  process.stdout.write(out.endsWith("\n") ? out : `${out}\n`);
}

/** Writes one line to standard error, the only place for anything that is not the result. */
export function printError(message: string): void {
  process.stderr.write(`pagewright: ${oneLine(message)}\n`);
}

/** Returns the text with its line breaks folded into spaces. */
export function oneLine(text: string): string {
  return text.trim().replace(/\s*[\r\n]+\s*/g, " ");
}

/** Returns the sentence that tells the user what went wrong, for anything that was thrown. */
export function complaintOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, path } = error as NodeJS.ErrnoException;
  const reason = code === undefined ? undefined : SYSTEM_REASONS[code];
  if (reason !== undefined) return path === undefined ? reason : `${path}: ${reason}`;
  return error.message;
}

/** Returns {@link complaintOf} with the file in front that it is about, also where the system does not name it (a full disk). */
export function complaintAbout(path: string, error: unknown): string {
  const complaint = complaintOf(error);
  return complaint.startsWith(path) ? complaint : `${path}: ${complaint}`;
}

const SYSTEM_REASONS: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EDQUOT: "the disk quota is used up",
  EFBIG: "the file would be too large for its file system",
  EINVAL: "not a file that can be read",
  EIO: "the device reported an input or output error",
  EISDIR: "is a folder, not a file",
  EMFILE: "too many open files",
  ENOENT: "no such file or folder",
  ENOSPC: "no space left on the device",
  ENOTDIR: "is not a folder",
  EPERM: "operation not permitted",
  EROFS: "read-only file system",
};

/** Returns a table as text, columns padded to the width of their widest cell; numbers are right-aligned. */
export function textTable(rows: readonly (readonly (string | number)[])[]): string {
  const cells = rows.map((row) => row.map(String));
  const widths: number[] = [];
  for (const row of cells) row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)));
  return cells
    .map((row, r) =>
      row
        .map((cell, c) => align(cell, widths[c] ?? 0, rows[r]?.[c]))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function align(cell: string, width: number, value: string | number | undefined): string {
  return typeof value === "number" ? cell.padStart(width) : cell.padEnd(width);
}

/** Returns a whole number with its digits in groups of three: `1,234,567`. */
export function grouped(value: number): string {
  return value.toLocaleString("en-US", { maximumFractionDigits: 0 });
}
