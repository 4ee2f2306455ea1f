/**
 * The compressed pool: storing and reading pages of real processes, and how full its frames are, beside the naive twin: a Map
 * of compressed arrays on the JavaScript heap.
 *
 *     node --conditions=@pagewright/source --import tsx benchmarks/compress/compressed-pool.bench.ts [--json]
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { PlainMemory } from "@pagewright/vmm";
import { CompressedPool, Lz4Block, type SwapStore } from "@pagewright/vmm/swap";
import { pageSets } from "./pages.ts";

const ROUNDS = 9;

interface Row {
  readonly set: string;
  readonly storeNs: number;
  readonly loadNs: number;
  /** Frame bytes for each compressed byte. */
  readonly overhead: number;
}

/** Compressed pages as arrays of their own. */
class MapStore implements SwapStore {
  readonly slots: number;
  readonly #pages: Map<number, Uint8Array> = new Map();
  readonly #lz4: Lz4Block = new Lz4Block();
  readonly #to: Uint8Array = new Uint8Array(8192);

  constructor(slots: number) {
    this.slots = slots;
  }

  write(slot: number, from: Uint8Array): "ok" {
    this.#pages.set(slot, this.#to.slice(0, this.#lz4.compress(from, this.#to)));
    return "ok";
  }

  read(slot: number, into: Uint8Array): "ok" | "failed" {
    const packed = this.#pages.get(slot);
    return packed !== undefined && this.#lz4.expand(packed, packed.length, into) ? "ok" : "failed";
  }
}

function measure(name: string): Row[] {
  return pageSets().map(({ name: set, pages }) => {
    const memory = new PlainMemory(pages.length + 4);
    const pool = new CompressedPool({
      frames: memory,
      window: memory,
      limitFrames: pages.length,
      slots: pages.length,
    });
    const store: SwapStore = name === "pool" ? pool : new MapStore(pages.length);
    const into = new Uint8Array(4096);
    let storeNs = Infinity;
    let loadNs = Infinity;
    const kept = pages.map((page, slot) => store.write(slot, page) === "ok");
    for (let round = 0; round < ROUNDS; round++) {
      const started = performance.now();
      for (let slot = 0; slot < pages.length; slot++) if (kept[slot] === true) store.write(slot, pages[slot] ?? into);
      const stored = performance.now();
      for (let slot = 0; slot < pages.length; slot++) if (kept[slot] === true) store.read(slot, into);
      storeNs = Math.min(storeNs, ((stored - started) * 1e6) / pages.length);
      loadNs = Math.min(loadNs, ((performance.now() - stored) * 1e6) / pages.length);
    }
    const { frames, packedBytes } = pool.stats();
    return { set, storeNs, loadNs, overhead: packedBytes === 0 ? 1 : (frames * 4096) / packedBytes };
  });
}

function measureApart(name: string): Row[] {
  const args = [...process.execArgv, fileURLToPath(import.meta.url), "--one", name];
  const child = spawnSync(process.execPath, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  return JSON.parse(child.stdout) as Row[];
}

const one = process.argv.indexOf("--one");
if (one >= 0) process.stdout.write(JSON.stringify(measure(process.argv[one + 1] ?? "")));
else {
  const naive = measureApart("map");
  measureApart("pool").forEach(({ set, storeNs, loadNs, overhead }, i) => {
    const twin = naive[i];
    console.log(
      `${set.padEnd(14)} store ${storeNs.toFixed(0)} ns (Map ${twin?.storeNs.toFixed(0) ?? ""})  `
        + `load ${loadNs.toFixed(0)} ns (Map ${twin?.loadNs.toFixed(0) ?? ""})  ${overhead.toFixed(3)} frame bytes a compressed byte`,
    );
    if (!process.argv.includes("--json")) return;
    const figure = (metric: string, value: number, unit: string, ratioTo: string, ratio: number): string =>
      JSON.stringify({
        bench: "compressed-pool",
        metric: `${set}: ${metric}`,
        value: Number(value.toFixed(3)),
        unit,
        ratioTo,
        ratio: Number(ratio.toFixed(3)),
      });
    console.log(figure("store", storeNs, "ns a page", "Map of arrays", storeNs / (twin?.storeNs ?? storeNs)));
    console.log(figure("load", loadNs, "ns a page", "Map of arrays", loadNs / (twin?.loadNs ?? loadNs)));
    console.log(figure("frame bytes", overhead, "× compressed bytes", "compressed bytes", overhead));
  });
}
