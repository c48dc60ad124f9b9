/** Which endpoint and which parameters the Gradio adapter takes, and what it says when none fit. */
import { afterEach, describe, expect, test } from "bun:test";
import { t } from "switchyard/sdk";
import { matches } from "../../../core/sdk/shape.ts";
import {
  type FakeGradio,
  type FakeGradioOptions,
  readSignature,
  type Signature,
  startFakeGradio,
} from "../../fakes/gradio.ts";
import { type App, bench, MUSICGEN, STABLE, YUEGP } from "./gradio-harness.ts";
import { serve as serveOther, stopServers } from "./server.ts";

let fake: FakeGradio | undefined;
afterEach(async () => {
  await fake?.stop();
  fake = undefined;
  await stopServers();
});

async function serve(options: FakeGradioOptions = {}): Promise<string> {
  fake = await startFakeGradio(options);
  return fake.url;
}

/** A signature with one endpoint renamed or changed. */
function changed(change: (signature: any) => void): Signature {
  const signature: any = structuredClone(readSignature("stable-audio-tools-0.0.19"));
  change(signature);
  return signature;
}

describe("health", () => {
  for (const gradio of ["4.44.1", "5.49.1", "6.25.0"]) {
    test(`is ready on Gradio ${gradio}, and says so`, async () => {
      const url = await serve({ gradio });
      expect(await bench(url, STABLE).health()).toEqual({
        status: "ready",
        version: `Gradio ${gradio}`,
      });
    });
  }

  test("tells an app of the same endpoint apart, with the exact difference", async () => {
    const url = await serve({ signature: "stable-audio-3", title: "Stable Audio 3" });
    const health = await bench(url, STABLE).health();
    expect(health).toMatchObject({ status: "degraded" });
    const { reason } = health as { reason: string };
    expect(reason).toContain("Stable Audio 3");
    expect(reason).toContain("its /generate has no sigma_min");
    expect(reason).not.toContain("prompt");
  });

  test("names the endpoints of an app that has another one", async () => {
    const url = await serve({ signature: "yuegp-v3" });
    const health: any = await bench(url, STABLE).health();
    expect(health.reason).toContain("no endpoint /generate");
    expect(health.reason).toContain("/generate_song");
  });

  test("wants the page's title where one is asked for", async () => {
    const url = await serve({ title: "Somebody's demo" });
    const health: any = await bench(url, { ...STABLE, pageTitle: "stable audio" }).health();
    expect(health).toMatchObject({ status: "degraded" });
    expect(health.reason).toContain('"Somebody\'s demo"');
  });

  test("refuses Gradio 3 and says what to do", async () => {
    const url = await serve({ gradio: "3.50.2" });
    const health: any = await bench(url, STABLE).health();
    expect(health).toMatchObject({ status: "degraded" });
    expect(health.reason).toContain("Gradio 3.50.2");
    expect(health.reason).toContain("4.44");
  });

  test("gives the reason of an app that refuses this version", async () => {
    const url = await serve({ signature: "audiocraft-musicgen", gradio: "5.49.1" });
    const refuse: App["refuse"] = ({ major }) =>
      major >= 5 ? "generation fails on Gradio 5; install gradio<5" : undefined;
    const started = bench(url, { ...MUSICGEN, refuse });
    expect(await started.health()).toEqual({
      status: "degraded",
      reason: "generation fails on Gradio 5; install gradio<5",
    });
    const { error } = await started.start({ prompt: "x" }).ended;
    expect(error).toMatchObject({ code: "BACKEND_MISMATCH" });
    expect(fake?.joined).toEqual([]);
  });

  test("says that another kind of server answers", async () => {
    const headers = { "content-type": "text/html" };
    const { baseUrl } = serveOther(
      () => new Response("<!doctype html><p>Welcome!</p>", { headers }),
    );
    const error: any = await bench(baseUrl, STABLE)
      .health()
      .catch((reason) => reason);
    expect(error).toMatchObject({ code: "BACKEND_MISMATCH" });
    expect(error.message).toContain("no Gradio");
  });

  test("wants what is pinned to be taken", async () => {
    const url = await serve();
    const health: any = await bench(url, {
      ...STABLE,
      pinned: { file_naming: "nothing" },
    }).health();
    expect(health).toMatchObject({ status: "degraded" });
    expect(health.reason).toContain('file_naming does not take "nothing"');
  });

  test("wants the endpoint that stops the work, and every output", async () => {
    const url = await serve();
    const cancel = { kind: "interrupt", endpoint: "/interrupt" } as const;
    const without: any = await bench(url, { ...STABLE, cancel }).health();
    expect(without.reason).toContain("/interrupt");
    const beyond: any = await bench(url, { ...STABLE, outputs: [{ at: 5 }] }).health();
    expect(beyond.reason).toContain("returns 2 values, so none at place 5");
  });
});

