/** Which part of the tables a dump shows. */
import { RIGHT_EXECUTE, RIGHT_USER, RIGHT_WRITE, vpnOfBigint } from "@pagewright/x86-paging";
import type { Vpn } from "@pagewright/x86-paging";
import { rangeOf } from "../page-range.ts";

/** The options that filter. */
export interface FilterOptions {
  readonly range?: string;
  readonly physical?: string;
  readonly writable?: boolean;
  readonly executable?: boolean;
  readonly user?: boolean;
}

/** What a leaf or run must be like. */
export interface Filter {
  /** Restricts the pages looked at. */
  readonly pages: { readonly vpn?: Vpn; readonly pages?: number };
  /** Whether anything but the pages is restricted. */
  readonly active: boolean;
  accept(leaf: { readonly rights: number; readonly pfn: number; readonly pages: number }): boolean;
}

/** Reads the options. A run that only reaches into the physical range counts. */
export function filterOf(options: FilterOptions): Filter {
  const range = options.range === undefined ? undefined : rangeOf("--range", options.range);
  const physical = options.physical === undefined ? undefined : rangeOf("--physical", options.physical);
  const need =
    (options.writable === true ? RIGHT_WRITE : 0)
    | (options.executable === true ? RIGHT_EXECUTE : 0)
    | (options.user === true ? RIGHT_USER : 0);
  const first = Number((physical?.start ?? 0n) / 4096n);
  const last = physical === undefined ? Infinity : Number(physical.end / 4096n);
  return {
    pages:
      range === undefined ? {} : { vpn: vpnOfBigint(range.start), pages: Number((range.end - range.start) / 4096n) },
    active: need !== 0 || physical !== undefined,
    accept: ({ rights, pfn, pages }) => (rights & need) === need && pfn < last && pfn + pages > first,
  };
}
