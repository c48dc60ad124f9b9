/** The newest unfinished picture of each running job, in memory: previews are not worth a disk. */

export interface Preview {
  readonly image: Uint8Array;
  readonly mediaType: string;
}

export interface Previews {
  /** False when the picture is too large to keep. */
  put(jobId: string, preview: Preview): boolean;
  get(jobId: string): Preview | undefined;
  remove(jobId: string): void;
}

const MAX_BYTES = 4 * 1024 * 1024;

export function createPreviews(): Previews {
  const previews = new Map<string, Preview>();
  return {
    put(jobId, preview) {
      if (preview.image.byteLength > MAX_BYTES) return false;
      previews.set(jobId, preview);
      return true;
    },
    get: (jobId) => previews.get(jobId),
    remove: (jobId) => void previews.delete(jobId),
  };
}
