/** What the tests of the ComfyUI plugin share: a job on a fake, and waiting for a condition. */

import { onTestFinished } from "bun:test";
import { randomUUID } from "node:crypto";
import {
  createTestContext,
  createTestJob,
  type TestContext,
  type TestJob,
  type TestJobOptions,
  until as untilWithin,
} from "switchyard/sdk/testing";
import type { Request } from "../../plugins/comfyui/input.ts";
import plugin from "../../plugins/comfyui/plugin.ts";
import { type FakeComfyUI, type FakeComfyUIOptions, startFakeComfyUI } from "../fakes/comfyui.ts";

export const capability = plugin.capabilities["image.generate"];

export type Context = Parameters<typeof capability.run>[1] & Pick<TestContext, "logged">;

/** Stopped after the test. */
export async function startFake(options?: FakeComfyUIOptions): Promise<FakeComfyUI> {
  const fake = await startFakeComfyUI(options);
  onTestFinished(() => fake.stop());
  return fake;
}

export function contextOf(url: string, config: Record<string, unknown> = {}): Context {
  return createTestContext(plugin, url, config) as unknown as Context;
}

/** A job with an id of its own, small unless said. */
export function jobOf(input: Partial<Request>, options: TestJobOptions = {}): TestJob<Request> {
  const request = { prompt: "a cat steps=3", width: 64, height: 64, ...input };
  return createTestJob<Request>(request, { id: randomUUID(), ...options });
}

export async function run(job: TestJob<Request>, context: Context): Promise<unknown> {
  return capability.run(job, context);
}

/** The error that it ends with; fails when it ends well. */
export async function failure(promise: unknown): Promise<Error & { code?: string; details?: any }> {
  const end = await Promise.resolve(promise).then(
    (value) => ({ value }),
    (error) => ({ error }),
  );
  if ("error" in end) return end.error;
  throw new Error(`expected a failure, got ${JSON.stringify(end.value)}`);
}

/** Waits until the condition holds, at most 5 s. */
export function until(condition: () => boolean, what: string): Promise<void> {
  return untilWithin(condition, 5_000, what);
}

/** Width and height of a PNG; fails when it is none. */
export function pngSize(bytes: Uint8Array): { width: number; height: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0) !== 0x89504e47) throw new Error("not a PNG");
  return { width: view.getUint32(16), height: view.getUint32(20) };
}
