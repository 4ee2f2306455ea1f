/**
 * Blocks out of whatever is there: `@pagewright/heap` over a WebAssembly.Memory, and over a range of plain numbers that stands
 * for a buffer whose bytes nobody here can reach.
 */
import { BufferMemory, isHeapError, NumberRange, OffsetAllocator, Tlsf } from "@pagewright/heap";

// The first 64 KiB belong to the module's stack and globals; the rest of its memory becomes a heap that grows with it.
const memory = new BufferMemory(new WebAssembly.Memory({ initial: 2, maximum: 64 }), 65536);
const heap = new Tlsf(memory);
const vertices = heap.allocate(3 * 4 * 10_000, 16);
memory.view(vertices, Float32Array, 30_000).fill(0.5);
console.log(
  `120,000 bytes at a multiple of 16: ${(vertices & 15) === 0}, the memory grew: ${memory.buffer.byteLength > 131_072}`,
);

const larger = heap.resize(vertices, 3 * 4 * 20_000);
console.log(`moved to a larger block, contents kept: ${memory.view(larger, Float32Array, 1)[0] === 0.5}`);
heap.free(larger);
try {
  heap.free(larger);
} catch (error) {
  if (!isHeapError(error)) throw error;
  console.log(`freeing a block twice: ${error.code}`);
}
heap.check();

// A GPU buffer of 64 MiB: only offsets are handed out, in units of 256 bytes.
const gpu = new OffsetAllocator(new NumberRange(0, 64 * 2 ** 20), { granule: 256 });
const textures = Array.from({ length: 15 }, () => gpu.allocate(4 * 2 ** 20));
console.log(`15 textures of 4 MiB, all there: ${textures.every((offset) => offset >= 0)}`);
textures.forEach((offset) => gpu.free(offset));
console.log(`after freeing them all of it is one block again: ${gpu.allocate(60 * 2 ** 20) >= 0}`);
