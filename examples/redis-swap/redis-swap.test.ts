import { asyncSwapStoreSuite } from "@pagewright/vmm/testing";
import { PlainMemory, Vmm, type AsyncSwapStore } from "@pagewright/vmm";
import { createClient } from "redis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { installedServer, LocalRedis } from "./redis-server.ts";
import { RedisSwap } from "./redis-swap.ts";

const program = installedServer();

function pageOf(seed: number): Uint8Array {
  return Uint8Array.from({ length: 4096 }, (_, at) => (at * 31 + seed * 17) & 255);
}

async function read(swap: RedisSwap, slot: number): Promise<Uint8Array | string> {
  const page = new Uint8Array(4096);
  const outcome = await swap.readLater(slot, page);
  return outcome === "ok" ? page : outcome;
}

describe.skipIf(program === null)("the suite of AsyncSwapStore, on a real server", () => {
  let server: LocalRedis | null = null;
  const opened: RedisSwap[] = [];
  beforeAll(async () => {
    server = await LocalRedis.start(program ?? "");
  });
  afterAll(async () => {
    for (const swap of opened) await swap.close();
    await server?.stop();
  });
  const open = async (): Promise<AsyncSwapStore> => {
    const swap = await RedisSwap.open({ url: server?.url ?? "", slots: 32, prefix: `suite${opened.length}:` });
    opened.push(swap);
    return swap;
  };
  for (const claim of asyncSwapStoreSuite) test(claim.name, () => claim.run(open));
});

