/** A swap tier for `pagewright replay --swap ./tier.ts`: the server at REDIS_URL, given REDIS_TIMEOUT_MS for each transfer. */
import { RedisSwap } from "./redis-swap.ts";

/** Makes the store; the command says how many pages it may have to hold. */
export default async function tier({ slots }: { slots: number }): Promise<RedisSwap> {
  const { REDIS_URL = "redis://127.0.0.1:6379", REDIS_TIMEOUT_MS = "60000" } = process.env;
  return await RedisSwap.open({ url: REDIS_URL, slots, timeoutMs: Number(REDIS_TIMEOUT_MS) });
}
