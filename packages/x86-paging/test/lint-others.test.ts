import { attributes, lint, Mapper, MODE_4_LEVEL, PagingState } from "@pagewright/x86-paging";
import { expect, test } from "vitest";
import { CountingFrames, SparseMemory } from "./support/memory.ts";

test("another address space may have more runs than a call can have arguments", () => {
  const memory = new SparseMemory();
  const frames = new CountingFrames(memory, 0x80);
  const [own, other] = [
    Mapper.create({ mode: MODE_4_LEVEL, memory, frames }),
    Mapper.create({ mode: MODE_4_LEVEL, memory, frames }),
  ];
  if (!own.ok || !other.ok) throw new Error("no root");
  own.map(1, 1, 0x100_0000, attributes({ execute: true, global: true }));
  const rights = attributes({ write: true, global: true });
  // Frames in descending order: no two pages make one run.
  for (let page = 0; page < 150_000; page++) other.map(page, 1, 0x100_0000 - page, rights);
  const state = new PagingState({ mode: MODE_4_LEVEL, root: own.root });
  const others = [new PagingState({ mode: MODE_4_LEVEL, root: other.root })];
  const findings = lint(state, memory, { others });
  expect(findings.map(({ rule }) => rule)).toContain("executable-alias");
});
