/**
 * An address space of 256 pages in 64 frames whose other pages lie in a Redis or Valkey server. Without an argument the program starts a server of its own,
 * and kills and restarts it in the middle.
 */
import { PlainMemory, SpaceMemory, Vmm } from "@pagewright/vmm";

import { installedServer, LocalRedis } from "./redis-server.ts";
import { RedisSwap } from "./redis-swap.ts";

const PAGE = 4096;
const PAGES = 256;
const FRAMES = 64;

const program = installedServer();
const url = process.argv[2];
if (url === undefined && program === null) {
  console.log("no redis-server or valkey-server on the path: give the address of one, redis://…");
  process.exit(0);
}
const server = url === undefined ? await LocalRedis.start(program ?? "") : null;
const swap = await RedisSwap.open({ url: url ?? server?.url ?? "", slots: 1024 });
try {
  const memory = new PlainMemory(FRAMES + 16);
  const vmm = new Vmm({ frames: memory, window: memory, swap: [swap], residentLimit: FRAMES });
  const space = vmm.createSpace();
  const at = space?.map({ bytes: PAGES * PAGE }) ?? "no-memory";
  if (space === null || typeof at === "string") throw new Error("nothing can be mapped");
  const bytes = new SpaceMemory(space);
  const stamp = (page: number, round: number): number => page * 1000 + round;

  for (let page = 0; page < PAGES; page++) bytes.store32(at + page * PAGE + 8, stamp(page, 1));
  if (server !== null) {
    await server.kill();
    await server.start();
    console.log("the server was killed and started again");
  }
  let intact = 0;
  for (let page = 0; page < PAGES; page++) {
    if (bytes.load32(at + page * PAGE + 8) === stamp(page, 1)) intact++;
    bytes.store32(at + page * PAGE + 8, stamp(page, 2));
  }
  for (let page = 0; page < PAGES; page++) if (bytes.load32(at + page * PAGE + 8) === stamp(page, 2)) intact++;
  console.log(`${intact} of ${2 * PAGES} loads found what was stored`);
  console.log(`${vmm.residentPages} pages in frames, transfers failed: ${swap.stats().failures}`);
  vmm.check();
  space.destroy();
} finally {
  await swap.close();
  await server?.stop();
}
