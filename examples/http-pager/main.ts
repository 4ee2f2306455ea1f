/**
 * Memory whose pages lie on a web server: a pager of one's own fetches them by HTTP ranges when they are needed.
 *
 * The server runs in this program. The file has 4 MiB; the program follows a linked list through it and touches a dozen pages, and no more than those
 * are ever transferred.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

import { PlainMemory, READ, Vmm, type Pager } from "@pagewright/vmm";
import { HttpBacking } from "@pagewright/vmm/browser";

const PAGE = 4096;
const FILE_PAGES = 1024;
const NODES = 12;

// The file: node n lies at a page of its own and holds the page of node n + 1, and a value.
const file = new Uint8Array(FILE_PAGES * PAGE);
const words = new Uint32Array(file.buffer);
const pageOfNode = (node: number): number => (node * 389) & (FILE_PAGES - 1);
for (let node = 0; node < NODES; node++) {
  words[pageOfNode(node) * 1024] = node + 1 < NODES ? pageOfNode(node + 1) : 0;
  words[pageOfNode(node) * 1024 + 1] = (node + 1) ** 2;
}

const server = createServer((request, response) => {
  const [start = 0, last = 0] = (request.headers.range ?? "bytes=0-0").slice(6).split("-").map(Number);
  response.writeHead(206, { "content-range": `bytes ${start}-${last}/${file.length}`, etag: '"first"' });
  response.end(file.subarray(start, last + 1));
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const { port } = server.address() as AddressInfo;

const remote = await HttpBacking.open(`http://127.0.0.1:${port}/list`);
const pager: Pager = {
  request: async (index, into): Promise<"filled"> => {
    await remote.readLater(index * PAGE, into);
    return "filled";
  },
};

const memory = new PlainMemory(64);
const vmm = new Vmm({ frames: memory, window: memory, residentLimit: 16 });
const list = vmm.createPaged(remote.size(), pager, { again: true });
const space = vmm.createSpace();
const at = space?.map({ bytes: list.size, object: list, shared: true, rights: READ }) ?? "no-memory";
if (space === null || typeof at === "string") throw new Error("the file cannot be mapped");

console.log(`a load of a page that is not there: ${space.fault(at, READ)}`);
const outcome = await space.run((bytes) => {
  let sum = 0;
  for (let page = pageOfNode(0), node = 0; node < NODES; node++) {
    sum += bytes.load32(at + page * PAGE + 4);
    page = bytes.load32(at + page * PAGE);
  }
  return sum;
});
if (outcome.done) console.log(`the squares of 1 to ${NODES} add up to ${outcome.value}`);
console.log(`${(remote.stats().readBytes - 1) / PAGE} of ${FILE_PAGES} pages were transferred`);

vmm.check();
server.closeAllConnections();
server.close();
