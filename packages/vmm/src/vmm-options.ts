/** What a manager is made of: ports, and settings that hold for all its spaces. */
import type { CommitPolicy } from "./commit.ts";
import type { FrameReserve } from "./frames/frame-reserve.ts";
import type { LargePageUse } from "./large/large-pages.ts";
import type {
  AddressSpaceSwitch,
  Clock,
  FramePressure,
  FrameSource,
  FrameWindow,
  Interleaving,
  MemoryTypes,
  Random,
  ReplacementPolicy,
  SpecialFrames,
  TlbControl,
  TranslationSystem,
} from "./ports.ts";
import type { OutOfMemoryHandler } from "./pressure/last-resort.ts";
import type { OutOfMemoryPolicy } from "./pressure/out-of-memory.ts";
import type { SwapPriority } from "./swap/swap-space.ts";
import type { Pfn } from "./units.ts";

/** What is done about pages that would be writable and executable at once. */
export type WriteExecutePolicy = "off" | "warn" | "enforce";

/** Ports and settings of a manager. Only frames and window are needed. */
export interface VmmOptions {
  /** Where frames come from. */
  readonly frames: FrameSource;
  /** How their bytes are reached. */
  readonly window: FrameWindow;
  /** Tables of spaces; in plain memory by default. */
  readonly tables?: TranslationSystem;
  /** Invalidation on processors; none by default. */
  readonly tlb?: TlbControl;
  /** How processors change spaces. */
  readonly spaceSwitch?: AddressSpaceSwitch;
  /** Memory types of physical ranges. */
  readonly memoryTypes?: MemoryTypes;
  /** Frames in a row for devices. */
  readonly special?: SpecialFrames;
  /** How full the frame source is; the source itself by default, where it says so. */
  readonly pressure?: FramePressure;
  /** Which page leaves; S3-FIFO by default, see reclaim/policies/README.md. */
  readonly policy?: ReplacementPolicy;
  /** Whether groups of spaces compete for frames by their shares, so that none pushes out another's pages; not with `policy`; false by default. */
  readonly fairness?: boolean;
  /** Stores for pages without a file, preferred ones first; pages are striped among those in one list. Behind one that answers later, faults may be `pending`. */
  readonly swap?: readonly SwapPriority[];
  /** Frames that hold pages at most; without a limit by default. */
  readonly residentLimit?: number;
  /** How promises of memory are limited; `unlimited` by default. */
  readonly commit?: CommitPolicy;
  /** Pages that `strict` and `heuristic` promise at most. */
  readonly commitLimit?: number;
  /** Write and execute on one page; `off` by default. */
  readonly writeExecute?: WriteExecutePolicy;
  /** Pages mapped around a fault on an object's page, a power of two; 16 by default, 1 for none. */
  readonly faultAround?: number;
  /** Whether loads of untouched memory map one shared frame of zeroes; true by default. */
  readonly zeroFrame?: boolean;
  /** Time. */
  readonly clock?: Clock;
  /** Placement of regions. */
  readonly random?: Random;
  /** NUMA node of the processor that runs now, for regions that want local frames. */
  readonly currentNode?: () => number;
  /** NUMA node of a frame; with {@link currentNode} it lets `Vmm.balance` move pages to the nodes that use them. */
  readonly nodeOf?: (pfn: Pfn) => number;
  /** Pages that are fetched ahead of a stream of misses at most: of a file into spare frames, from swap by neighbourhood in the space; 32 by default, 0 for none. */
  readonly readAhead?: number;
  /** Whether unmapping leaves remote invalidation to the processors' own pace; false by default. */
  readonly lazyShootdown?: boolean;
  /** Where 2M pages are used without a request; in regions with the advice `large` by default. */
  readonly largePages?: LargePageUse;
  /** Pages that may be missing where the background makes 512 pages a 2M page, 0 … 511; 51 by default. */
  readonly collapseMissing?: number;
  /** Who may run at yield points; nobody by default. */
  readonly interleaving?: Interleaving;
  /** Frames that only reclaim may take; `frames` itself by default, where it is one. Everybody who takes frames should take them through it. */
  readonly reserve?: FrameReserve;
  /** Told when no frame can be had and nothing can leave, with who should go; by default such accesses end as `no-memory`. */
  readonly outOfMemory?: OutOfMemoryHandler;
  /** How spaces are judged then; who sets the most memory free goes by default. */
  readonly outOfMemoryPolicy?: OutOfMemoryPolicy;
}
