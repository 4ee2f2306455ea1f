/**
 * Page tables without a machine: `@pagewright/x86-paging` builds them in any typed array and walks them as a processor does.
 *
 * The kernel of this example lies at the top of the address space, its stack above a page that is not there, and a user page
 * below. What a processor would do with an access is a number: 0, or the error code that a page fault would push.
 */
import {
  ACCESS_READ,
  ACCESS_USER,
  ACCESS_WRITE,
  attributes,
  FAULT_PRESENT,
  FAULT_USER,
  FAULT_WRITE,
  formatAddress,
  highWord,
  lowWord,
  Mapper,
  MODE_4_LEVEL,
  PagingState,
  physOf,
  TRANSLATED,
  virtOf,
  vpnOf,
  Walk,
  walk,
} from "@pagewright/x86-paging";
import type { Pfn, VirtAddr } from "@pagewright/x86-paging";

// Sixteen frames of memory, all of them for tables; frame 0 will be the root.
const words = new Uint32Array(16 * 1024);
const memory = { words: () => words, base: (pfn: Pfn) => pfn * 1024 };
let used = 0;
const frames = { take: (): Pfn => used++, give: () => undefined };

const mapper = Mapper.create({ mode: MODE_4_LEVEL, memory, frames });
if (!(mapper instanceof Mapper)) throw new Error(mapper.reason);
const kernel = vpnOf(-(2 ** 31));
mapper.map(kernel, 512, 512, attributes({ execute: true }));
mapper.map(vpnOf(-4096), 1, 300, attributes({ write: true }));
mapper.map(vpnOf(0x40_0000), 1, 301, attributes({ user: true, execute: true }));

const state = new PagingState({ mode: MODE_4_LEVEL, root: mapper.root, noExecute: true, writeProtect: true });
const result = new Walk();

function show(what: string, address: VirtAddr, access: number): void {
  const code = walk(state, memory, lowWord(address), highWord(address), access, result);
  const end =
    code === TRANSLATED
      ? `→ ${formatAddress(lowWord(physOf(result.pfn)), highWord(physOf(result.pfn)))}`
      : `→ page fault, ${causesOf(code)}`;
  console.log(`${what.padEnd(28)} ${formatAddress(lowWord(address), highWord(address))} ${end}`);
}

function causesOf(code: number): string {
  const causes = [
    (code & FAULT_PRESENT) === 0 ? "not present" : "not allowed",
    (code & FAULT_WRITE) === 0 ? "read" : "write",
    (code & FAULT_USER) === 0 ? "by the kernel" : "by the user",
  ];
  return causes.join(", ");
}

show("the kernel reads its code", virtOf(kernel), ACCESS_READ);
show("the kernel writes its code", virtOf(kernel), ACCESS_WRITE);
show("the kernel uses its stack", -4096, ACCESS_WRITE);
show("the stack overflows", -8192, ACCESS_WRITE);
show("the user reads its page", 0x40_0000, ACCESS_READ | ACCESS_USER);
show("the user reads the kernel", virtOf(kernel), ACCESS_READ | ACCESS_USER);
console.log(`${used} tables`);
