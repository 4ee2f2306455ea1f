/** Tables that map 2^36 leaves: some eight seconds for each listing up to the limit. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { here } from "../program.ts";

const folder = mkdtempSync(join(tmpdir(), "pagewright-test-"));
const image = join(folder, "endless.img");

afterAll(() => {
  rmSync(folder, { recursive: true });
});

test("a listing that the limit of leaves ends says so, whatever its format, and does not pass for whole", async () => {
  // Root, directory pointers and directories that repeat one table, which maps 512 frames in a row: 2^36 leaves.
  const words = new BigUint64Array(4 * 512);
  for (let at = 0; at < words.length; at++) {
    const table = at >>> 9;
    words[at] = BigInt(table < 3 ? table + 1 : at % 512) * 4096n + 7n;
  }
  writeFileSync(image, new Uint8Array(words.buffer));
  const cut = /^pagewright: more than 67108864 leaves, nothing is listed from 0x4000000000 on: [^\n]*--range[^\n]*\n$/;
  const dump = ["dump", image, "--cr3", "0"];
  const mem = await here([...dump, "--format", "qemu-mem"]);
  expect(mem).toMatchObject({ code: 2, stdout: "0000000000000000-0000004000000000 0000004000000000 urw\n" });
  expect(mem.stderr).toMatch(cut);
  const json = await here([...dump, "--json"]);
  expect(json).toMatchObject({ code: 2, stdout: "" });
  expect(json.stderr).toMatch(cut);
  const against = await here([...dump, "--against", image]);
  expect(against).toMatchObject({ code: 2, stdout: "" });
  expect(against.stderr).toMatch(cut);
  expect(await here([...dump, "--format", "qemu-mem", "--range", "0x0+0x4000000000"])).toMatchObject({
    code: 0,
    stdout: mem.stdout,
    stderr: "",
  });
}, 300_000);