describe.skipIf(program === null)(`swap on a real server (${program ?? "redis-server is not installed"})`, () => {
  async function withServer(
    settings: string[],
    body: (swap: RedisSwap, server: LocalRedis) => Promise<void>,
  ): Promise<void> {
    const server = await LocalRedis.start(program ?? "", settings);
    try {
      const swap = await RedisSwap.open({ url: server.url, slots: 1024 });
      try {
        await body(swap, server);
      } finally {
        await swap.close();
      }
    } finally {
      await server.stop();
    }
  }

  test("a page comes back as it went, until it is discarded", async () => {
    await withServer([], async (swap) => {
      await swap.writeLater(5, pageOf(5));
      expect(await read(swap, 5)).toEqual(pageOf(5));
      await swap.discardLater(5);
      expect(await read(swap, 5)).toBe("failed");
      expect(swap.stats()).toEqual({ reads: 1, writes: 1, retries: 0, failures: 1 });
    });
  });

  test("acknowledged pages survive the kill and restart of the server, and transfers in between wait for it", async () => {
    await withServer([], async (swap, server) => {
      for (let slot = 0; slot < 32; slot++) expect(await swap.writeLater(slot, pageOf(slot))).toBe("ok");
      await server.kill();
      const reads = Array.from({ length: 32 }, (_, slot) => read(swap, slot));
      const write = swap.writeLater(40, pageOf(40));
      await server.start();
      expect(await Promise.all(reads)).toEqual(Array.from({ length: 32 }, (_, slot) => pageOf(slot)));
      expect(await write).toBe("ok");
      expect(swap.stats().retries).toBeGreaterThan(0);
    });
  });

  test("a server that stays away fails the transfer after the time limit, and later ones work again", async () => {
    await withServer([], async (swap, server) => {
      expect(await swap.writeLater(1, pageOf(1))).toBe("ok");
      await server.kill();
      swap.timeoutMs = 200;
      await expect(swap.writeLater(2, pageOf(2))).rejects.toThrow();
      await expect(read(swap, 1)).rejects.toThrow();
      await server.start();
      swap.timeoutMs = 10_000;
      expect(await read(swap, 1)).toEqual(pageOf(1));
    });
  });

  test("a server that stays away too long costs the accesses of that time alone: when it is back, every page is", async () => {
    await withServer([], async (swap, server) => {
      const memory = new PlainMemory(32);
      const vmm = new Vmm({ frames: memory, window: memory, swap: [swap], residentLimit: 8, readAhead: 0 });
      const space = vmm.createSpace();
      const at = Number(space?.map({ bytes: 24 * 4096 }));
      if (space === null) throw new Error("no space");
      for (let page = 0; page < 24; page++)
        expect(await space.run((memory) => memory.store32(at + page * 4096, page + 1))).toMatchObject({ value: true });
      await vmm.settled();
      await server.kill();
      swap.timeoutMs = 20;
      let missed = 0;
      for (let page = 0; page < 24; page++) {
        const run = await space.run((memory) => memory.load32(at + page * 4096));
        expect(run).toMatchObject({ done: true });
        if (run.done && run.value === -1) missed++;
      }
      expect(missed).toBe(16);
      expect(vmm.swapTiers()).toMatchObject([{ fenced: true }]);
      await server.start();
      swap.timeoutMs = 10_000;
      for (let page = 0; page < 24; page++)
        expect(await space.run((memory) => memory.load32(at + page * 4096))).toMatchObject({ value: page + 1 });
      expect(vmm.swapTiers()).toMatchObject([{ fenced: false, mismatches: 0 }]);
      vmm.check();
    });
  });

  test("a program that computes for longer than the time limit still gets what the server sent meanwhile", async () => {
    await withServer([], async (swap) => {
      for (let slot = 0; slot < 8; slot++) expect(await swap.writeLater(slot, pageOf(slot))).toBe("ok");
      swap.timeoutMs = 100;
      const reads = Array.from({ length: 8 }, (_, slot) => read(swap, slot));
      const write = swap.writeLater(9, pageOf(9));
      await new Promise((resolve) => setImmediate(resolve)); // They are sent.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
      expect(await Promise.all(reads)).toEqual(Array.from({ length: 8 }, (_, slot) => pageOf(slot)));
      expect(await write).toBe("ok");
    });
  });

  test("a page that the server has lost is a bus error on that page alone", async () => {
    await withServer([], async (swap, server) => {
      const memory = new PlainMemory(32);
      const vmm = new Vmm({ frames: memory, window: memory, swap: [swap], residentLimit: 8 });
      const space = vmm.createSpace();
      const at = space?.map({ bytes: 24 * 4096 }) ?? "no-memory";
      if (space === null || typeof at === "string") throw new Error("nothing can be mapped");
      for (let page = 0; page < 24; page++)
        expect(await space.run((memory) => memory.store32(at + page * 4096, page + 1))).toMatchObject({ value: true });
      await vmm.settled();
      const client = await createClient({ url: server.url }).connect();
      const [lost] = await client.keys("pagewright:*");
      if (lost === undefined) throw new Error("nothing was swapped");
      await client.del(lost);
      client.destroy();
      const outcomes = [];
      for (let page = 0; page < 24; page++) {
        const run = await space.run((memory) => memory.load32(at + page * 4096));
        const value = run.done ? run.value : run.reason;
        outcomes.push(value === page + 1 ? "right" : value === -1 ? "bus" : "wrong");
      }
      expect(outcomes.filter((outcome) => outcome === "bus").length).toBe(1);
      expect(outcomes.filter((outcome) => outcome === "right").length).toBe(23);
      vmm.check();
    });
  });

  test("a server whose memory is full says so", async () => {
    await withServer(["--maxmemory", "4mb"], async (swap) => {
      const outcomes = await Promise.all(
        Array.from({ length: 1024 }, (_, slot) => swap.writeLater(slot, pageOf(slot))),
      );
      expect(outcomes[0]).toBe("ok");
      expect(outcomes.at(-1)).toBe("full");
    });
  });

  test("a server that would drop keys is refused", async () => {
    const server = await LocalRedis.start(program ?? "", ["--maxmemory-policy", "allkeys-lru"]);
    try {
      await expect(RedisSwap.open({ url: server.url, slots: 16 })).rejects.toThrow("may drop keys");
    } finally {
      await server.stop();
    }
  });

  test("no server at all is refused in time", async () => {
    await expect(RedisSwap.open({ url: "redis://127.0.0.1:1", slots: 16, connectMs: 300 })).rejects.toThrow(
      "no swap on",
    );
  });
});
