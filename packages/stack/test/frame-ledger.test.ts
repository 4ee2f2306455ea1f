import { PlainMemory } from "@pagewright/vmm";
import { describe, expect, test } from "vitest";
import { FrameLedger, LedgerFrames, LedgerWindow } from "../src/frame-ledger.ts";

function make(): { frames: LedgerFrames; window: LedgerWindow; ledger: FrameLedger } {
  const memory = new PlainMemory(8);
  const ledger = new FrameLedger();
  return { ledger, frames: new LedgerFrames(memory, ledger), window: new LedgerWindow(memory, ledger) };
}

function outOf(ledger: FrameLedger): number[] {
  const out: number[] = [];
  ledger.forEachOut((pfn) => out.push(pfn));
  return out;
}

describe("a frame ledger", () => {
  test.each([
    ["zeroed", (window: LedgerWindow, pfn: number) => window.zero(pfn)],
    ["copied to", (window: LedgerWindow, pfn: number) => window.copy(7, pfn)],
    ["written", (window: LedgerWindow, pfn: number) => window.write(pfn, 0, new Uint8Array(4096))],
  ])("knows that a frame just taken holds another owner's bytes until it is %s as a whole", (_, replace) => {
    const { frames, window, ledger } = make();
    const pfn = frames.take();
    window.write(pfn, 1, new Uint8Array(4095));
    expect(ledger.isReplaced(pfn)).toBe(false);
    replace(window, pfn);
    expect(ledger.isReplaced(pfn)).toBe(true);
    frames.give(pfn);
    expect(frames.take()).toBe(pfn);
    expect(ledger.isReplaced(pfn)).toBe(false);
  });

  test("counts frames that are out, taken one by one, in bulk and as blocks", () => {
    const { frames, ledger } = make();
    const taken = new Float64Array(2);
    frames.takeMany(taken, 2);
    const block = frames.take({ order: 1, node: -1, colour: -1, movable: 1 });
    expect(outOf(ledger)).toEqual([taken[0]!, taken[1]!, block, block + 1].sort((a, b) => a - b));
    expect(ledger.out).toBe(4);
    frames.give(block, 1);
    frames.giveMany(taken, 2);
    expect([ledger.out, outOf(ledger), ledger.isOut(block)]).toEqual([0, [], false]);
  });
});
