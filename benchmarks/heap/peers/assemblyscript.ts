/** AssemblyScript's TLSF: its minimal runtime, compiled at the highest optimisation, called from JavaScript. */
import { AlignedBlocks } from "./aligned.ts";

/** As much of the compiler as is used. Its own declarations change the global types of a whole program, so they stay out. */
interface Compiler {
  compileString(
    source: string,
    options: Readonly<Record<string, unknown>>,
  ): Promise<{ readonly binary: Uint8Array | null; readonly error: Error | null }>;
}
const COMPILER: string = "assemblyscript/asc";

const SOURCE = `
export function allocate(size: usize): usize { return heap.alloc(size); }
export function resize(address: usize, size: usize): usize { return heap.realloc(address, size); }
export function allocateZeroed(size: usize): usize {
  const address = heap.alloc(size);
  memory.fill(address, 0, size);
  return address;
}
export function free(address: usize): void { heap.free(address); }
`;

interface Exports {
  readonly memory: WebAssembly.Memory;
  readonly allocate: (size: number) => number;
  readonly resize: (address: number, size: number) => number;
  readonly allocateZeroed: (size: number) => number;
  readonly free: (address: number) => void;
}

/** Makes the peer for `pagewright heap`. */
export default async function create(): Promise<object> {
  const { default: asc } = (await import(COMPILER)) as { readonly default: Compiler };
  const { binary, error } = await asc.compileString(SOURCE, { runtime: "minimal", optimizeLevel: 3, shrinkLevel: 0 });
  if (binary === null) throw error ?? new Error("the compiler made nothing");
  const abort = (): never => {
    throw new Error("out of memory");
  };
  const { instance } = await WebAssembly.instantiate(new Uint8Array(binary), { env: { abort } });
  const { memory, allocate, resize, allocateZeroed, free } = instance.exports as unknown as Exports;
  const aligned = new AlignedBlocks(allocate);
  return {
    allocate: (size: number, alignment = 0): number =>
      alignment > 16 ? aligned.allocate(size, alignment) : allocate(size),
    free: (address: number): void => free(aligned.any ? aligned.startOf(address) : address),
    resize,
    allocateZeroed,
    bytes: () => new Uint8Array(memory.buffer),
  };
}
