/** Adds to a list in a heap file, a checkpoint after every few, until it is ended; says how far it is after each. */
import { FileHeap } from "@pagewright/heap/node";

const [path = ""] = process.argv.slice(2);
const file = FileHeap.open(path, { bytes: 256 * 4096 });
const words = new Int32Array(file.buffer);
// Word 0 of the root: how many cells the list has; 1: the first. A cell: its number, the next one, and as many words of its number as it is long.
if (file.root === -1) {
  file.root = file.heap.allocate(8);
  words.set([0, 0], file.root / 4);
  file.checkpoint();
}
const root = file.root / 4;
for (;;) {
  for (let round = 0; round < 5; round++) {
    const number = words[root]! + 1;
    const cell = file.heap.allocate(8 + (number % 500) * 4);
    if (cell === -1 || number % 400 === 0) {
      for (let at = words[root + 1]!; at !== 0;) {
        const next = words[at / 4 + 1]!;
        file.heap.free(at);
        at = next;
      }
      if (cell !== -1) file.heap.free(cell);
      words.set([0, 0], root);
      continue;
    }
    words.set([number, words[root + 1]!], cell / 4);
    words.fill(number, cell / 4 + 2, cell / 4 + 2 + (number % 500));
    words.set([number, cell], root);
  }
  file.checkpoint();
  process.stdout.write(".");
}
