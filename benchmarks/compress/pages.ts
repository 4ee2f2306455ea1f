/** Pages of real processes, and of a whole guest where its memory is there: without same-filled ones, which cost nothing. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { sameFilledWord } from "@pagewright/vmm/swap";

/** Of the guest's memory each so many-th page is taken: neighbours are alike. */
const GUEST_STEP = 8;

/** One source of pages. */
export interface PageSet {
  readonly name: string;
  readonly pages: readonly Uint8Array[];
  /** Share of same-filled pages, 0 … 1. */
  readonly same: number;
}

function setOf(name: string, bytes: Uint8Array, step: number): PageSet {
  const pages: Uint8Array[] = [];
  let seen = 0;
  for (let at = 0; at + 4096 <= bytes.length; at += 4096 * step, seen++) {
    const page = Uint8Array.from(bytes.subarray(at, at + 4096)); // slice of a Buffer is no copy
    if (sameFilledWord(new Uint32Array(page.buffer)) < 0) pages.push(page);
  }
  return { name, pages, same: 1 - pages.length / seen };
}

/** The sets of PAGEWRIGHT_INPUTS, else the pages shipped with the command. */
export function pageSets(): PageSet[] {
  const inputs = process.env["PAGEWRIGHT_INPUTS"];
  if (inputs === undefined) {
    const shipped = fileURLToPath(new URL("../../packages/cli/data/pages.gz", import.meta.url));
    return [setOf("shipped", gunzipSync(readFileSync(shipped)), 1)];
  }
  const sets = readdirSync(`${inputs}/pages`).map((file) =>
    setOf(file.replace(".pages.gz", ""), gunzipSync(readFileSync(`${inputs}/pages/${file}`)), 1),
  );
  const core = `${inputs}/guests/linux-4level/memory.core.xz`;
  if (!existsSync(core)) return sets;
  const expanded = spawnSync("xz", ["-dc", core], { maxBuffer: 2 ** 29 });
  if (expanded.status !== 0) return sets;
  return [...sets, setOf("linux guest", firstSegment(expanded.stdout), GUEST_STEP)];
}

/** The bytes of the first loaded segment of an ELF core: program headers of 56 bytes, PT_LOAD is type 1. */
function firstSegment(core: Buffer): Uint8Array {
  let header = Number(core.readBigUInt64LE(32));
  while (core.readUInt32LE(header) !== 1) header += 56;
  const offset = Number(core.readBigUInt64LE(header + 8));
  return core.subarray(offset, offset + Number(core.readBigUInt64LE(header + 32)));
}
