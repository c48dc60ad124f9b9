/** Which program answers: by name in the settings, or by what is found at the URL. */
import { type ChosenTransport, type Evidence, matches, oneOf, t } from "switchyard/sdk";
import { SPACE_NEEDS, space, WEB_NEEDS, web } from "./apps.ts";
import { first, second } from "./commands.ts";
import type { Input } from "./request.ts";
import { api, jobs } from "./rest.ts";
import type { Settings } from "./settings.ts";

/** What it says of its one job; its other page, /files, fails until there is a song. */
const Status = t.Union([
  t.Object({ status: t.Literal("idle"), message: t.Literal("No active generation") }),
  t.Object({ status: t.Literal("processing"), job_id: t.String(), elapsed_seconds: t.Number() }),
]);
const API_PATHS = ["/api/generate", "/api/status/{task_id}", "/api/download/{task_id}"];

export const transport: ChosenTransport<Settings, Input> = oneOf<Settings, Input>({
  title: "DiffRhythm",
  chosen: ({ variant }) => variant,
  variants: [
    { name: "space", transport: space, missing: without(SPACE_NEEDS) },
    { name: "web", transport: web, missing: without(WEB_NEEDS) },
    {
      name: "api",
      transport: api,
      missing: ({ openapi }) => {
        const lacking = API_PATHS.filter((path) => !openapi?.paths.includes(path));
        return lacking.length === 0 ? undefined : `its paths lack ${lacking.join(", ")}`;
      },
    },
    {
      name: "webapi",
      transport: jobs,
      pages: ["/status"],
      missing: ({ pages }) =>
        matches(Status, pages["/status"]) ? undefined : "no page /status of its kind",
    },
    { name: "command", transport: first },
    { name: "diffrhythm2", transport: second },
  ],
});

/** An app is known by the parameters of one of its endpoints. */
function without(needs: readonly string[]) {
  return ({ gradio }: Evidence): string | undefined => {
    const endpoints = Object.values(gradio?.endpoints ?? {});
    const fits = endpoints.some((names) => needs.every((name) => names.includes(name)));
    return fits ? undefined : `no Gradio endpoint with ${needs.join(", ")}`;
  };
}
