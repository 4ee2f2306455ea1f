/** `@pagewright/vmm/node`: files of Node as backing stores and as swap. */
export { FileBacking, FileSwap, type FileStoreOptions, type FileSwapOptions } from "./node/file-store.ts";
