/** A full or failing disk must not lose what became of a job: tries again until it is written. */
import { type Log, messageOf } from "../log.ts";

const RETRY_MS = 1_000;

export async function persist<T>(work: () => Promise<T>, log: Log): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      log.error("a change of a job was not written; trying again", { error: messageOf(error) });
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}
