/** What a client may send. */
import { inputs, type Static, t } from "switchyard/sdk";
import { Scalar } from "./workflow.ts";

export const input = t.Composite([
  t.Omit(inputs.image, ["options"]),
  t.Object({
    batch: t.Optional(t.Integer({ minimum: 1, maximum: 64, description: "Pictures at once." })),
    workflow: t.Optional(
      t.String({ description: "Name of a workflow template; found by `model` when absent." }),
    ),
    options: t.Optional(
      t.Record(t.String(), Scalar, { description: "Further parameters of the workflow." }),
    ),
    graph: t.Optional(
      t.Record(t.String(), t.Unknown(), {
        description:
          "A graph of your own in ComfyUI's API format instead of a workflow. A value that is " +
          "exactly {{prompt}}, {{seed}}, {{width}}, … takes the field of that name.",
      }),
    ),
  }),
]);
export type Request = Static<typeof input>;
