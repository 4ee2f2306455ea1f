/**
 * Shared memory by name, in the manner of POSIX `shm_open` and `shm_unlink`.
 *
 * A name is one handle on an object. Unlinking takes the name away; the object lives on until the last handle and mapping are gone.
 */
import { VmmError } from "../errors.ts";
import { EXECUTE, READ, USER, WRITE } from "../rights.ts";
import type { MapRequest } from "../space/mapping.ts";
import type { AnonymousObject, ObjectOutcome } from "./anonymous-object.ts";

/** The longest name, in UTF-16 units (Linux: NAME_MAX). */
export const LONGEST_NAME = 255;

/** Why a name could not be opened or unlinked. */
export type NameRefusal = "absent" | "exists" | "too-long" | "bad-name" | "sealed";

/** How a name is opened. */
export interface OpenOptions {
  /** Makes the object, of size 0, where the name is absent. */
  readonly create?: boolean;
  /** With `create`: refuses where the name is taken. */
  readonly exclusive?: boolean;
  /** Sets the size of an existing object to 0. */
  readonly truncate?: boolean;
  /** Whether the handle may resize the object and store to it; true by default. */
  readonly writable?: boolean;
}

/** What makes the objects: a manager. */
export interface AnonymousSource {
  /** Zero-filled memory that several regions can share. */
  createAnonymous(bytes: number, sealable?: boolean): AnonymousObject;
}

/** An open name. */
export class SharedHandle {
  /** The memory. */
  readonly object: AnonymousObject;
  /** Whether the handle may resize the object and store to it. */
  readonly writable: boolean;
  #open = true;

  /** A handle that has been counted by the object already. */
  constructor(object: AnonymousObject, writable: boolean) {
    this.object = object;
    this.writable = writable;
  }

  /** A request that maps the memory with no more rights than the handle has. */
  mapping(request: Omit<MapRequest, "object">): MapRequest {
    this.#demandOpen();
    const readOnly = request.shared === true && !this.writable;
    const ceiling = (request.ceiling ?? READ + WRITE + EXECUTE + USER) & (readOnly ? ~WRITE : -1);
    return { ...request, object: this.object, ceiling };
  }

  /** Sets the size; bytes beyond the old one read as zero. */
  resize(bytes: number): ObjectOutcome | "rights" {
    this.#demandOpen();
    return this.writable ? this.object.resize(bytes) : "rights";
  }

  /** Gives the handle back. */
  close(): void {
    this.#demandOpen();
    this.#open = false;
    this.object.close();
  }

  #demandOpen(): void {
    if (!this.#open) throw new VmmError("destroyed", "The handle was closed.");
  }
}

/** The names of one manager's shared memory. Opening and making are one step: nobody comes in between. */
export class SharedNames {
  readonly #source: AnonymousSource;
  readonly #objects: Map<string, AnonymousObject> = new Map();

  /** No names yet. */
  constructor(source: AnonymousSource) {
    this.#source = source;
  }

  /** Names there are. */
  get count(): number {
    return this.#objects.size;
  }

  /** Opens a name: one component, with or without a leading slash. */
  open(name: string, options: OpenOptions = {}): SharedHandle | NameRefusal {
    const key = keyOf(name);
    if (typeof key !== "object") return key;
    const writable = options.writable ?? true;
    const known = this.#objects.get(key.name);
    if (known !== undefined) {
      if (options.create === true && options.exclusive === true) return "exists";
      if (options.truncate === true && writable && known.resize(0) !== "ok") return "sealed";
      return new SharedHandle(known.open(), writable);
    }
    if (options.create !== true) return "absent";
    const made = this.#source.createAnonymous(0);
    this.#objects.set(key.name, made);
    return new SharedHandle(made.open(), writable);
  }

  /** Takes a name away; handles and mappings go on. */
  unlink(name: string): "ok" | NameRefusal {
    const key = keyOf(name);
    if (typeof key !== "object") return key;
    const object = this.#objects.get(key.name);
    if (object === undefined) return "absent";
    this.#objects.delete(key.name);
    object.close();
    return "ok";
  }

  /** Throws unless every name leads to an object that lives. */
  check(): void {
    for (const [name, object] of this.#objects)
      if (object.isDestroyed) throw new VmmError("invariant", "A name leads to an object that is gone.", { name });
  }
}

function keyOf(name: string): { readonly name: string } | "bad-name" | "too-long" {
  const component = name.startsWith("/") ? name.slice(1) : name;
  if (component === "" || component.includes("/") || component.includes("\0")) return "bad-name";
  return component.length > LONGEST_NAME ? "too-long" : { name: component };
}
