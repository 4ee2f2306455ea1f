/** A small web server that serves one file by ranges, well or badly. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** Answers a request in another way than the well-behaved one; true if it did. */
export type Misbehaviour = (request: IncomingMessage, response: ServerResponse, range: string) => boolean;

/** A running server. */
export interface RangeServer {
  /** Where its file is. */
  readonly url: string;
  /** The file; may be replaced. */
  content: Uint8Array;
  /** The entity tag sent with it; may be replaced. */
  etag: string;
  /** What it does instead, if anything. */
  misbehave: Misbehaviour | null;
  /** The Range headers received so far. */
  readonly ranges: string[];
  /** Stops it. */
  close(): Promise<void>;
}

/** Starts a server for `content` on a free port of this machine. */
export async function serveRanges(content: Uint8Array): Promise<RangeServer> {
  const server: Server = createServer((request, response) => {
    const range = request.headers.range ?? "";
    running.ranges.push(range);
    if (running.misbehave?.(request, response, range) === true) return;
    const match = /^bytes=(\d+)-(\d+)$/.exec(range);
    response.setHeader("etag", running.etag);
    if (match === null) {
      response.end(running.content);
      return;
    }
    const start = Number(match[1]);
    const end = Math.min(Number(match[2]) + 1, running.content.length);
    if (start >= running.content.length) {
      response.writeHead(416, { "content-range": `bytes */${running.content.length}` }).end();
      return;
    }
    response.writeHead(206, {
      "content-range": `bytes ${start}-${end - 1}/${running.content.length}`,
      "content-length": String(end - start),
    });
    response.end(running.content.subarray(start, end));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const running: RangeServer = {
    url: `http://127.0.0.1:${port}/file`,
    content,
    etag: '"1"',
    misbehave: null,
    ranges: [],
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return running;
}
