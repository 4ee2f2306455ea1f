/*
 * Blocks are runs of words, addresses are the source's. In band a block starts one word before its address, in the memory itself; in parallel it
 * starts at its address, in an array of its own:
 *
 *      address = base + granule × ((block + header) / words of a granule)
 */

/** A run of words `[start, end)` that were taken together; `base` is the address of granule 0, if it began there. */
export interface Region {
  readonly start: number;
  end: number;
  readonly base: number;
}

/** How words and addresses go together. */
export interface Geometry {
  /** Bytes of a granule, the unit of addresses and sizes; a power of two. */
  readonly granule: number;
  /** log2 of the words of a granule. */
  readonly unitShift: number;
  /** Words by which a block starts below its address: 1 where the tags are in band, else 0. */
  readonly header: number;
}

/** What knows where its regions are. */
export interface RegionMap {
  readonly regions: readonly Region[];
  readonly geometry: Geometry;
}

/** The address of a block. */
export function addressOf({ regions, geometry }: RegionMap, block: number): number {
  const region = regions.find(({ end }) => block < end);
  return (region?.base ?? 0) + ((block + geometry.header) >>> geometry.unitShift) * geometry.granule;
}

/** The block that would start at an address, or −1. */
export function blockAt({ regions, geometry }: RegionMap, address: number): number {
  for (const { start, end, base } of regions) {
    const granules = (address - base) / geometry.granule;
    const block = granules * 2 ** geometry.unitShift - geometry.header;
    if (block >= start && block < end - 1 && Number.isInteger(granules)) return block;
  }
  return -1;
}
