/* What a worker needs to join an allocator: plain data and buffers, as `postMessage` carries them. */
import type { Layout } from "./layout.ts";
import type { Watermarks } from "./ports.ts";
import type { TableBuffers } from "./tables.ts";

/** An allocator's state, to be handed to a worker thread. */
export interface PmmShare {
  /** Where each field lies. */
  readonly layout: Layout;
  /** The state itself; shared where the allocator was made with `shared: true`. */
  readonly buffer: ArrayBufferLike;
  /** The optional tables. */
  readonly tables: TableBuffers;
  /** Distances between nodes, by node index; see `PmmOptions.distances`. */
  readonly distances: readonly (readonly number[])[];
  /** Marks of each zone, by zone index. */
  readonly watermarks: readonly Watermarks[];
  /** Reserve of each zone in frames, by zone index. */
  readonly reserves: readonly number[];
  /** Names of the clients that were declared when the allocator was made. */
  readonly clients: readonly string[];
}
