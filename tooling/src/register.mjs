// Loaded by worker threads before their own module: lets them import TypeScript.
import { register } from "tsx/esm/api";

register();
