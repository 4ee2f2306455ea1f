/** One call of a stack. */
export interface StackFrame {
  /** The function's name. */
  readonly name: string;
  /** Path or address of the source file. */
  readonly file?: string;
  /** Line in that file, from 1; 0 or absent where it is not known. */
  readonly line?: number;
}

/** Allocations of one call stack. */
export interface StackSample {
  /** The calls, the innermost first. */
  readonly stack: readonly StackFrame[];
  readonly allocatedObjects: number;
  readonly allocatedBytes: number;
  readonly liveObjects: number;
  readonly liveBytes: number;
}

/** Protocol buffers, as far as a profile needs them: fields in order, lengths in front. */
class Message {
  readonly #bytes: number[] = [];

  /** A whole number of up to 53 bits, as a base-128 varint. */
  #varint(value: number): void {
    let left = value;
    for (; left >= 128; left = Math.floor(left / 128)) this.#bytes.push((left % 128) + 128);
    this.#bytes.push(left);
  }

  number(field: number, value: number): this {
    this.#varint(field * 8);
    this.#varint(Math.round(value));
    return this;
  }

  bytes(field: number, value: ArrayLike<number>): this {
    this.#varint(field * 8 + 2);
    this.#varint(value.length);
    for (let at = 0; at < value.length; at++) this.#bytes.push(value[at] ?? 0);
    return this;
  }

  packed(field: number, values: readonly number[]): this {
    const inner = new Message();
    for (const value of values) inner.#varint(Math.round(value));
    return this.bytes(field, inner.#bytes);
  }

  message(field: number, inner: Message): this {
    return this.bytes(field, inner.#bytes);
  }

  done(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}

/** Things that are numbered from 1 on as they are met; two with one key have one number. */
class Numbers<Thing> {
  readonly all: Thing[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #key: (thing: Thing) => string;

  constructor(key: (thing: Thing) => string) {
    this.#key = key;
  }

  of(thing: Thing): number {
    const key = this.#key(thing);
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    this.#numbers.set(key, this.all.push(thing));
    return this.all.length;
  }
}

/**
 * A heap profile as `pprof` reads it (profile.proto, not compressed: `go tool pprof` takes it as it is, other tools want it gzip'd).
 *
 * Four values for each stack, in the order of Go's heap profiles: objects and bytes allocated, objects and bytes live. Source:
 * github.com/google/pprof, proto/profile.proto.
 *
 * @param period bytes between two samples.
 */
export function encodeProfile(samples: readonly StackSample[], period: number): Uint8Array {
  const strings = new Map<string, number>([["", 0]]);
  const text = (value: string): number => {
    const known = strings.get(value);
    if (known !== undefined) return known;
    strings.set(value, strings.size);
    return strings.size - 1;
  };
  const valueType = (type: string, unit: string): Message => new Message().number(1, text(type)).number(2, text(unit));
  const profile = new Message();
  for (const [type, unit] of [
    ["alloc_objects", "count"],
    ["alloc_space", "bytes"],
    ["inuse_objects", "count"],
    ["inuse_space", "bytes"],
  ] as const)
    profile.message(1, valueType(type, unit));
  const functions = new Numbers<StackFrame>(({ name, file = "" }) => `${name}\0${file}`);
  const locations = new Numbers<StackFrame>((frame) => `${functions.of(frame)} ${frame.line ?? 0}`);
  for (const { stack, allocatedObjects, allocatedBytes, liveObjects, liveBytes } of samples) {
    const calls = stack.map((frame) => locations.of(frame));
    const values = [allocatedObjects, allocatedBytes, liveObjects, liveBytes];
    profile.message(2, new Message().packed(1, calls).packed(2, values));
  }
  locations.all.forEach((frame, index) => {
    const line = new Message().number(1, functions.of(frame)).number(2, frame.line ?? 0);
    profile.message(4, new Message().number(1, index + 1).message(4, line));
  });
  functions.all.forEach(({ name, file = "" }, index) => {
    const named = new Message()
      .number(1, index + 1)
      .number(2, text(name))
      .number(3, text(name));
    profile.message(5, named.number(4, text(file)));
  });
  const periodType = valueType("space", "bytes");
  const encoder = new TextEncoder();
  for (const [value] of strings) profile.bytes(6, encoder.encode(value));
  return profile.message(11, periodType).number(12, period).done();
}
