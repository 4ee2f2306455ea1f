import { Option } from "commander";
import type { Command } from "commander";
import { DEFAULT_MAP, DEFAULT_TRACE } from "../data.ts";
import { wholeNumber, wordsOf } from "../options.ts";
import { failCheck, print } from "../output.ts";
import { parseRamSize } from "../ram-size.ts";
import { isClean, reportText } from "../replay/report.ts";
import { TLB_NAMES, parsePageSizes } from "../replay/page-size.ts";
import type { PageSizes } from "../replay/page-size.ts";
import { replay } from "../replay/replay.ts";

interface ReplayOptions {
  readonly map: string;
  readonly ram: string;
  readonly policy?: string;
  readonly swap: string;
  readonly swapFolder?: string;
  readonly cpus: number;
  readonly pages: PageSizes;
  readonly tlb: string;
  readonly prefetch: boolean;
  readonly rehearsal: boolean;
  readonly json?: boolean;
}

const MOST_CPUS = 64;

/** Adds `pagewright replay TRACE…`: recorded programs on the whole stack, every access checked. */
export function registerReplay(program: Command): void {
  program
    .command("replay")
    .summary("run page traces on the whole stack, every load checked against what was stored")
    .description(
      "Replay page-level access traces of real programs on a machine with page tables, TLBs, page faults, eviction and swap. "
        + "Every load is checked against what was stored, whole pages are verified, and the whole stack is audited. Several traces run together, "
        + "each in an address space of its own.",
    )
    .argument("[traces...]", "page traces, plain or .gz (default: a trace of SQLite that comes with the command)")
    .addOption(
      new Option("--map <file>", "firmware map of the machine").default(DEFAULT_MAP, "a ThinkPad T400 with 3 GiB"),
    )
    .option("--ram <size>", "frames for resident pages: 25% of the distinct pages, 64M, 1000f", "25%")
    .option("--policy <name>", "replacement policy, by name or as a path of a module (default: the manager's own)")
    .option(
      "--swap <tiers>",
      "swap tiers by priority: compressed (in front of a file unless another tier follows), compressed-only, file, "
        + "or the path of a module that makes a store; pages are striped over tiers with + between them: file+file",
      "file",
    )
    .option("--swap-folder <folder>", "where the swap file is made (default: the folder for temporary files)")
    .option("--cpus <n>", "logical processors", wholeNumber("--cpus", 1, MOST_CPUS), 1)
    .option(
      "--pages <size>",
      "4K, or 2M: memory and code in aligned units of 2 MiB, in 2M pages as far as --ram has room for whole ones",
      parsePageSizes,
      "4K",
    )
    .option("--tlb <name>", `TLBs of the processors: ${TLB_NAMES.join(", ")}`, TLB_NAMES[0])
    .option(
      "--no-prefetch",
      "fetch what is asked for and nothing else: neither read-ahead nor neighbours that are resident already",
    )
    .option(
      "--no-rehearsal",
      "start the clock cold: without running made-up programs on another stack until the host has compiled the code",
    )
    .option("--json", "print one JSON document")
    .action(async (traces: string[], options: ReplayOptions) => {
      const report = await replay({
        traces: traces.length === 0 ? [DEFAULT_TRACE] : traces,
        map: options.map,
        ram: parseRamSize(options.ram),
        policy: options.policy ?? null,
        swap: wordsOf(options.swap),
        swapFolder: options.swapFolder ?? null,
        cpus: options.cpus,
        pages: options.pages,
        tlb: options.tlb,
        prefetch: options.prefetch,
        rehearsed: options.rehearsal,
      });
      print(
        options.json,
        () => report,
        () => reportText(report),
      );
      if (!isClean(report)) failCheck();
    });
}
