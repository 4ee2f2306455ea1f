import { PlainMemory, SpaceMemory, Vmm } from "@pagewright/vmm";
import { createClient } from "redis";
import { describe, expect, test } from "vitest";

import { installedServer, LocalRedis } from "./redis-server.ts";
import { RedisSwap } from "./redis-swap.ts";

const program = installedServer();

function pageOf(seed: number): Uint8Array {
  return Uint8Array.from({ length: 4096 }, (_, at) => (at * 31 + seed * 17) & 255);
}

describe.skipIf(program === null)(`swap on a real server (${program ?? "redis-server is not installed"})`, () => {
  async function withServer(
    settings: string[],
    body: (swap: RedisSwap, server: LocalRedis) => Promise<void> | void,
  ): Promise<void> {
    const server = await LocalRedis.start(program ?? "", ...settings);
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
    await withServer([], (swap) => {
      const page = new Uint8Array(4096);
      expect(swap.read(7, page)).toBe("failed");
      for (let slot = 0; slot < 64; slot++) expect(swap.write(slot, pageOf(slot))).toBe("ok");
      expect(swap.write(3, pageOf(99))).toBe("ok");
      for (let slot = 0; slot < 64; slot++) {
        expect(swap.read(slot, page)).toBe("ok");
        expect(page).toEqual(pageOf(slot === 3 ? 99 : slot));
      }
      swap.discard(5);
      expect(swap.read(5, page)).toBe("failed");
      expect(swap.stats()).toEqual({ reads: 64, writes: 65, failures: 2 });
    });
  });

  test("acknowledged pages survive the kill and restart of the server", async () => {
    await withServer([], async (swap, server) => {
      const page = new Uint8Array(4096);
      for (let slot = 0; slot < 32; slot++) expect(swap.write(slot, pageOf(slot))).toBe("ok");
      await server.kill();
      await server.start();
      for (let slot = 0; slot < 32; slot++) {
        expect(swap.read(slot, page)).toBe("ok");
        expect(page).toEqual(pageOf(slot));
      }
      expect(swap.write(40, pageOf(40))).toBe("ok");
    });
  });

  test("a server that stays away fails the transfer after the time limit, and later ones work again", async () => {
    await withServer([], async (swap, server) => {
      const page = new Uint8Array(4096);
      expect(swap.write(1, pageOf(1))).toBe("ok");
      await server.kill();
      swap.timeoutMs = 200;
      expect(swap.write(2, pageOf(2))).toBe("failed");
      expect(swap.read(1, page)).toBe("failed");
      await server.start();
      swap.timeoutMs = 10_000;
      expect(swap.read(1, page)).toBe("ok");
      expect(page).toEqual(pageOf(1));
    });
  });

  test("a page that the server has lost is a bus error on that page alone", async () => {
    await withServer([], async (swap, server) => {
      const memory = new PlainMemory(32);
      const vmm = new Vmm({ frames: memory, window: memory, swap: [swap], residentLimit: 8 });
      const space = vmm.createSpace();
      const at = space?.map({ bytes: 24 * 4096 }) ?? "no-memory";
      if (space === null || typeof at === "string") throw new Error("nothing can be mapped");
      const bytes = new SpaceMemory(space);
      for (let page = 0; page < 24; page++) bytes.store32(at + page * 4096, page + 1);
      const client = await createClient({ url: server.url }).connect();
      const [lost] = await client.keys("pagewright:*");
      if (lost === undefined) throw new Error("nothing was swapped");
      await client.del(lost);
      client.destroy();
      const outcomes = Array.from({ length: 24 }, (_, page) => {
        const value = bytes.load32(at + page * 4096);
        return value === page + 1 ? "right" : value === -1 ? bytes.fault : "wrong";
      });
      expect(outcomes.filter((outcome) => outcome === "bus").length).toBe(1);
      expect(outcomes.filter((outcome) => outcome === "right").length).toBe(23);
      vmm.check();
    });
  });

  test("a server whose memory is full says so", async () => {
    await withServer(["--maxmemory", "4mb"], (swap) => {
      const outcomes = Array.from({ length: 1024 }, (_, slot) => swap.write(slot, pageOf(slot)));
      expect(outcomes[0]).toBe("ok");
      expect(outcomes.at(-1)).toBe("full");
    });
  });

  test("a server that would drop keys is refused", async () => {
    const server = await LocalRedis.start(program ?? "", "--maxmemory-policy", "allkeys-lru");
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
