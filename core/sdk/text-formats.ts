/** What `format` means in a schema: TypeBox knows none by itself, and fails what it does not know. */
import { FormatRegistry } from "@sinclair/typebox";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

FormatRegistry.Set("uuid", (text) => UUID.test(text));
FormatRegistry.Set("date-time", (text) => DATE_TIME.test(text) && !Number.isNaN(Date.parse(text)));
