export {
  type Database,
  type DatabaseOptions,
  openDatabase,
  UnusableStoreError,
} from "./database.ts";
export type { Queries } from "./drizzle.ts";
export type { WriteOptions } from "./group-commit.ts";
export { lockInstance } from "./instance-lock.ts";
export * as tables from "./schema.ts";
