/** redis-server with its append-only file, for BullMQ. */
import { freePort, type Program, type Stage } from "./stage.ts";

export interface Redis extends Program {
  readonly port: number;
}

/** everysec may lose the last second at a power loss; always syncs before it answers. */
export async function startRedis(
  stage: Stage,
  sync: "everysec" | "always",
  cpu: number,
): Promise<Redis> {
  const port = await freePort();
  const program = stage.start(
    [
      "redis-server",
      ...["--port", String(port), "--bind", "127.0.0.1", "--dir", stage.folder()],
      ...["--appendonly", "yes", "--appendfsync", sync, "--save", ""],
    ],
    { cpu },
  );
  await program.printed(/Ready to accept connections/);
  return { ...program, port };
}
