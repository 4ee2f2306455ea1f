/** Memory of every kind as a range source. @module */
export { BufferMemory } from "./buffer-memory.ts";
export type { PagedMemory, ViewType } from "./buffer-memory.ts";
export { NumberRange } from "./number-range.ts";
