/**
 * `npm test` runs Bun with `--no-orphans`, which every Bun below it inherits by this variable. A
 * gateway under test must leave its backends' processes behind when it is killed, as in service.
 */
delete process.env.BUN_FEATURE_FLAG_NO_ORPHANS;
