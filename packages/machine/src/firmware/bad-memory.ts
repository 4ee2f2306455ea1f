/**
 * Lists of bad memory, as people find them: BadRAM patterns (memtest86+, GRUB), the kernel's own memtest, and the frames that
 * the kernel reported as failed. All become frame ranges to be kept out of use.
 */
import { MachineError } from "../errors.ts";
import { FRAME_BYTES, PHYSICAL_LIMIT } from "../units.ts";
import type { Pfn, PhysAddr } from "../units.ts";
import { E820_RESERVED } from "./entry.ts";
import { memoryWordsOf } from "./memmap.ts";

/**
 * A BadRAM pattern: every address that agrees with `address` in the bits that are set in `mask` is bad. A mask of at most
 * 32 bits is one of a 32-bit tester: the upper bits of the address count too.
 */
export interface BadRamPattern {
  /** An address. */
  readonly address: bigint;
  /** The bits that count. */
  readonly mask: bigint;
}

/** A half-open range of frames. */
export interface FrameSpan {
  /** First frame. */
  readonly start: Pfn;
  /** One past the last frame. */
  readonly end: Pfn;
}

/** More ranges than this in one pattern are refused: the pattern describes no real fault. */
const MOST_RANGES = 1 << 20;

/**
 * Returns the frames below `limit` (bytes) that touch an address of the pattern, ascending. A mask with holes above the
 * page bits repeats; throws `bad-text` when it does so more than a million times.
 */
export function framesOfPattern(pattern: BadRamPattern, limit: PhysAddr = PHYSICAL_LIMIT): FrameSpan[] {
  const pfnBits = Math.max(1, Math.ceil(Math.log2(Math.ceil(limit / FRAME_BYTES))));
  const upper = pattern.mask < 1n << 32n ? ((1n << 64n) - 1n) ^ 0xffff_ffffn : 0n;
  const mask = (pattern.mask | upper) >> 12n;
  const free: bigint[] = [];
  for (let bit = 0; bit < pfnBits; bit++) if (((mask >> BigInt(bit)) & 1n) === 0n) free.push(1n << BigInt(bit));
  const fixed = (pattern.address >> 12n) & mask;
  if (fixed >= BigInt(Math.ceil(limit / FRAME_BYTES))) return [];
  let run = 1n;
  while (free.length > 0 && free[0] === run) {
    run <<= 1n;
    free.shift();
  }
  if (2 ** free.length > MOST_RANGES)
    throw new MachineError(
      "bad-text",
      `The BadRAM mask 0x${pattern.mask.toString(16)} repeats ${2 ** free.length} times`,
      {
        address: pattern.address,
        mask: pattern.mask,
      },
    );
  const out: FrameSpan[] = [];
  const last = Math.ceil(limit / FRAME_BYTES);
  for (let choice = 0; choice < 2 ** free.length; choice++) {
    let pfn = fixed;
    free.forEach((bit, index) => {
      if (((choice >>> index) & 1) === 1) pfn |= bit;
    });
    const start = Number(pfn);
    if (start < last) out.push({ start, end: Math.min(start + Number(run), last) });
  }
  return mergeSpans(out);
}

/** Returns spans sorted and merged where they touch. */
export function mergeSpans(spans: readonly FrameSpan[]): FrameSpan[] {
  const out: FrameSpan[] = [];
  for (const span of spans.toSorted((a, b) => a.start - b.start)) {
    const last = out.pop() ?? span;
    const touches = span.start <= last.end;
    out.push(touches ? { start: last.start, end: Math.max(last.end, span.end) } : last);
    if (!touches) out.push(span);
  }
  return out;
}

/**
 * Returns the patterns of a BadRAM word: `badram=address,mask,…` or GRUB's `GRUB_BADRAM="address,mask,…"`, hex numbers.
 * Throws `bad-text` for an odd number of them, or anything that is none.
 */
