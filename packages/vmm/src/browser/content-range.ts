/** The `Content-Range` header of a 206 or 416 answer (RFC 9110, "Content-Range"). */

/** What a `Content-Range` header says, in bytes; `end` is exclusive. */
export interface ContentRange {
  /** First byte of the body within the file, −1 in the answer to a range beyond the end. */
  readonly start: number;
  /** One past the last byte of the body, −1 in the answer to a range beyond the end. */
  readonly end: number;
  /** Bytes in the whole file, −1 where the server does not say. */
  readonly size: number;
}

const SATISFIED = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16}|\*)$/;
const UNSATISFIED = /^bytes \*\/(\d{1,16})$/;

/** Reads the header; null where it is absent, not of bytes, or contradicts itself. */
export function parseContentRange(header: string | null): ContentRange | null {
  if (header === null) return null;
  const text = header.trim().replace(/^bytes\s+/i, "bytes ");
  const beyond = UNSATISFIED.exec(text);
  if (beyond !== null) return { start: -1, end: -1, size: Number(beyond[1]) };
  const match = SATISFIED.exec(text);
  if (match === null) return null;
  const start = Number(match[1]);
  const end = Number(match[2]) + 1;
  const size = match[3] === "*" ? -1 : Number(match[3]);
  const exact = Number.isSafeInteger(end) && Number.isSafeInteger(size);
  return exact && start < end && (size < 0 || end <= size) ? { start, end, size } : null;
}
