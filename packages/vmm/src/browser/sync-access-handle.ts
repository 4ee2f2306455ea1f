/**
 * The part of a browser's `FileSystemSyncAccessHandle` that the stores here use, so that anything with these methods fits: an origin-private
 * file (OPFS) in a dedicated worker, or a plain twin in a test.
 */

/** Where a transfer happens. */
export interface TransferPosition {
  /** Byte offset in the file. */
  readonly at: number;
}

/** A file that one worker has opened for itself; all calls are synchronous. */
export interface SyncAccessHandle {
  /** Bytes in the file. */
  getSize(): number;
  /** Reads at a position; the bytes that were there to read. */
  read(into: Uint8Array, position: TransferPosition): number;
  /** Writes at a position, growing the file; the bytes that were written. Throws `QuotaExceededError` where there is no room. */
  write(from: Uint8Array, position: TransferPosition): number;
  /** Makes what was written durable. */
  flush(): void;
  /** Sets the size; new bytes are zero. */
  truncate(bytes: number): void;
  /** Gives the file up; others may open it then. */
  close(): void;
}

/** What thrown values a full device shows itself by (Storage Standard: `QuotaExceededError`). */
export function isNoRoom(thrown: unknown): boolean {
  return typeof thrown === "object" && thrown !== null && "name" in thrown && thrown.name === "QuotaExceededError";
}

interface SyncFileHandle {
  createSyncAccessHandle?(): Promise<SyncAccessHandle>;
}

/** How {@link openOpfsFile} finds the file. */
export interface OpfsFileOptions {
  /** Makes the file, and the folders on the way to it, where they are absent. Default true. */
  readonly create?: boolean;
}

/**
 * Opens a file of the origin-private file system for synchronous access; its path is relative to the root, its parts separated by `/`.
 *
 * Works in dedicated workers only (File System Standard, `createSyncAccessHandle`). Rejects with the browser's own `DOMException`: `NotFoundError`
 * where the file is absent, `NoModificationAllowedError` where another worker has it open; with a `TypeError` outside a dedicated worker.
 */
export async function openOpfsFile(path: string, options: OpfsFileOptions = {}): Promise<SyncAccessHandle> {
  const create = options.create ?? true;
  const parts = path.split("/").filter((part) => part !== "");
  const name = parts.pop();
  if (name === undefined) throw new TypeError(`"${path}" names no file`);
  let folder = await navigator.storage.getDirectory();
  for (const part of parts) folder = await folder.getDirectoryHandle(part, { create });
  const file = (await folder.getFileHandle(name, { create })) as FileSystemFileHandle & SyncFileHandle;
  if (file.createSyncAccessHandle === undefined)
    throw new TypeError("synchronous access to files exists in dedicated workers only");
  return await file.createSyncAccessHandle();
}
