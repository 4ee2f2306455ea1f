/** Writes the PGTRACE1 format: the decoder's other half, for tests. */

/** What a trace is made of. */
export interface TraceParts {
  readonly header?: Readonly<Record<string, unknown>>;
  readonly vpns: readonly number[];
  /** Page index, kind and run of each record. */
  readonly records: readonly (readonly [page: number, kind: number, run: number])[];
}

/** Returns the bytes of a trace file, not compressed. */
export function encodePageTrace(parts: TraceParts): Uint8Array {
  const out: number[] = [...new TextEncoder().encode("PGTRACE1")];
  const header = new TextEncoder().encode(JSON.stringify(parts.header ?? {}));
  u32(out, header.length);
  out.push(...header);
  u32(out, parts.vpns.length);
  parts.vpns.forEach((vpn, page) => varint(out, vpn - (parts.vpns[page - 1] ?? 0)));
  u32(out, parts.records.length);
  const last = [0, 0, 0, 0];
  for (const [page, kind, run] of parts.records) {
    const difference = page - (last[kind] ?? 0);
    out.push(kind + (difference === 0 ? 0 : 4) + (run < 32 ? run * 8 : 0));
    if (difference !== 0) varint(out, difference > 0 ? difference * 2 : -difference * 2 - 1);
    if (run >= 32) varint(out, run);
    last[kind] = page;
  }
  return Uint8Array.from(out);
}

function u32(out: number[], value: number): void {
  for (let shift = 0; shift < 32; shift += 8) out.push((value >>> shift) & 0xff);
}

function varint(out: number[], value: number): void {
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) out.push((rest % 0x80) + 0x80);
  out.push(rest);
}
