/** Rules about what a backend says that it can do: capabilities, fields, audio formats, options. */
import assert from "node:assert/strict";
import { KindGuard, type TObject, type TProperties } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { AUDIO_FORMATS } from "../formats.ts";
import { OF_KIND } from "../inputs.ts";
import {
  capabilityOf,
  inputOf,
  isRecord,
  kindsOf,
  type Rule,
  type Subject,
  withBackend,
} from "./cases.ts";
import { createTestContext } from "./context.ts";
import { hookMs, soon } from "./server.ts";
import { within } from "./wait.ts";

const NOT_SAID = "the plugin does not say";

export function offerRules(subject: Subject): readonly Rule[] {
  const { plugin } = subject;
  const unless = (said: unknown) => (said === undefined ? { skip: NOT_SAID } : {});
  return [
    {
      name: "offers capabilities that it has, always the same for the same settings",
      ...unless(plugin.offers),
      check: async () => checkOffers(subject),
    },
    ...kindsOf(subject).flatMap((kind): Rule[] => {
      const { takes, formats, options } = capabilityOf(plugin, kind);
      return [
        {
          name: `${kind}: takes fields of its input, those of its example among them`,
          ...unless(takes),
          check: async () => checkTakes(subject, kind),
        },
        {
          name: `${kind}: can be asked for an audio format`,
          ...unless(formats ?? OF_KIND[kind]?.properties.format),
          check: async () => checkFormats(subject, kind),
        },
        {
          name: `${kind}: declares options that its example keeps to`,
          ...unless(options),
          check: () => checkOptions(subject, kind),
        },
      ];
    }),
  ];
}

function checkOffers({ plugin, cases }: Subject): void {
  const { config } = createTestContext(plugin, undefined, cases.config);
  const offered = plugin.offers?.(config) ?? [];
  const unknown = offered.filter((kind) => !Object.hasOwn(plugin.capabilities, kind));
  assert.deepEqual(unknown, [], "offers names capabilities that the plugin does not have");
  assert.deepEqual(plugin.offers?.(config), offered, "offers differs between two calls");
}

function checkTakes(subject: Subject, kind: string): void {
  const { plugin, cases } = subject;
  const { input, takes } = capabilityOf(plugin, kind);
  const { config } = createTestContext(plugin, undefined, cases.config);
  const taken = takes?.(config) ?? [];
  const { properties, required = [] }: TObject = input;
  const unknown = taken.filter((name) => !Object.hasOwn(properties, name));
  assert.deepEqual(unknown, [], "takes names fields that the input does not have");
  assert.deepEqual(takes?.(config), taken, "takes differs between two calls");
  const needed = required.filter(
    (name) => properties[name]?.default === undefined && !taken.includes(name),
  );
  assert.deepEqual(needed, [], "the input requires fields that it does not take");
  const example = Object.keys(inputOf(subject, kind));
  const refused = example.filter(
    (name) => !taken.includes(name) && properties[name]?.default === undefined,
  );
  assert.deepEqual(refused, [], "the example has fields that it does not take");
}

function checkFormats({ plugin }: Subject, kind: string): void {
  const { input, formats = ["wav"] } = capabilityOf(plugin, kind);
  assert.ok(formats.length > 0, "formats must name at least one format, or be left out");
  for (const format of formats) {
    assert.ok(AUDIO_FORMATS.includes(format), `formats has "${format}", which is no AudioFormat`);
  }
  assert.equal(new Set(formats).size, formats.length, "formats names one twice");
  const { format } = (input as TObject).properties;
  assert.ok(format, "input must have the field format of the shared schema");
  for (const name of AUDIO_FORMATS) {
    assert.ok(
      Value.Check(format, name),
      `format must take ${name}: what the server does not make, the gateway makes of it`,
    );
  }
}

function checkOptions(subject: Subject, kind: string): Promise<void> {
  const { input, options } = capabilityOf(subject.plugin, kind);
  return withBackend(subject, async ({ ctx }) => {
    const { properties } = input as TObject;
    assert.ok(properties.options, "input must have the field options of the shared schema");
    const asked = Promise.resolve(options?.(ctx, soon(subject)));
    const declared: TProperties =
      (await within(asked, hookMs(subject), "options must settle")) ?? {};
    for (const [name, schema] of Object.entries(declared)) {
      assert.ok(KindGuard.IsSchema(schema), `options.${name} must be a schema made with t`);
      assert.doesNotThrow(() => JSON.stringify(schema), `options.${name} must be JSON`);
      const { default: usual } = schema;
      assert.ok(
        usual === undefined || Value.Check(schema, usual),
        `options.${name}: the default ${JSON.stringify(usual)} does not fit its own schema`,
      );
    }
    const { options: given } = inputOf(subject, kind);
    for (const [name, value] of Object.entries(isRecord(given) ? given : {})) {
      const schema = declared[name];
      assert.ok(schema, `the example's options.${name} is not declared`);
      const wrong = Value.Errors(schema, value).First();
      assert.equal(wrong, undefined, `the example's options.${name}: ${wrong?.message}`);
    }
  });
}
