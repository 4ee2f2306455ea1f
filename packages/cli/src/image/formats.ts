/** Memory-image formats: where in the file which physical addresses are. Each is recognised by content. */
import { UsageError } from "../output.ts";
import type { ByteSource } from "./expand.ts";

/** A run of physical memory in the file. */
export interface Segment {
  /** First physical address. */
  readonly start: number;
  /** One after the last. */
  readonly end: number;
  /** Where its bytes begin in the file. */
  readonly offset: number;
}

/** The formats, by name. */
export type ImageFormat = "raw" | "elf" | "lime" | "sparse";

/** All formats, for the help. */
export const IMAGE_FORMATS: readonly ImageFormat[] = ["raw", "elf", "lime", "sparse"];

/** What a file holds. */
export interface ImageLayout {
  readonly format: ImageFormat;
  /** By address, not overlapping. */
  readonly segments: readonly Segment[];
  /** CR3 of the first processor, where the image tells (QEMU's ELF cores do). */
  readonly cr3?: bigint;
}

const LIME_MAGIC = 0x4c694d45;
const LIME_HEADER = 32;
/** The sparse format: an address and a frame, over and over. */
const SPARSE_RECORD = 8 + 4096;
const PT_LOAD = 1;
const PT_NOTE = 4;

/**
 * Finds out what a file is and where its memory lies. `wanted` skips the recognition.
 *
 * @throws {@link UsageError} naming the file if its headers do not hold together.
 */
export function readLayout(bytes: ByteSource, path: string, wanted?: ImageFormat): ImageLayout {
  if (bytes.size === 0) throw new UsageError(`${path}: is empty`);
  const head = viewOf(bytes, 0, 8);
  const format = wanted ?? formatOf(bytes, head);
  const layout = layoutOf(format, bytes, path);
  const segments = layout.segments.filter((segment) => segment.end > segment.start).sort((a, b) => a.start - b.start);
  for (const [i, segment] of segments.entries()) {
    const before = segments[i - 1];
    if (before !== undefined && before.end > segment.start) {
      throw new UsageError(`${path}: two parts of the image hold the physical address 0x${segment.start.toString(16)}`);
    }
  }
  return { ...layout, segments };
}

function layoutOf(format: ImageFormat, bytes: ByteSource, path: string): ImageLayout {
  if (format === "elf") return elfLayout(bytes, path);
  if (format === "lime") return { format, segments: limeSegments(bytes, path) };
  if (format === "sparse") return { format, segments: sparseSegments(bytes, path) };
  return { format: "raw", segments: [{ start: 0, end: bytes.size, offset: 0 }] };
}

function viewOf(bytes: ByteSource, offset: number, length: number): DataView {
  const buffer = new Uint8Array(length);
  bytes.read(offset, buffer);
  return new DataView(buffer.buffer);
}

function formatOf(bytes: ByteSource, head: DataView): ImageFormat {
  if (head.getUint32(0, false) === 0x7f454c46) return "elf";
  if (head.getUint32(0, true) === LIME_MAGIC) return "lime";
  return looksSparse(bytes) ? "sparse" : "raw";
}

/** Whole records, every address a frame's, no address twice among the first few. */
function looksSparse(bytes: ByteSource): boolean {
  if (bytes.size % SPARSE_RECORD !== 0) return false;
  const seen = new Set<bigint>();
  for (let at = 0; at < Math.min(bytes.size, 16 * SPARSE_RECORD); at += SPARSE_RECORD) {
    const address = viewOf(bytes, at, 8).getBigUint64(0, true);
    if (address % 4096n !== 0n || address >= 1n << 52n || seen.has(address)) return false;
    seen.add(address);
  }
  return true;
}

function sparseSegments(bytes: ByteSource, path: string): Segment[] {
  if (bytes.size % SPARSE_RECORD !== 0)
    throw new UsageError(`${path}: truncated: not a whole number of 4104-byte records`);
  const segments = new Map<bigint, Segment>();
  for (let at = 0; at < bytes.size; at += SPARSE_RECORD) {
    const address = viewOf(bytes, at, 8).getBigUint64(0, true);
    if (address % 4096n !== 0n || address >= 1n << 52n)
      throw new UsageError(
        `${path}: record at byte ${at} has the address 0x${address.toString(16)}, which is no frame's`,
      );
    const start = Number(address);
    segments.set(address, { start, end: start + 4096, offset: at + 8 });
  }
  return [...segments.values()];
}