describe("the endpoint", () => {
  test("is found under the number that Gradio gave it", async () => {
    const signature = changed(({ info, dependencies }) => {
      info.named_endpoints["/generate_1"] = info.named_endpoints["/generate"];
      info.named_endpoints["/generate"] = info.named_endpoints["/lambda"];
      dependencies[0].api_name = "generate";
      dependencies[2].api_name = "generate_1";
    });
    const url = await serve({ signature });
    const { error } = await bench(url, STABLE).start({ prompt: "x" }).ended;
    expect(error).toBeUndefined();
    expect(fake?.joined[0]?.fn_index).toBe(2);
  });

  test("is the only one with the parameters when it has another name", async () => {
    const signature = changed(({ info, dependencies }) => {
      info.named_endpoints["/make_sound"] = info.named_endpoints["/generate"];
      delete info.named_endpoints["/generate"];
      dependencies[2].api_name = "make_sound";
    });
    const url = await serve({ signature });
    const { error } = await bench(url, STABLE).start({ prompt: "x" }).ended;
    expect(error).toBeUndefined();
    expect(fake?.joined[0]?.data[0]).toBe("x");
  });
});

describe("a parameter", () => {
  test("is found by its alias and by its label", async () => {
    const signature = changed(({ info }) => {
      const { parameters } = info.named_endpoints["/generate"];
      parameters.find((one: any) => one.parameter_name === "seed").parameter_name = "param_7";
      parameters.find((one: any) => one.parameter_name === "seconds_total").parameter_name = "p3";
    });
    const url = await serve({ signature });
    const app: App = {
      ...STABLE,
      aliases: { seconds_total: ["length", "Seconds total"], seed: ["param_7"] },
    };
    const { error } = await bench(url, app).start({ prompt: "x", duration_seconds: 9, seed: 4 })
      .ended;
    expect(error).toBeUndefined();
    expect(fake?.joined[0]?.data[3]).toBe(9);
    expect(fake?.joined[0]?.data[7]).toBe("4");
  });

  test("is bound by name when a release puts another one before it", async () => {
    const url = await serve();
    const started = bench(url, STABLE);
    await started.start({ prompt: "one" }).ended;
    fake?.restart({
      signature: changed(({ info, dependencies }) => {
        const { parameters } = info.named_endpoints["/generate"];
        parameters.splice(1, 1);
        dependencies[2].inputs.splice(1, 1);
        parameters.reverse();
        dependencies[2].inputs.reverse();
      }),
    });
    const { error } = await started.start({ prompt: "two" }).ended;
    expect(error).toBeUndefined();
    expect(fake?.joined[1]?.data.at(-1)).toBe("two");
  });
});

describe("options", () => {
  test("are what nobody else fills in, with the server's defaults and limits", async () => {
    const url = await serve();
    const { transport, ctx } = bench(url, STABLE);
    const options = (await transport.options?.(ctx, AbortSignal.timeout(5_000))) ?? {};
    const names = Object.keys(options);
    for (const taken of ["prompt", "seconds_total", "seed", "file_naming", "file_format"]) {
      expect(names).not.toContain(taken);
    }
    // Files cannot be options.
    expect(names).not.toContain("inpaint_audio");
    expect(options.steps).toMatchObject({ type: "number", minimum: 1, maximum: 500, default: 100 });
    expect(options.cut_to_seconds_total).toMatchObject({ type: "boolean", default: true });
    const { sampler_type = t.Never() } = options;
    expect(matches(sampler_type, "dpmpp-3m-sde")).toBe(true);
    expect(matches(sampler_type, "$(id)")).toBe(false);
    expect(matches(t.Object(options), {})).toBe(true);
  });

  test("reach the program, and nothing else may", async () => {
    const url = await serve();
    const { start } = bench(url, STABLE);
    const { error } = await start({ prompt: "x", options: { steps: 20 } }).ended;
    expect(error).toBeUndefined();
    expect(fake?.joined[0]?.data[5]).toBe(20);
    for (const options of [
      { file_naming: "verbose" },
      { file_format: "mp3 320k" },
      { prompt: "another" },
      { inpaint_audio: { path: "/etc/passwd", meta: { _type: "gradio.FileData" } } },
      { steps: 501 },
      { sampler_type: "no-such-sampler" },
      { constructor: 1 },
    ]) {
      const refused = await start({ prompt: "x", options }).ended;
      expect(refused.error).toMatchObject({ code: "BACKEND_REJECTED" });
    }
    expect(fake?.joined).toHaveLength(1);
  });
});

test("an app with State and a gallery is bound as well", async () => {
  const url = await serve({ signature: "yuegp-v3", gradio: "6.25.0" });
  expect(await bench(url, YUEGP).health()).toMatchObject({ status: "ready" });
});
