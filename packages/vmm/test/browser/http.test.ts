import { afterEach, beforeEach, expect, test } from "vitest";

import { HttpBacking, isStoreFailure, type HttpBackingOptions } from "@pagewright/vmm/browser";

import { asyncBackingStoreSuite } from "@pagewright/vmm/testing";

import { parseContentRange } from "../../src/browser/content-range.ts";
import { serveRanges, type Misbehaviour, type RangeServer } from "./range-server.ts";

const SIZE = 10_000;
const CONTENT = Uint8Array.from({ length: SIZE }, (_, at) => (at * 7 + Math.floor(at / 256)) & 255);

let server: RangeServer;
beforeEach(async () => {
  server = await serveRanges(CONTENT);
});
afterEach(async () => {
  await server.close();
});

const QUICK: HttpBackingOptions = { pause: () => Promise.resolve() };

/** The code of a store's rejection, or the value that came instead. */
async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    return await promise;
  } catch (thrown) {
    if (isStoreFailure(thrown)) return thrown.code;
    throw thrown;
  }
}

async function read(store: HttpBacking, offset: number, length: number): Promise<Uint8Array> {
  const into = new Uint8Array(length).fill(0xee);
  await store.readLater(offset, into);
  return into;
}

/** Misbehaves `times` times and then no more. */
function firstTimes(times: number, misbehaviour: Misbehaviour): Misbehaviour {
  let left = times;
  return (...args) => left-- > 0 && misbehaviour(...args);
}

test("pages of the file are what the server holds, and only they are asked for", async () => {
  const store = await HttpBacking.open(server.url, QUICK);
  expect(store.size()).toBe(SIZE);
  expect(await read(store, 4096, 4096)).toEqual(CONTENT.slice(4096, 8192));
  expect(server.ranges).toEqual(["bytes=0-0", "bytes=4096-8191"]);
  expect(store.stats()).toEqual({ requests: 2, retries: 0, readBytes: 4097 });
});

test("what lies beyond the end of the file reads as zero and asks nothing", async () => {
  const store = await HttpBacking.open(server.url, QUICK);
  const last = await read(store, 8192, 4096);
  expect(last.slice(0, SIZE - 8192)).toEqual(CONTENT.slice(8192));
  expect(last.slice(SIZE - 8192).every((byte) => byte === 0)).toBe(true);
  const requests = server.ranges.length;
  expect((await read(store, 12_288, 4096)).every((byte) => byte === 0)).toBe(true);
  expect(server.ranges.length).toBe(requests);
});

test("an empty file opens with size 0", async () => {
  server.content = new Uint8Array(0);
  const store = await HttpBacking.open(server.url, QUICK);
  expect(store.size()).toBe(0);
  expect(await read(store, 0, 16)).toEqual(new Uint8Array(16));
});

test("an offset that is no byte offset is the caller's bug", async () => {
  const store = await HttpBacking.open(server.url, QUICK);
  for (const offset of [-1, 0.5, Number.NaN, 2 ** 53])
    await expect(store.readLater(offset, new Uint8Array(1))).rejects.toMatchObject({ code: "out-of-range" });
  await expect(HttpBacking.open(server.url, { attempts: 0 })).rejects.toMatchObject({ code: "out-of-range" });
});

test("a file that is replaced while in use is refused, by tag and by length", async () => {
  const store = await HttpBacking.open(server.url, QUICK);
  server.etag = '"2"';
  expect(await codeOf(read(store, 0, 4096))).toBe("store-changed");
  server.etag = '"1"';
  server.content = CONTENT.slice(0, 9000);
  expect(await codeOf(read(store, 0, 4096))).toBe("store-changed");
  expect(await codeOf(read(store, 9500, 100))).toBe("store-changed");
});

test("errors that may pass are tried again, a bounded number of times", async () => {
  const store = await HttpBacking.open(server.url, { ...QUICK, attempts: 3 });
  const unavailable: Misbehaviour = (_request, response) => {
    response.writeHead(503, { "retry-after": "2" }).end("later");
    return true;
  };
  server.misbehave = firstTimes(2, unavailable);
  expect(await read(store, 0, 4096)).toEqual(CONTENT.slice(0, 4096));
  expect(store.stats().retries).toBe(2);
  server.misbehave = unavailable;
  const before = server.ranges.length;
  expect(await codeOf(read(store, 0, 4096))).toBe("store-unreachable");
  expect(server.ranges.length - before).toBe(3);
});

test("the wait before the next attempt follows Retry-After", async () => {
  const waits: number[][] = [];
  const store = await HttpBacking.open(server.url, {
    pause: (attempt, askedMs) => {
      waits.push([attempt, askedMs]);
      return Promise.resolve();
    },
  });
  server.misbehave = firstTimes(1, (_request, response) => {
    response.writeHead(429, { "retry-after": "7" }).end();
    return true;
  });
  await read(store, 0, 10);
  expect(waits).toEqual([[2, 7000]]);
});

