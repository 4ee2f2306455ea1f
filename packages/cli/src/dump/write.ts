/** Long texts to standard output, in large pieces, waiting where the reader is slower. */
import { once } from "node:events";

/** Characters per piece. */
const PIECE = 1 << 16;

/** Writes all parts. */
export async function writeAll(parts: Iterable<string>): Promise<void> {
  let piece = "";
  for (const part of parts) {
    piece += part;
    if (piece.length < PIECE) continue;
    if (!process.stdout.write(piece)) await once(process.stdout, "drain");
    piece = "";
  }
  if (piece !== "") process.stdout.write(piece);
}