export function badRamPatternsOf(word: string): BadRamPattern[] {
  const list = /(?:badram\s*=\s*"?)?([0-9a-fx,\s]+)"?/i.exec(word.trim().replace(/^GRUB_/i, ""))?.[1] ?? "";
  const numbers = list
    .split(/[\s,]+/)
    .filter((one) => one !== "")
    .map((one) => {
      if (!/^(0x)?[0-9a-f]{1,16}$/i.test(one))
        throw new MachineError("bad-text", `${one} is no hex number of a BadRAM list`, { word });
      return BigInt(one.toLowerCase().startsWith("0x") ? one : `0x${one}`);
    });
  if (numbers.length === 0 || numbers.length % 2 !== 0)
    throw new MachineError("bad-text", `A BadRAM list has pairs of address and mask, not ${numbers.length} numbers`, {
      word,
    });
  return Array.from({ length: numbers.length / 2 }, (_, i) => ({
    address: numbers[2 * i] ?? 0n,
    mask: numbers[2 * i + 1] ?? 0n,
  }));
}

const BADRAM_LINE = /\b(?:GRUB_)?badram\s*=\s*"?((?:0x)?[0-9a-f]+(?:\s*,\s*(?:0x)?[0-9a-f]+)*)/i;
/** Linux from 2.6.32: `MCE 0x10d88e: …`, then `Memory failure: 0x10d88e: …`; a frame each. */
const FAILURE_LINE = /\b(?:Memory failure:\s*|MCE )(?:0x)?([0-9a-f]+):/i;
const INJECTED_LINE = /\bInjecting memory failure for (?:pfn|page) (?:0x)?([0-9a-f]+)\b/i;
/** `soft offline: 0x208900: …`, `Soft offlining pfn 0x208900 at …`, `RAS: Soft-offlining pfn: 0x208900`. */
const SOFT_OFFLINE = /\bsoft[ _-]offlin(?:e|ing)(?: (?:pfn|page))?:?\s*(?:0x)?([0-9a-f]+)\b/i;
const HARDWARE_ERROR =
  /\b(?:hardware memory error in [\w-]+ at|Uncorrected hardware memory error.* at)\s+(?:0x)?([0-9a-f]+)/i;
/** A memory error that firmware reported (APEI, CPER), corrected ones too: `{3}[Hardware Error]:   physical_address: 0x000000b50c68ce80`. */
const FIRMWARE_ERROR = /\[Hardware Error\]:\s+physical_address:\s*0x([0-9a-f]+)/i;
const KERNEL_MEMTEST = /\bbad mem addr (?:0x)?([0-9a-f]+) - (?:0x)?([0-9a-f]+)/i;
/** A row of memtest86+: test, pass, `00007a3ce1c - 122.2MB` (from version 6 on `00007a3ce1c (122MB)`), good, bad … */
const MEMTEST_ROW = /(?:^|\s)(?:0x)?([0-9a-f]{8,16})\s+(?:-\s+|\()[\d.]+\s*[KMGT]B\b/i;
const EDAC_LINE = /\bEDAC\b.*\bpage:?\s*0x([0-9a-f]+)\b/i;

const frameSpan = (pfn: number): FrameSpan => ({ start: pfn, end: pfn + 1 });

/**
 * The frames that `memmap=64K$0x18690000` and its like set aside in a line, which may be one of a boot loader's files: in quotes, with
 * backslashes before the dollar sign.
 */
function spansOfWords(line: string): FrameSpan[] {
  const frame = BigInt(FRAME_BYTES);
  return memoryWordsOf(line.replace(/\\+\$/g, "$").replace(/["']/g, " ")).flatMap((word) =>
    word.kind === "add" && word.type === E820_RESERVED
      ? [{ start: Number(word.start / frame), end: Number((word.start + word.size + frame - 1n) / frame) }]
      : [],
  );
}

function spansOfLine(line: string, limit: PhysAddr): FrameSpan[] {
  const badram = BADRAM_LINE.exec(line);
  if (badram?.[1] !== undefined)
    return badRamPatternsOf(badram[1]).flatMap((pattern) => framesOfPattern(pattern, limit));
  const tested = KERNEL_MEMTEST.exec(line);
  if (tested !== null) {
    const [from, to] = [Number(`0x${tested[1] ?? "0"}`), Number(`0x${tested[2] ?? "0"}`)];
    return [{ start: Math.floor(from / FRAME_BYTES), end: Math.ceil(to / FRAME_BYTES) }];
  }
  const pfn = FAILURE_LINE.exec(line) ?? INJECTED_LINE.exec(line) ?? SOFT_OFFLINE.exec(line) ?? EDAC_LINE.exec(line);
  if (pfn !== null) return [frameSpan(Number(`0x${pfn[1] ?? "0"}`))];
  if (line.includes("memmap=")) return spansOfWords(line);
  const address = HARDWARE_ERROR.exec(line) ?? FIRMWARE_ERROR.exec(line) ?? MEMTEST_ROW.exec(line);
  return address === null ? [] : [frameSpan(Math.floor(Number(`0x${address[1] ?? "0"}`) / FRAME_BYTES))];
}

/**
 * Returns the bad frames that a text names, below `limit` bytes, merged and ascending. It may be a kernel log (memory
 * failures, soft offlining, EDAC, memory errors that firmware reported, the kernel's memtest), a list of memtest86+, or hold BadRAM and `memmap=size$start` words;
 * other lines are passed over. Throws `bad-text` for a BadRAM list with an odd number of numbers, or with a mask that repeats more than a million times.
 */
export function badFramesOfText(text: string, limit: PhysAddr = PHYSICAL_LIMIT): FrameSpan[] {
  const last = Math.ceil(limit / FRAME_BYTES);
  const spans = text.split(/\r?\n/).flatMap((line) => spansOfLine(line, limit));
  return mergeSpans(spans.filter((span) => span.start < span.end && span.start < last));
}
