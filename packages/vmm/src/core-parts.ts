/** What a core is made of: the ports of `ports.ts` and the limits that hold for all spaces. */
import type { FrameReserve } from "./frames/frame-reserve.ts";
import type {
  Clock,
  FramePressure,
  FrameSource,
  FrameWindow,
  Interleaving,
  MemoryTypes,
  Random,
  ReplacementPolicy,
  TlbControl,
  TranslationSystem,
} from "./ports.ts";
import type { OutOfMemoryHandler } from "./pressure/last-resort.ts";
import type { OutOfMemoryPolicy } from "./pressure/out-of-memory.ts";
import type { SpaceGroups } from "./reclaim/space-groups.ts";
import type { SwapSpace } from "./swap/swap-space.ts";

/** The ports and limits that a core is made of, and goes on having. */
export class CoreParts {
  /** Where frames come from. */
  readonly frames: FrameSource;
  /** How their bytes are reached. */
  readonly window: FrameWindow;
  /** Tables of spaces. */
  readonly tables: TranslationSystem;
  /** Invalidation; null where nothing caches translations. */
  readonly tlb: TlbControl | null;
  /** Which page leaves. */
  readonly policy: ReplacementPolicy;
  /** Groups of spaces whose policy that is; null: spaces are not told apart. */
  readonly groups: SpaceGroups | null;
  /** Where pages without a file go; null: nowhere. */
  readonly swap: SwapSpace | null;
  /** Most frames that hold pages at once. */
  residentLimit: number;
  /** Pages that are expected to be in frames at once: what the policy is sized for. */
  readonly policyFrames: number;
  /** Time. */
  readonly clock: Clock;
  /** Placement of regions. */
  readonly random: Random;
  /** Who may run at yield points; null: nobody. */
  readonly interleaving: Interleaving | null;
  /** How full the frame source is; null: unknown. */
  readonly framePressure: FramePressure | null;
  /** Memory types of physical ranges; null: nothing caches. */
  readonly memoryTypes: MemoryTypes | null;
  /** Pages that are fetched ahead of a stream of misses at most; 0: none. */
  readonly readAhead: number;
  /** Whether unmapping leaves invalidation to the processors' own pace. */
  readonly lazyShootdown: boolean;
  /** Frames kept back for reclaim; null: none. */
  readonly reserve: FrameReserve | null;
  /** How spaces are judged when memory is out. */
  readonly outOfMemoryPolicy: OutOfMemoryPolicy | undefined;
  /** Who is told then. */
  readonly outOfMemory: OutOfMemoryHandler | null;

  /** Takes them over. */
  constructor(parts: Readonly<CoreParts>) {
    this.frames = parts.frames;
    this.window = parts.window;
    this.tables = parts.tables;
    this.tlb = parts.tlb;
    this.policy = parts.policy;
    this.groups = parts.groups;
    this.swap = parts.swap;
    this.residentLimit = parts.residentLimit;
    this.policyFrames = parts.policyFrames;
    this.clock = parts.clock;
    this.random = parts.random;
    this.interleaving = parts.interleaving;
    this.framePressure = parts.framePressure;
    this.memoryTypes = parts.memoryTypes;
    this.readAhead = parts.readAhead;
    this.lazyShootdown = parts.lazyShootdown;
    this.reserve = parts.reserve;
    this.outOfMemoryPolicy = parts.outOfMemoryPolicy;
    this.outOfMemory = parts.outOfMemory;
  }
}
