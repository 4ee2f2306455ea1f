/** Runs the native twin: compiles `fault.c` with the C compiler that is here. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { platform, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Nanoseconds that Linux takes here, by figure. */
export interface LinuxFigures {
  /** First store to an anonymous page. */
  readonly storeFault: number;
  /** fork with 100,000 resident pages. */
  readonly clone: number;
  /** mmap + munmap of a page among 10,000 regions. */
  readonly mapUnmap: number;
}

/** What Linux takes on this machine now; null where there is no Linux or no C compiler. */
export function measureLinux(): LinuxFigures | null {
  if (platform() !== "linux" || spawnSync("cc", ["--version"]).status !== 0) return null;
  const folder = mkdtempSync(join(tmpdir(), "pagewright-fault-"));
  try {
    const program = join(folder, "fault");
    const source = fileURLToPath(new URL("fault.c", import.meta.url));
    const compiled = spawnSync("cc", ["-O2", "-Wall", "-Wextra", "-o", program, source], { encoding: "utf8" });
    if (compiled.status !== 0) throw new Error(compiled.stderr);
    const run = spawnSync(program, [], { encoding: "utf8" });
    if (run.status !== 0) throw new Error(`fault.c ended with ${String(run.status)}: ${run.stderr}`);
    const figures = new Map(run.stdout.split("\n").map((line) => line.split(" ") as [string, string]));
    const figure = (name: string): number => {
      const value = Number(figures.get(name));
      if (!(value > 0)) throw new Error(`fault.c printed no ${name}`);
      return value;
    };
    return { storeFault: figure("store-fault"), clone: figure("clone"), mapUnmap: figure("map-unmap") };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
