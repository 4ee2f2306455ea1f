/** Names of addresses: the symbol table of an ELF file, or a System.map. */
import { readInput } from "./files.ts";
import { UsageError } from "./output.ts";

/** Symbols by address. */
export class Symbols {
  readonly #addresses: BigUint64Array;
  readonly #names: readonly string[];

  constructor(pairs: [bigint, string][]) {
    pairs.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
    this.#addresses = new BigUint64Array(pairs.map(([address]) => address));
    this.#names = pairs.map(([, name]) => name);
  }

  /** How many. */
  get size(): number {
    return this.#names.length;
  }

  /** `name+0x12` for an address, or undefined below the first symbol and far above the last. */
  nameOf(address: bigint): string | undefined {
    let low = 0;
    let high = this.#addresses.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#addresses[middle]! <= address) low = middle + 1;
      else high = middle;
    }
    const name = this.#names[low - 1];
    if (name === undefined) return undefined;
    const offset = address - this.#addresses[low - 1]!;
    if (offset > 0x1000_0000n) return undefined;
    return offset === 0n ? name : `${name}+0x${offset.toString(16)}`;
  }
}

/** Reads symbols of a 64-bit ELF file or of a System.map text. Throws {@link UsageError} where there are none. */
export function readSymbols(path: string): Symbols {
  const bytes = readInput(path);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const elf = bytes.length >= 64 && view.getUint32(0, false) === 0x7f454c46;
  const symbols = new Symbols(elf ? elfSymbols(view, path) : mapSymbols(new TextDecoder().decode(bytes)));
  if (symbols.size === 0) throw new UsageError(`${path}: neither an ELF file with symbols nor a System.map`);
  return symbols;
}

function mapSymbols(text: string): [bigint, string][] {
  const pairs: [bigint, string][] = [];
  for (const match of text.matchAll(/^([0-9a-f]{8,16}) [a-z] (\S+)/gim))
    pairs.push([BigInt(`0x${match[1] ?? "0"}`), match[2] ?? ""]);
  return pairs;
}

const SHT_SYMTAB = 2;

function elfSymbols(view: DataView, path: string): [bigint, string][] {
  if (view.getUint8(4) !== 2 || view.getUint8(5) !== 1)
    throw new UsageError(`${path}: not a 64-bit little-endian ELF file`);
  const pairs: [bigint, string][] = [];
  try {
    const sections = Number(view.getBigUint64(40, true));
    const size = view.getUint16(58, true);
    const count = view.getUint16(60, true);
    for (let i = 0; i < count; i++) {
      const at = sections + i * size;
      if (view.getUint32(at + 4, true) !== SHT_SYMTAB) continue;
      const strings = Number(view.getBigUint64(sections + view.getUint32(at + 40, true) * size + 24, true));
      const start = Number(view.getBigUint64(at + 24, true));
      const end = start + Number(view.getBigUint64(at + 32, true));
      for (let symbol = start; symbol + 24 <= end; symbol += 24) collect(view, symbol, strings, pairs);
    }
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(`${path}: truncated or corrupted ELF file`);
    throw error;
  }
  return pairs;
}

/** Functions, objects and plain labels that are defined. */
function collect(view: DataView, at: number, strings: number, pairs: [bigint, string][]): void {
  const type = view.getUint8(at + 4) & 15;
  const address = view.getBigUint64(at + 8, true);
  if (type > 2 || view.getUint16(at + 6, true) === 0 || address === 0n) return;
  let name = "";
  for (let i = strings + view.getUint32(at, true); view.getUint8(i) !== 0; i++)
    name += String.fromCharCode(view.getUint8(i));
  if (name !== "") pairs.push([address, name]);
}
