/** A file as a body that the runtime itself can send. */

/**
 * The bytes from `first` up to, but not including, `end`. Bun sends a stream made in JavaScript
 * chunked and drops its Content-Length, while it sends such a Blob with its length and straight
 * from the kernel. Undefined on Deno, which keeps the Content-Length of a stream and would read the
 * Blob into memory.
 */
export function fileBody(path: string, first: number, end: number): Blob | undefined {
  return typeof Bun === "undefined" ? undefined : Bun.file(path).slice(first, end);
}
