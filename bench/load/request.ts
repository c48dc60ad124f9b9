/** The one request of every comparison: about 120 bytes of JSON. */
export const WORK_INPUT = {
  prompt: "a lighthouse at dusk, oil on canvas, heavy brush strokes",
  width: 1024,
  height: 1024,
  steps: 28,
  seed: 42,
};
