/**
 * `@pagewright/vmm/browser`: stores that a browser has: origin-private files, Blobs, and files on web servers.
 *
 * Only the origin-private file system needs a browser; Blobs and HTTP ranges work wherever `Blob` and `fetch` do, Node ≥ 20 included.
 */
export { BlobBacking, type BlobBackingStats } from "./browser/blob.ts";
export { HttpBacking, type HttpBackingOptions, type HttpBackingStats } from "./browser/http.ts";
export { OpfsBacking } from "./browser/opfs-backing.ts";
export { OpfsSwap, type OpfsSwapStats } from "./browser/opfs-swap.ts";
export {
  openOpfsFile,
  type OpfsFileOptions,
  type SyncAccessHandle,
  type TransferPosition,
} from "./browser/sync-access-handle.ts";
export { isStoreFailure, type StoreFailureCode } from "./browser/store-failure.ts";
