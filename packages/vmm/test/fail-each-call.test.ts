import { expect, test } from "vitest";

import { portsCalled, runFailing } from "./kit/each-call-program.ts";

const ports = await portsCalled();

test("the program calls every port that can fail", () => {
  expect(ports.map(({ port }) => port).sort()).toEqual([
    "AsyncBackingStore.readLater",
    "AsyncBackingStore.writeLater",
    "AsyncSwapStore.discardLater rejects",
    "AsyncSwapStore.readLater",
    "AsyncSwapStore.readLater rejects",
    "AsyncSwapStore.writeLater",
    "AsyncSwapStore.writeLater rejects",
    "BackingStore.read",
    "BackingStore.resize",
    "BackingStore.sync",
    "BackingStore.write",
    "Compressor.compress",
    "Compressor.expand",
    "FrameSource.take",
    "FrameSource.takeMany",
    "LargeLeaves.map",
    "Pager.request poisons",
    "Pager.request throws",
    "Pager.writeFault denies",
    "Pager.writeFault throws",
    "SpecialFrames.request",
    "SwapStore.read",
    "SwapStore.write",
    "TableStructure.moveTables",
    "TableStructure.shareTables",
    "TranslationTables.fill",
    "TranslationTables.map",
  ]);
});

test.each(ports)("$port fails, at a call in the middle of $calls: nothing is lost", async ({ port, calls }) => {
  await runFailing(port, Math.ceil(calls / 2));
});
