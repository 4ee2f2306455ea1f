/** The page references of the recorded program that comes with the command, decoded without the command's help: the format is PGTRACE1. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

const TRACE: URL = new URL("../../cli/data/sqlite-index.window.pgt.gz", import.meta.url);

/** Pages by index, in the order of the program's references; consecutive ones to one page are one. */
export function recordedPages(): { pages: number; records: Uint32Array } {
  const bytes = gunzipSync(readFileSync(TRACE));
  let at = 8;
  const word = (): number => bytes.readUInt32LE((at += 4) - 4);
  const varint = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes.readUInt8(at++);
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  const header = word();
  at += header;
  const pages = word();
  for (let page = 0; page < pages; page++) varint();
  const records = new Uint32Array(word());
  const last = [0, 0, 0];
  for (let record = 0; record < records.length; record++) {
    const byte = bytes.readUInt8(at++);
    const kind = byte & 3;
    if ((byte & 4) !== 0) {
      const zigzag = varint();
      last[kind] = (last[kind] ?? 0) + (zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2);
    }
    if (byte >>> 3 === 0) varint();
    records[record] = last[kind] ?? 0;
  }
  return { pages, records };
}
