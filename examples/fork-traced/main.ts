/**
 * What a fork costs, fault by fault: the clone shares every page; the first store on either side copies one, and the last sharer copies
 * nothing.
 */
import { PlainMemory, READ, SpaceMemory, USER, Vmm, WRITE, isResolved, type AddressSpace } from "@pagewright/vmm";

const PAGE = 4096;
const memory = new PlainMemory(64);
const vmm = new Vmm({ frames: memory, window: memory });
const parent = vmm.createSpace();
const at = parent?.map({ bytes: 4 * PAGE }) ?? "no-memory";
if (parent === null || typeof at === "string") throw new Error("nothing can be mapped");

/** Loads or stores as a processor would: on a fault, the outcome is printed and the access tried again. */
function access(who: string, space: AddressSpace, page: number, letter?: string): void {
  const kind = letter === undefined ? READ : WRITE;
  const address = at as number;
  const faults: string[] = [];
  while ((space.tables.query(Math.floor(address / PAGE) + page) & kind) === 0) {
    const outcome = space.fault(address + page * PAGE, kind + USER);
    faults.push(outcome);
    if (!isResolved(outcome)) break;
  }
  const bytes = new SpaceMemory(space);
  if (letter !== undefined) bytes.store8(address + page * PAGE, letter.charCodeAt(0));
  const verb = letter === undefined ? "loads " : `stores ${letter} to`;
  const fault = faults.length === 0 ? "no fault" : `fault: ${faults.join(", ")}`;
  console.log(`${who} ${verb} page ${page}: ${fault}`);
}

/** The first byte of each page. */
function look(space: AddressSpace): string {
  const bytes = new SpaceMemory(space);
  return [0, 1, 2, 3].map((page) => String.fromCharCode(bytes.load8((at as number) + page * PAGE) || 46)).join("");
}

for (const [page, letter] of ["a", "b", "c"].entries()) access("parent", parent, page, letter);
console.log(`frames in use: ${vmm.residentPages}`);

const child = parent.clone();
if (child === null) throw new Error("no frame for a clone");
console.log(`-- fork: frames in use: ${vmm.residentPages}`);

access("child ", child, 0);
access("child ", child, 0, "x");
access("parent", parent, 0, "p");
access("parent", parent, 1, "q");
access("child ", child, 1, "y");
access("child ", child, 3);
access("child ", child, 3, "z");
console.log(`parent ${look(parent)}, child ${look(child)}, frames in use: ${vmm.residentPages}`);

child.destroy();
console.log(`-- the child exits: parent ${look(parent)}, frames in use: ${vmm.residentPages}`);
access("parent", parent, 2, "r");
vmm.check();
