import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

/** A page-level access trace in memory: per record a kind (0 fetch, 1 load, 2 store) and a page. */
export interface PageTrace {
  readonly pages: Float64Array;
  readonly kinds: Uint8Array;
  readonly pageOf: Uint32Array;
}

/** Reads a PGTRACE1 file. */
export function readPageTrace(path: string): PageTrace {
  const bytes = gunzipSync(readFileSync(path));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 12 + view.getUint32(8, true);
  const varint = (): number => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 127) * shift;
      if (byte < 128) return value;
    }
  };
  const count = view.getUint32(at, true);
  at += 4;
  const pages = new Float64Array(count);
  let vpn = 0;
  for (let i = 0; i < count; i++) pages[i] = vpn += varint();
  const records = view.getUint32(at, true);
  at += 4;
  const kinds = new Uint8Array(records);
  const pageOf = new Uint32Array(records);
  const last = [0, 0, 0];
  for (let i = 0; i < records; i++) {
    const head = bytes[at++] ?? 0;
    const kind = head & 3;
    if ((head & 4) !== 0) {
      const zigzag = varint();
      last[kind] = (last[kind] ?? 0) + (zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2);
    }
    if (head < 8) varint();
    kinds[i] = kind;
    pageOf[i] = last[kind] ?? 0;
  }
  return { pages, kinds, pageOf };
}
