import { once } from "node:events";

import { expect, test } from "vitest";

import { Pmm } from "../src/index.ts";
import { PmmWorkers } from "../src/node.ts";
import { range } from "./ranges.ts";

const register = new URL("../../../tooling/src/register.mjs", import.meta.url).href;

test("a thread that ends leaves nothing on its page stacks", async () => {
  const pmm = new Pmm({ ranges: [range(4096, 8192)], shared: true, workers: 3 });
  const workers = new PmmWorkers(pmm);
  const execArgv = ["--import", register, "--conditions=@pagewright/source"];
  const thread = workers.start(new URL("./node.worker.ts", import.meta.url), 100, { execArgv });
  const exit = once(thread, "exit");
  expect(await once(thread, "message")).toEqual([1]);
  await exit;
  expect(workers.running).toBe(0);
  expect(pmm.stats().zones[0]?.stackedFrames).toBe(0);
  expect(pmm.freeFrames).toBe(4096 - 50);
  pmm.check();
});

test("threads need shared memory", () => {
  expect(() => new PmmWorkers(new Pmm({ ranges: [range(4096, 8192)] }))).toThrow("shared: true");
});
