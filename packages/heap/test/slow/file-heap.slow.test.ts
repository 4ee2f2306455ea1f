import { test } from "vitest";
import { endProcesses } from "../file-heap-crash.ts";

test("a process that is ended at any moment leaves its last checkpoint, 40 times in one file", async () => {
  await endProcesses(40);
}, 300_000);
