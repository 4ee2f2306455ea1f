/**
 * Message passing by page tables: one process fills part of 1 GiB, hands it over, and the other one reads it at an address of its own. No page of it
 * is touched on the way; the sender cannot reach it any more. Then they share another 1 GiB through the very same tables.
 */
import { physicalMapFromJson } from "@pagewright/machine";
import { createStack } from "@pagewright/stack";

const GIB = 2 ** 30;
const PAGE = 4096;
const WRITTEN = 300;

const map = physicalMapFromJson({ entries: [{ base: 2 ** 20, length: 63 * 2 ** 20, type: 1 }] });
const stack = createStack({ map });
const { vmm } = stack;
const sender = vmm.createSpace();
const receiver = vmm.createSpace();
const message = sender?.map({ bytes: GIB, alignment: GIB }) ?? "no-memory";
if (sender === null || receiver === null || typeof message === "string") throw new Error("nothing can be mapped");

let cpu = stack.enter(sender);
for (let page = 0; page < WRITTEN; page++) cpu.store32(message + page * 800 * PAGE, page * page);
const faults = vmm.stats.minorFaults;
const frames = vmm.residentPages;

const letter = sender.transfer(message, GIB, receiver);
if (typeof letter === "string") throw new Error(letter);
console.log(
  `1 GiB handed over: faults meanwhile ${vmm.stats.minorFaults - faults}, frames ${frames} before, ${vmm.residentPages} after`,
);
console.log(`the sender reads ${cpu.load32(message)}: it is not mapped there any more`);

cpu = stack.enter(receiver);
let right = 0;
for (let page = 0; page < WRITTEN; page++) if (cpu.load32(letter + page * 800 * PAGE) === page * page) right++;
console.log(`the receiver finds ${right} of ${WRITTEN} pages as they were written`);
console.log(`faults of the receiver: ${vmm.stats.minorFaults - faults}`);

cpu.store32(letter, 4242);
const answer = receiver.transfer(letter, GIB, sender, message);
cpu = stack.enter(sender);
console.log(`and back to the same address: ${answer === message}, with the answer ${cpu.load32(message)}`);

// ---- sharing: the same tables in both, so that what one has faulted in the other finds
const board = vmm.createAnonymous(GIB);
const written = sender.map({ bytes: GIB, alignment: GIB, object: board, shared: true });
if (typeof written === "string") throw new Error(written);
const tables = stack.tables.tableFrames;
const read = sender.share(written, GIB, receiver);
if (typeof read === "string") throw new Error(read);
console.log(`512 tables in common: ${stack.tables.shares.size}, made for it: ${stack.tables.tableFrames - tables}`);
cpu = stack.enter(sender);
cpu.store32(written + 77 * PAGE, 77);
const before = vmm.stats.minorFaults;
cpu = stack.enter(receiver);
console.log(`the receiver reads ${cpu.load32(read + 77 * PAGE)} with ${vmm.stats.minorFaults - before} faults`);
receiver.protect(read, PAGE, 1);
console.log(
  `after changing rights of one page it shares ${stack.tables.shares.size}, and still reads ${cpu.load32(read + 77 * PAGE)}`,
);
stack.check();
