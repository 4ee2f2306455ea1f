/** Delays, cut connections and kills at moments that a seed decides: nothing that was acknowledged is lost, with the usual time limit. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { describe, expect, test } from "vitest";

import { PlainMemory, SeededRandom, SpaceMemory, Vmm, type AddressSpace } from "@pagewright/vmm";
import { CompressedPool } from "@pagewright/vmm/swap";

import { installedServer, LocalRedis } from "./redis-server.ts";
import { RedisSwap } from "./redis-swap.ts";

const PAGES = 64;
const FRAMES = 12;
const STEPS = 200;

const program = installedServer();

/** Stands between a client and a server: what passes is late, and some connections are cut in the middle. */
class BadLine {
  readonly #server: Server;
  readonly #random: SeededRandom;
  readonly #sockets: Set<Socket> = new Set();
  /** Connections that were cut. */
  cuts = 0;

  constructor(port: number, random: SeededRandom) {
    this.#random = random;
    this.#server = createServer((near) => {
      const far = connect(port, "127.0.0.1");
      this.#pass(near, far);
      this.#pass(far, near);
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `redis://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #pass(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.on("error", () => undefined);
    from.on("close", () => {
      this.#sockets.delete(from);
      to.destroy();
    });
    from.on("data", (data) => {
      const chance = this.#random.uint32() % 400;
      const part = chance === 0 ? data.subarray(0, data.length >>> 1) : data;
      setTimeout(() => {
        to.write(part);
        if (chance > 0) return;
        this.cuts++;
        from.destroy();
      }, this.#random.uint32() % 4);
    });
  }
}

/** Stores a word, or loads it (`value` −1), waiting as long as that helps; the word, or what the fault came to. */
async function access(space: AddressSpace, address: number, value: number): Promise<number | string> {
  const memory = new SpaceMemory(space);
  for (let tries = 0; tries < 100; tries++) {
    if (value >= 0 && memory.store32(address, value)) return value;
    const loaded = value >= 0 ? -1 : memory.load32(address);
    if (loaded >= 0) return loaded;
    if (memory.fault !== "pending" || space.pending === null) return memory.fault;
    await space.pending;
  }
  return "no progress";
}

describe.skipIf(program === null)(program ?? "no server is installed", () => {
  test.each([1, 2, 3])("a bad line to a server that is killed (seed %i)", async (seed) => {
    const random = new SeededRandom(seed);
    const next = (bound: number): number => random.uint32() % bound;
    const server = await LocalRedis.start(program ?? "");
    const line = new BadLine(Number(new URL(server.url).port), random);
    const swap = await RedisSwap.open({ url: await line.listen(), slots: 256 });
    const memory = new PlainMemory(64);
    const pool = new CompressedPool({ frames: memory, window: memory, limitFrames: 2, slots: 64 });
    const stores = next(3) > 0 ? [swap] : [pool, swap];
    const vmm = new Vmm({ frames: memory, window: memory, swap: stores, residentLimit: FRAMES });
    const space = vmm.createSpace();
    const at = space?.map({ bytes: PAGES * 4096 });
    if (space === null || typeof at !== "number") throw new Error("nothing can be mapped");
    const words = new Uint32Array(PAGES);
    let kills: Promise<void> = Promise.resolve();
    for (let step = 0; step < STEPS; step++) {
      const page = next(PAGES);
      if (next(STEPS / 3) === 0) kills = kills.then(() => server.restart());
      const address = at + page * 4096;
      if (next(2) === 0) await access(space, address, (words[page] = next(1e9)));
      else expect({ step, got: await access(space, address, -1) }).toEqual({ step, got: words[page] });
    }
    await kills;
    await vmm.settled();
    vmm.check();
    for (let page = 0; page < PAGES; page++) expect(await access(space, at + page * 4096, -1)).toBe(words[page]);
    expect(vmm.swapTiers().at(-1)).toMatchObject({ bad: 0, fenced: false, failedReads: 0, mismatches: 0 });
    expect(swap.stats().retries).toBeGreaterThanOrEqual(line.cuts > 0 ? 1 : 0);
    space.destroy();
    await swap.close();
    line.close();
    await server.stop();
  });
});
