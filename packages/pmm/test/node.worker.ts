import { parentPort, workerData } from "node:worker_threads";

import { Pmm } from "../src/index.ts";
import type { PmmWorkerData } from "../src/node.ts";

/** Attaches, takes what it is told to, gives half back, and ends without a word to anyone. */
const { pmm: attachment, data } = workerData as PmmWorkerData;
const pmm = new Pmm(attachment);
const frames = new Float64Array(Number(data));
pmm.takeMany(frames, frames.length);
pmm.giveMany(frames.subarray(0, frames.length / 2), frames.length / 2);
parentPort?.postMessage(pmm.worker);
