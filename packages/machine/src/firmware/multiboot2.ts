/**
 * Reads the memory map out of a Multiboot2 information structure: a total size, then tags that start at multiples of 8.
 *
 * ```
 *  information   u32 total size, u32 reserved, tags …, tag {type 0, size 8}
 *  memory map    u32 type = 6,  u32 size, u32 entry size, u32 entry version, { u64 base, u64 length, u32 type, u32 0 } …
 *  EFI map       u32 type = 17, u32 size, u32 descriptor size, u32 descriptor version, descriptors …
 * ```
 *
 * Source: Multiboot2 Specification 2.0, "Boot information format".
 */
import { MachineError } from "../errors.ts";
import { E820_RESERVED, E820_UNUSABLE } from "./entry.ts";
import type { RawEntry } from "./entry.ts";
import { entriesFromEfi } from "./efi.ts";

const TAG_MEMORY_MAP = 6;
const TAG_EFI_MEMORY_MAP = 17;

function refuse(what: string, facts: Readonly<Record<string, unknown>>): never {
  throw new MachineError("bad-firmware-map", `Multiboot2 information: ${what}`, facts);
}

function entriesOfTag(view: DataView, at: number, size: number): RawEntry[] {
  const entrySize = view.getUint32(at + 8, true);
  if (entrySize < 24 || entrySize % 8 !== 0 || (size - 16) % entrySize !== 0)
    refuse(`a memory map of ${size} bytes has entries of ${entrySize} bytes`, { size, entrySize });
  return Array.from({ length: (size - 16) / entrySize }, (_, index) => {
    const entry = at + 16 + index * entrySize;
    const type = view.getUint32(entry + 16, true);
    return {
      base: view.getBigUint64(entry, true),
      length: view.getBigUint64(entry + 8, true),
      type: type >= 1 && type <= E820_UNUSABLE ? type : E820_RESERVED,
    };
  });
}

/**
 * Returns the entries of the memory-map tag or, where there is none, of the EFI memory-map tag. Throws `bad-firmware-map`
 * when the structure is cut short or inconsistent, or has neither tag.
 */
export function entriesFromMultiboot2(bytes: Uint8Array): RawEntry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 16) refuse(`${bytes.length} bytes are too few`, { length: bytes.length });
  const total = view.getUint32(0, true);
  if (total > bytes.length || total < 16)
    refuse(`it says ${total} bytes of ${bytes.length}`, { total, length: bytes.length });
  let efi: RawEntry[] | null = null;
  for (let at = 8; at + 8 <= total;) {
    const type = view.getUint32(at, true);
    const size = view.getUint32(at + 4, true);
    if (size < 8 || at + size > total) refuse(`tag ${type} at offset ${at} has ${size} bytes`, { type, at, size });
    if (type === 0) break;
    const hasHead = size >= 16;
    if (type === TAG_MEMORY_MAP && hasHead) return entriesOfTag(view, at, size);
    if (type === TAG_EFI_MEMORY_MAP && hasHead)
      efi = entriesFromEfi(bytes.subarray(at + 16, at + size), view.getUint32(at + 8, true));
    at += Math.ceil(size / 8) * 8;
  }
  return efi ?? refuse("it has no memory map", { total });
}
