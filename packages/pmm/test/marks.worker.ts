import { workerData } from "node:worker_threads";

import { Arena } from "../src/arena.ts";
import type { PmmShare } from "../src/index.ts";
import { clearFlags, setFlags } from "../src/marks.ts";

/** Sets and clears one flag of the same frames as others do, as fast as it can. */
interface Task {
  readonly share: PmmShare;
  readonly flag: number;
  readonly rounds: number;
}

const { share, flag, rounds } = workerData as Task;
const arena = new Arena(share.layout, share.buffer);
for (let round = 0; round < rounds; round += 1) {
  for (let frame = 4096; frame < 4100; frame += 1) setFlags(arena, frame, flag);
  for (let frame = 4096; frame < 4100; frame += 1) clearFlags(arena, frame, flag);
}
