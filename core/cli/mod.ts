/** The command line: which command an argument list means. Without one, the gateway starts. */
import { runCalibrateCommand } from "./calibrate.ts";
import type { CommandEnvironment } from "./environment.ts";
import { EXIT, PROGRAM } from "./environment.ts";
import { runKeysCommand } from "./keys.ts";
import { runPluginCommand } from "./plugin-test.ts";

export { type CalibrateEnvironment, runCalibrateCommand } from "./calibrate.ts";
export { type CommandEnvironment, EXIT, type Output } from "./environment.ts";
export { runKeysCommand } from "./keys.ts";
export { type PluginTestEnvironment, runPluginCommand } from "./plugin-test.ts";

export interface CliEnvironment extends CommandEnvironment {
  /** Starts the gateway; settles with the exit code when it has stopped. */
  start(argv: string[]): Promise<number>;
}

const HELP = `Usage: ${PROGRAM} [command]

  start                serve (the default)
  keys <command>       create, list, revoke and rotate API keys; see: ${PROGRAM} keys --help
  calibrate [backend]  measure what models cost; see: ${PROGRAM} calibrate --help
  plugin test <path>   run the conformance suite for a plugin; see: ${PROGRAM} plugin --help
  help                 this text
`;

/** Returns the exit code of the process. */
export async function runCli(argv: string[], environment: CliEnvironment): Promise<number> {
  const [command = "start", ...rest] = argv;
  switch (command) {
    case "start":
      return environment.start(rest);
    case "keys":
      return runKeysCommand(rest, environment);
    case "calibrate": {
      // Not the whole environment: its folder is read from a configuration that may be wrong.
      const { stdout, stderr, clock } = environment;
      return runCalibrateCommand(rest, { stdout, stderr, clock, env: process.env });
    }
    case "plugin": {
      const { stdout, stderr } = environment;
      // npm changes the folder; where the person was stands here.
      const here = process.env.INIT_CWD ?? process.env.PWD ?? process.cwd();
      return runPluginCommand(rest, { stdout, stderr, here });
    }
    case "help":
    case "--help":
    case "-h":
      environment.stdout.write(HELP);
      return EXIT.ok;
    default:
      environment.stderr.write(`There is no command "${command}".\n${HELP}`);
      return EXIT.usage;
  }
}
