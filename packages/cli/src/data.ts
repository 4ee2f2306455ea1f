/** Files shipped with the command; `data/README.md` says where they come from. */
import { fileURLToPath } from "node:url";

/** The module lies one folder below the package's root, in `src` and in `dist`. */
const DATA = new URL("../data/", import.meta.url);

/** The trace that is replayed when none is named. */
export const DEFAULT_TRACE: string = fileURLToPath(new URL("sqlite-index.window.pgt.gz", DATA));
/** The machine that is used when none is named. */
export const DEFAULT_MAP: string = fileURLToPath(new URL("thinkpad-t400-3g.json", DATA));
/** Pages of real processes, 4,096 bytes each. */
export const REAL_PAGES: string = fileURLToPath(new URL("pages.gz", DATA));
