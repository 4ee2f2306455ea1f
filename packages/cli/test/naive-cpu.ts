/** A processor over a map of pages: no tables, no faults, nothing to get wrong, and a way to get things wrong. */
import type { ProgramCpu } from "../src/replay/traced-program.ts";

/** Flat memory behind the interface of a processor; absent pages read as zero, or as file pages where given. */
export class NaiveCpu implements ProgramCpu {
  readonly #pages = new Map<number, Uint8Array>();

  /** Returns the bytes of a page, for a test to spoil. */
  page(vpn: number): Uint8Array {
    const page = this.#pages.get(vpn) ?? new Uint8Array(4096);
    this.#pages.set(vpn, page);
    return page;
  }

  load32(va: number): number {
    return new DataView(this.page(Math.floor(va / 4096)).buffer).getUint32(va & 4095, true);
  }

  fetch32(va: number): number {
    return this.load32(va);
  }

  store32(va: number, value: number): boolean {
    new DataView(this.page(Math.floor(va / 4096)).buffer).setUint32(va & 4095, value, true);
    return true;
  }

  copyIn(va: number, bytes: Uint8Array): boolean {
    this.page(Math.floor(va / 4096)).set(bytes, va & 4095);
    return true;
  }

  copyOut(va: number, into: Uint8Array): boolean {
    into.set(this.page(Math.floor(va / 4096)));
    return true;
  }
}
