/** What needs Node: heaps in files. @module */
export { FileHeap } from "./node/file-heap.ts";
export type { FileHeapOptions } from "./node/file-heap.ts";
