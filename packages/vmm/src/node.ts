/** `@pagewright/vmm/node`: files of Node as backing stores and as swap. */
export { FileBacking, type FileStoreOptions } from "./node/file-backing.ts";
export { FileSwap, type FileSwapOptions } from "./node/file-swap.ts";
