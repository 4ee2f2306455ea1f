import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { BufferMemory, encodeProfile, GeneralHeap, Profiler } from "@pagewright/heap";
import type { StackFrame } from "@pagewright/heap";

function profilerWith(stack?: () => readonly StackFrame[]): Profiler {
  let state = 1;
  const random = (): number => (state = (state * 16807) % 2147483647) / 2147483647;
  const inner = new GeneralHeap(new BufferMemory(new ArrayBuffer(2 ** 24)));
  return new Profiler(inner, { intervalBytes: 4096, random, ...(stack === undefined ? {} : { stack }) });
}

/** Half the blocks are big and freed again, half are small and stay. */
function runTwoSites(): Profiler {
  let site = "big";
  const profiler = profilerWith(() => [
    { name: site, file: "app.js", line: site === "big" ? 10 : 20 },
    { name: "main", file: "app.js", line: 3 },
  ]);
  const blocks: number[] = [];
  for (let at = 0; at < 4000; at++) {
    site = at % 2 === 0 ? "big" : "small";
    blocks.push(profiler.allocate(site === "big" ? 3000 : 100));
  }
  for (let at = 0; at < 4000; at += 2) profiler.free(blocks[at] ?? 0);
  return profiler;
}

describe("the profiler", () => {
  test("estimates come close to what was allocated, and live ones to what is live", () => {
    const samples = runTwoSites().samples();
    const big = samples.find(({ stack }) => stack[0]?.name === "big");
    const small = samples.find(({ stack }) => stack[0]?.name === "small");
    expect(big?.allocatedBytes).toBeGreaterThan(5.4e6);
    expect(big?.allocatedBytes).toBeLessThan(6.6e6);
    expect(big?.liveBytes).toBe(0);
    expect(small?.liveBytes).toBeGreaterThan(0.1e6);
    expect(small?.liveBytes).toBeLessThan(0.4e6);
  });

  test("names the function, file and line that asked", () => {
    const profiler = profilerWith();
    const askForMemory = (): number => profiler.allocate(2 ** 20);
    askForMemory();
    const [sample] = profiler.samples();
    expect(sample?.stack[0]?.name).toMatch(/askForMemory/);
    expect(sample?.stack[0]?.file).toMatch(/profiler\.test\.ts/);
    expect(sample?.stack[0]?.line).toBeGreaterThan(1);
  });

  test("blocks of one stack are one line, and a block that lies where a freed one lay is its own", () => {
    const profiler = profilerWith();
    const ask = (): number => profiler.allocate(2 ** 18);
    const blocks: number[] = [];
    for (let round = 0; round < 50; round++) {
      blocks.push(ask());
      if (round % 3 !== 0) profiler.free(blocks.splice(round % blocks.length, 1)[0] ?? 0);
    }
    const samples = profiler.samples();
    expect(samples.length).toBe(1);
    expect([samples[0]?.allocatedObjects, samples[0]?.liveObjects]).toEqual([50, blocks.length]);
    for (const block of blocks) profiler.free(block);
    expect(profiler.samples()[0]).toMatchObject({ allocatedObjects: 50, liveObjects: 0, liveBytes: 0 });
  });

  test("a profile is the message that profile.proto says", () => {
    const sample = { allocatedObjects: 1, allocatedBytes: 300, liveObjects: 0, liveBytes: 0 };
    const bytes = encodeProfile([{ stack: [{ name: "f" }], ...sample }], 5);
    const text = new TextDecoder("latin1").decode(bytes);
    for (const word of ["alloc_objects", "inuse_space", "count", "bytes", "f"]) expect(text).toContain(word);
    // sample { location_id: 1, value: 1 300 0 0 }: field 2, length 10
    expect([...bytes].join(" ")).toContain("18 10 10 1 1 18 5 1 172 2 0 0");
  });
});

/** The command line of Google's pprof, or null where neither it nor Go is installed. */
function findPprof(): readonly string[] | null {
  const debian = existsSync("/usr/lib") ? readdirSync("/usr/lib").filter((name) => /^go-\d/.test(name)) : [];
  const candidates = [
    ["pprof"],
    ["go", "tool", "pprof"],
    ...debian.map((name) => [`/usr/lib/${name}/bin/go`, "tool", "pprof"]),
  ];
  return (
    candidates.find(([program = "", ...args]) => spawnSync(program, [...args, "-help"]).error === undefined) ?? null
  );
}

const pprof = findPprof();

describe.skipIf(pprof === null)(
  `a profile in Google's pprof (${pprof?.join(" ") ?? "neither pprof nor go is installed"})`,
  () => {
    /** What pprof prints of the profile of {@link runTwoSites}. */
    function report(...options: readonly string[]): string {
      const folder = mkdtempSync(join(tmpdir(), "pagewright-pprof-"));
      try {
        const file = join(folder, "heap.pb");
        writeFileSync(file, runTwoSites().encode());
        const [program = "", ...args] = pprof ?? [];
        const run = spawnSync(program, [...args, ...options, file], {
          encoding: "utf8",
          env: { ...process.env, HOME: folder },
        });
        expect(run.status, run.stderr).toBe(0);
        return run.stdout;
      } finally {
        rmSync(folder, { recursive: true });
      }
    }

    test("live bytes come first, by function", () => {
      const text = report("-top", "-unit=B");
      expect(text).toMatch(/^Type: inuse_space$/m);
      const [, bytes = "0"] = /^ *(\d+)B +100% +100% +\d+B +100% +small$/m.exec(text) ?? [];
      expect(Number(bytes)).toBeGreaterThan(100_000);
      expect(text).toMatch(/^ +0 +0% +100% +\d+B +100% +main$/m);
    });

    test("allocated objects by line", () => {
      const text = report("-top", "-lines", "-sample_index=alloc_objects");
      expect(text).toMatch(/ big app\.js:10$/m);
      expect(text).toMatch(/ small app\.js:20$/m);
    });
  },
);