test("a connection that breaks off in the middle goes on where it stopped", async () => {
  const store = await HttpBacking.open(server.url, QUICK);
  server.misbehave = firstTimes(1, (request, response) => {
    response.writeHead(206, { "content-range": `bytes 0-4095/${SIZE}`, "content-length": "4096", etag: '"1"' });
    response.write(CONTENT.subarray(0, 1000));
    const waiting = setInterval(() => {
      if (store.stats().readBytes < 1001) return; // Breaks off when the part has arrived, and not before.
      clearInterval(waiting);
      request.socket.destroy();
    }, 5);
    return true;
  });
  expect(await read(store, 0, 4096)).toEqual(CONTENT.slice(0, 4096));
  expect(server.ranges.at(-1)).toBe("bytes=1000-4095");
  expect(store.stats().readBytes).toBe(4097);
});

test("a server that refuses is not asked twice", async () => {
  const store = await HttpBacking.open(server.url, QUICK);
  server.misbehave = (_request, response) => {
    response.writeHead(403).end();
    return true;
  };
  const before = server.ranges.length;
  expect(await codeOf(read(store, 0, 4096))).toBe("store-refused");
  expect(server.ranges.length - before).toBe(1);
  server.misbehave = (_request, response) => {
    response.writeHead(404).end();
    return true;
  };
  expect(await codeOf(HttpBacking.open(server.url, QUICK))).toBe("store-refused");
});

const liars: Record<string, Misbehaviour> = {
  "ignores ranges": (_request, response) => {
    response.writeHead(200).end(CONTENT);
    return true;
  },
  "sends another range": (_request, response) => {
    response.writeHead(206, { "content-range": `bytes 1-4096/${SIZE}`, etag: '"1"' }).end(CONTENT.subarray(1, 4097));
    return true;
  },
  "sends no Content-Range": (_request, response) => {
    response.writeHead(206, { etag: '"1"' }).end(CONTENT.subarray(0, 4096));
    return true;
  },
  "does not say the size": (_request, response) => {
    response.writeHead(206, { "content-range": "bytes 0-4095/*", etag: '"1"' }).end(CONTENT.subarray(0, 4096));
    return true;
  },
  "sends more than it announced": (_request, response) => {
    response.writeHead(206, { "content-range": `bytes 0-4095/${SIZE}`, etag: '"1"' }).end(CONTENT.subarray(0, 5000));
    return true;
  },
  "compresses the range": (_request, response) => {
    response
      .writeHead(206, { "content-range": `bytes 0-4095/${SIZE}`, "content-encoding": "gzip", etag: '"1"' })
      .end(CONTENT.subarray(0, 4096));
    return true;
  },
};

for (const [name, misbehaviour] of Object.entries(liars))
  test(`a server that ${name} is refused`, async () => {
    const store = await HttpBacking.open(server.url, { ...QUICK, attempts: 2 });
    server.misbehave = misbehaviour;
    expect(await codeOf(read(store, 0, 4096))).toBe("store-contract");
  });

test("a server that ends early every time is unreachable", async () => {
  const store = await HttpBacking.open(server.url, { ...QUICK, attempts: 2 });
  server.misbehave = (_request, response, range) => {
    const start = Number(/\d+/.exec(range)?.[0]);
    response.writeHead(206, { "content-range": `bytes ${start}-4095/${SIZE}`, etag: '"1"' });
    response.end(CONTENT.subarray(start, start + 10));
    return true;
  };
  expect(await codeOf(read(store, 0, 4096))).toBe("store-unreachable");
});

test("a server that does not answer is given up after the time limit", async () => {
  const store = await HttpBacking.open(server.url, { ...QUICK, attempts: 1, timeoutMs: 2000 });
  server.misbehave = () => true;
  expect(await codeOf(read(store, 0, 4096))).toBe("store-unreachable");
});

test("an abort ends the attempts", async () => {
  const abort = new AbortController();
  const store = await HttpBacking.open(server.url, { ...QUICK, signal: abort.signal });
  const before = server.ranges.length;
  server.misbehave = () => {
    abort.abort();
    return true;
  };
  expect(await codeOf(read(store, 0, 4096))).toBe("store-unreachable");
  expect(server.ranges.length - before).toBe(1);
});

test("no server at all is unreachable", async () => {
  const { url } = server;
  await server.close();
  expect(await codeOf(HttpBacking.open(url, { ...QUICK, attempts: 2 }))).toBe("store-unreachable");
});

test("Content-Range is read exactly or not at all", () => {
  expect(parseContentRange("bytes 0-0/1")).toEqual({ start: 0, end: 1, size: 1 });
  expect(parseContentRange(" Bytes  5-9/10 ")).toEqual({ start: 5, end: 10, size: 10 });
  expect(parseContentRange("bytes 5-9/*")).toEqual({ start: 5, end: 10, size: -1 });
  expect(parseContentRange("bytes */10")).toEqual({ start: -1, end: -1, size: 10 });
  for (const bad of [null, "", "bytes", "items 0-1/2", "bytes 5-4/10", "bytes 0-10/10", "bytes 0-9007199254740992/*"])
    expect(parseContentRange(bad)).toBeNull();
});

for (const each of asyncBackingStoreSuite)
  test(`as every asynchronous store: ${each.name}`, () =>
    each.run(async () => ({ store: await HttpBacking.open(server.url, QUICK), content: CONTENT })));
