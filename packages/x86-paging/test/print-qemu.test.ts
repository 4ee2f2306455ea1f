import { attributes, Mapper, MODE_4_LEVEL, MODE_PAE, PagingState, qemuMem, qemuTlb } from "@pagewright/x86-paging";
import type { PagingMode } from "@pagewright/x86-paging";
import { expect, test } from "vitest";
import { CountingFrames, SparseMemory } from "./support/memory.ts";

function listings(mode: PagingMode): string[] {
  const memory = new SparseMemory();
  const mapper = Mapper.create({ mode, memory, frames: new CountingFrames(memory, 0x80) });
  if (!mapper.ok) throw new Error("no root");
  mapper.map(0xc0000, 1, 5, attributes({ write: true, execute: true }));
  mapper.map(0xc0001, 1, 6, attributes({ write: true, execute: false, user: true }));
  const state = new PagingState({ mode, root: mapper.root });
  if (mode === MODE_PAE) state.rootEntries.set(memory.words(mapper.root).slice(0, 8));
  return [...qemuTlb(state, memory), ...qemuMem(state, memory)];
}

const ranges = [
  "00000000c0000000-00000000c0001000 0000000000001000 -rw\n",
  "00000000c0001000-00000000c0002000 0000000000001000 urw\n",
];

test("info tlb has NX beside the address, and in PAE tables in it too, as QEMU masks no bit of theirs above 11", () => {
  expect(listings(MODE_4_LEVEL)).toEqual([
    "00000000c0000000: 0000000000005000 --------W\n",
    "00000000c0001000: 0000000000006000 X------UW\n",
    ...ranges,
  ]);
  expect(listings(MODE_PAE)).toEqual([
    "00000000c0000000: 0000000000005000 --------W\n",
    "00000000c0001000: 8000000000006000 X------UW\n",
    ...ranges,
  ]);
});