function limeSegments(bytes: ByteSource, path: string): Segment[] {
  const segments: Segment[] = [];
  for (let at = 0; at < bytes.size;) {
    if (at + LIME_HEADER > bytes.size)
      throw new UsageError(`${path}: truncated: the LiME header at byte ${at} is cut off`);
    const view = viewOf(bytes, at, LIME_HEADER);
    if (view.getUint32(0, true) !== LIME_MAGIC || view.getUint32(4, true) !== 1)
      throw new UsageError(`${path}: no LiME header (version 1) at byte ${at}`);
    const start = view.getBigUint64(8, true);
    const last = view.getBigUint64(16, true);
    if (last < start || last >= 1n << 52n)
      throw new UsageError(
        `${path}: the LiME header at byte ${at} has the range 0x${start.toString(16)}–0x${last.toString(16)}`,
      );
    const offset = at + LIME_HEADER;
    const length = Number(last - start) + 1;
    if (offset + length > bytes.size) throw new UsageError(`${path}: truncated: the range at byte ${at} is cut off`);
    segments.push({ start: Number(start), end: Number(last) + 1, offset });
    at = offset + length;
  }
  return segments;
}

function elfLayout(bytes: ByteSource, path: string): ImageLayout {
  const header = viewOf(bytes, 0, 64);
  if (header.getUint8(4) !== 2 || header.getUint8(5) !== 1)
    throw new UsageError(`${path}: not a 64-bit little-endian ELF file`);
  if (header.getUint16(16, true) !== 4) throw new UsageError(`${path}: an ELF file, but not a core (memory) image`);
  const table = Number(header.getBigUint64(32, true));
  const size = header.getUint16(54, true);
  const count = programHeaders(bytes, header);
  if (size < 56 || table + size * count > bytes.size)
    throw new UsageError(`${path}: truncated or corrupted: the ELF program headers are not there`);
  const segments: Segment[] = [];
  let cr3: bigint | undefined;
  for (let i = 0; i < count; i++) {
    const view = viewOf(bytes, table + i * size, 56);
    const type = view.getUint32(0, true);
    const offset = Number(view.getBigUint64(8, true));
    const start = Number(view.getBigUint64(24, true));
    const length = Number(view.getBigUint64(32, true));
    if (offset + length > bytes.size) throw new UsageError(`${path}: truncated: ELF segment ${i} is cut off`);
    if (type === PT_LOAD && length > 0) {
      if (start + length > 2 ** 52)
        throw new UsageError(`${path}: ELF segment ${i} lies beyond 52 physical address bits`);
      segments.push({ start, end: start + length, offset });
    }
    if (type === PT_NOTE) cr3 ??= cr3OfNotes(bytes, offset, Math.min(length, 1 << 20));
  }
  if (segments.length === 0) throw new UsageError(`${path}: an ELF core without memory in it`);
  return cr3 === undefined ? { format: "elf", segments } : { format: "elf", segments, cr3 };
}

/** e_phnum, or sh_info of section 0 where there are 65535 or more. */
function programHeaders(bytes: ByteSource, header: DataView): number {
  const count = header.getUint16(56, true);
  if (count !== 0xffff) return count;
  const sections = Number(header.getBigUint64(40, true));
  return sections > 0 && sections + 64 <= bytes.size ? viewOf(bytes, sections, 64).getUint32(44, true) : 0;
}

/** CR3 in the first note that QEMU writes per processor: version, size, 18 registers, 10 segments of 24 bytes, then CR0 … CR4. */
function cr3OfNotes(bytes: ByteSource, offset: number, length: number): bigint | undefined {
  const view = viewOf(bytes, offset, length);
  for (let at = 0; at + 12 <= length;) {
    const nameSize = view.getUint32(at, true);
    const size = view.getUint32(at + 4, true);
    const name = at + 12;
    const data = name + ((nameSize + 3) & ~3);
    const isQemu = nameSize === 5 && name + 4 <= length && view.getUint32(name, false) === 0x51454d55;
    if (isQemu && size >= 432 && data + 432 <= length) return view.getBigUint64(data + 416, true);
    at = data + ((size + 3) & ~3);
    if (at <= name) return undefined;
  }
  return undefined;
}
