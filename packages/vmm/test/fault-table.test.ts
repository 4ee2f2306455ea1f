/** The table that the documentation prints is the one that the handler runs, and the handler does what it says. */
import { readFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

import {
  ACTIONS,
  EXECUTE,
  FAULT_TABLE,
  PAGE_SIZE,
  PlainMemory,
  READ,
  SOURCES,
  USER,
  Vmm,
  WRITE,
  faultTableText,
  type AddressSpace,
  type FaultOutcome,
} from "@pagewright/vmm";

/** Rows of a Markdown table, without padding. */
function rows(text: string): string[] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("| "))
    .map((line) =>
      line
        .split("|")
        .map((cell) => cell.trim())
        .join("|"),
    );
}

test("the table in DESIGN.md is the table", () => {
  const design = readFileSync(new URL("../DESIGN.md", import.meta.url), "utf8");
  const section = design.slice(design.indexOf("## Decision table of faults"));
  const printed = rows(section.slice(0, section.indexOf("\n## ")));
  for (const row of rows(faultTableText())) expect(printed).toContain(row);
});

/** A page of each source at a fresh address, not mapped yet. */
const MAKE: Record<(typeof SOURCES)[number], (vmm: Vmm, space: AddressSpace) => number> = {
  nothing: (_vmm, space) => Number(space.map({ bytes: PAGE_SIZE })),
  "own page": (_vmm, space) => {
    const at = Number(space.map({ bytes: PAGE_SIZE }));
    space.fault(at, WRITE + USER);
    unmapTranslation(space, at);
    return at;
  },
  "page shared by clones": (_vmm, space) => {
    const at = Number(space.map({ bytes: PAGE_SIZE }));
    space.fault(at, WRITE + USER);
    space.clone();
    unmapTranslation(space, at);
    return at;
  },
  "object page, shared region": (vmm, space) =>
    Number(space.map({ bytes: PAGE_SIZE, object: vmm.createAnonymous(PAGE_SIZE), shared: true })),
  "object page, private region": (vmm, space) =>
    Number(space.map({ bytes: PAGE_SIZE, object: vmm.createAnonymous(PAGE_SIZE) })),
  device: (vmm, space) => Number(space.map({ bytes: PAGE_SIZE, object: vmm.openDevice(2 ** 20, 1) })),
  guard: (_vmm, space) => {
    const at = Number(space.map({ bytes: PAGE_SIZE }));
    space.advise(at, PAGE_SIZE, "guard");
    return at;
  },
};

function unmapTranslation(space: AddressSpace, at: number): void {
  space.protect(at, PAGE_SIZE, 0);
  space.protect(at, PAGE_SIZE, READ + WRITE);
}

/** What can be seen of each action: the outcome, whether a page or a device's frame is mapped, and whether it can be stored to. */
const SEEN: readonly { readonly outcome: FaultOutcome; readonly page: boolean | null; readonly writable: boolean }[] = [
  { outcome: "zero", page: null, writable: false },
  { outcome: "zero", page: true, writable: true },
  { outcome: "minor", page: true, writable: true },
  { outcome: "minor", page: true, writable: false },
  { outcome: "copy", page: true, writable: true },
  { outcome: "minor", page: false, writable: true },
  { outcome: "guard", page: null, writable: false },
];

describe("the handler does what the table says:", () => {
  for (const [at, source] of SOURCES.entries())
    for (const [column, access] of [READ, WRITE].entries()) {
      const action = FAULT_TABLE[at * 2 + column] ?? 0;
      test(`${source}, ${access === READ ? "load" : "store"}: ${ACTIONS[action] ?? ""}`, () => {
        const memory = new PlainMemory(64);
        const vmm = new Vmm({ frames: memory, window: memory });
        const space = vmm.createSpace();
        if (space === null) throw new Error("no space");
        const address = MAKE[source](vmm, space);
        expect(space.tables.query(address / PAGE_SIZE)).toBe(0);
        const seen = SEEN[action];
        expect(space.fault(address, access + USER)).toBe(seen?.outcome);
        const state = space.tables.query(address / PAGE_SIZE);
        expect(state !== 0).toBe(seen?.outcome !== "guard");
        if (state === 0) return;
        expect((state & WRITE) !== 0).toBe(seen?.writable);
        const { frame } = space.tables;
        if (seen?.page === null) expect(frame).toBe(vmm.faults.zeroFramePfn);
        else expect(vmm.core.frameMap.pageAt(frame) >= 0).toBe(seen?.page);
        vmm.check();
      });
    }

  test("a right that the region lacks is named, before anything else is looked at", () => {
    const memory = new PlainMemory(64);
    const vmm = new Vmm({ frames: memory, window: memory });
    const space = vmm.createSpace();
    if (space === null) throw new Error("no space");
    const at = Number(space.map({ bytes: PAGE_SIZE, rights: READ }));
    space.advise(at, PAGE_SIZE, "guard");
    expect([space.fault(at, WRITE + USER), space.fault(at, EXECUTE + USER)]).toEqual(["no-write", "no-execute"]);
    expect(space.fault(at + PAGE_SIZE, READ + USER)).toBe("unmapped");
  });
});
