import { describe, expect, test } from "vitest";
import { decodePageTrace, FETCH, LOAD, STORE } from "../src/page-trace.ts";
import { PageContents } from "../src/replay/page-contents.ts";
import { KilledProgram, TracedProgram } from "../src/replay/traced-program.ts";
import { layoutOf, placesOf } from "../src/replay/trace-layout.ts";
import { NaiveCpu } from "./naive-cpu.ts";
import { encodePageTrace } from "./page-trace-encoder.ts";

/** Page 0 is stored to, 1 only fetched, 2 and 3 only loaded, 4 stored to and fetched; 3 and 4 are not neighbours. */
const trace = decodePageTrace(
  encodePageTrace({
    vpns: [16, 17, 18, 19, 40],
    records: [
      [0, LOAD, 1],
      [0, STORE, 1],
      [1, FETCH, 3],
      [2, LOAD, 1],
      [3, LOAD, 1],
      [4, FETCH, 1],
      [4, STORE, 1],
      [0, LOAD, 1],
      [0, LOAD, 1],
      [4, LOAD, 1],
    ],
  }),
  "trace",
);

const contents = new PageContents(Uint8Array.from({ length: 8192 }, (_, at) => at % 251));

function start(): { program: TracedProgram; cpu: NaiveCpu } {
  const program = new TracedProgram(trace, contents, 7);
  const cpu = new NaiveCpu();
  const file = program.fileBytes();
  for (const { filePage, vpn, pages } of program.layout.regions)
    for (let page = 0; filePage >= 0 && page < pages; page++)
      cpu.page(vpn + page).set(file.subarray((filePage + page) * 4096, (filePage + page + 1) * 4096));
  return { program, cpu };
}

describe("a traced program", () => {
  test("is laid out by what the trace does with its pages", () => {
    expect(layoutOf(trace, trace.vpns)).toMatchObject({
      filePages: 3,
      regions: [
        { firstPage: 0, pages: 1, vpn: 16, stored: true, fetched: false, filePage: -1 },
        { firstPage: 1, pages: 1, vpn: 17, stored: false, fetched: true, filePage: 0 },
        { firstPage: 2, pages: 2, vpn: 18, stored: false, fetched: false, filePage: 1 },
        { firstPage: 4, pages: 1, vpn: 40, stored: true, fetched: true, filePage: -1 },
      ],
    });
  });

  test("is moved as a whole where user programs may have no pages", () => {
    expect([...placesOf(Float64Array.of(16, 17, 2 ** 34))]).toEqual([16, 17, 2 ** 34]);
    expect([...placesOf(Float64Array.of(0, 1, 1000, 5000))]).toEqual([512, 513, 1512, 1512 + 512 + (4000 % 512)]);
    expect([...placesOf(Float64Array.of(2 ** 44 - 1))]).toEqual([1023]);
  });

  test("runs without a mismatch on memory that keeps what it is given", () => {
    const { program, cpu } = start();
    while (!program.done) program.run(cpu, 3);
    expect(program.verify(cpu)).toBe(5);
    expect(program).toMatchObject({ loadsChecked: 6, fetchesChecked: 2, mismatches: 0, position: 10 });
  });

  test("notices one changed bit at a latest stamp when it is loaded", () => {
    const { program, cpu } = start();
    program.run(cpu, 8);
    cpu.page(16).forEach((byte, at, page) => (page[at] = byte ^ 1));
    program.run(cpu, 1);
    expect(program.mismatches).toBe(1);
  });

  test("notices one changed byte anywhere when whole pages are compared", () => {
    const { program, cpu } = start();
    program.run(cpu, 10);
    cpu.page(19)[4095]! ^= 0x80;
    program.verify(cpu);
    expect(program.mismatches).toBe(1);
  });

  test("notices memory that was not zero when it was first touched", () => {
    const { program, cpu } = start();
    cpu.page(40)[77] = 1;
    program.run(cpu, 10);
    expect(program.mismatches).toBe(1);
  });

  test("notices a page in the place of another one with the same contents", () => {
    const { program, cpu } = start();
    cpu.page(17).set(cpu.page(19));
    program.run(cpu, 10);
    program.verify(cpu);
    expect(program.mismatches).toBeGreaterThan(0);
  });

  test("is killed by an access that ends in a fault", () => {
    const { program, cpu } = start();
    cpu.load32 = () => -1;
    expect(() => program.run(cpu, 10)).toThrow(new KilledProgram("the program cannot access page 0x10"));
  });
});
