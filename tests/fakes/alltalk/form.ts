/** How AllTalk reads its form: FastAPI first, then a model of its own; see its tts_server.py. */
export type Form = Readonly<Record<string, string>>;

export interface Refused {
  readonly status: number;
  readonly body: unknown;
}

const FILTERING = /^(none|standard|html)$/;
const NAME = /^[a-zA-Z0-9_]+$/;
const LANGUAGES_V1 = /^(ar|zh-cn|cs|nl|en|fr|de|hu|hi|it|ja|ko|pl|pt|ru|es|tr)$/;
const LANGUAGES_V2 = /^(auto|ar|zh-cn|zh|cs|nl|en|fr|de|hu|hi|it|ja|ko|pl|pt|ru|es|tr)$/;

/** Version 1 knows no defaults. */
const REQUIRED_V1 = [
  ...["text_input", "text_filtering", "character_voice_gen", "narrator_enabled"],
  ...["narrator_voice_gen", "text_not_inside", "language", "output_file_name"],
  ...["output_file_timestamp", "autoplay", "autoplay_volume"],
];

const between = (low: number, high: number) => (text: string) =>
  text.trim() !== "" && Number(text) >= low && Number(text) <= high;
const matching = (pattern: RegExp) => (text: string) => pattern.test(text);

const rulesOf = (version: 1 | 2, maxCharacters: number) => ({
  text_input: (text: string) => [...text].length <= maxCharacters,
  text_filtering: matching(FILTERING),
  character_voice_gen: matching(version === 1 ? /^.*\.wav$/ : /^[^<>"|?*]+$/),
  narrator_enabled: matching(version === 1 ? /^(true|false)$/i : /^(true|false|silent)$/),
  narrator_voice_gen: matching(version === 1 ? /^.*\.wav$/ : /^[^<>"|?*]+$/),
  text_not_inside: matching(
    version === 1 ? /^(character|narrator)$/ : /^(character|narrator|silent)$/,
  ),
  language: matching(version === 1 ? LANGUAGES_V1 : LANGUAGES_V2),
  output_file_name: matching(NAME),
  autoplay_volume: between(0.1, 1),
  ...(version === 2 && {
    speed: between(0.25, 2),
    pitch: between(-10, 10),
    temperature: between(0.1, 1),
    repetition_penalty: between(1, 20),
  }),
});

/** Why the form is refused, or undefined. An empty field counts as missing. */
export function refusalOf(form: Form, version: 1 | 2, maxCharacters: number): Refused | undefined {
  const required = version === 1 ? REQUIRED_V1 : ["text_input"];
  const missing = required.filter((name) => (form[name] ?? "") === "");
  if (missing.length > 0) {
    const detail = missing.map((name) => {
      return { type: "missing", loc: ["body", name], msg: "Field required", input: null };
    });
    return { status: 422, body: { detail } };
  }
  const wrong = Object.entries(rulesOf(version, maxCharacters))
    .filter(([name, rule]) => form[name] !== undefined && !rule(form[name]))
    .map(([name]) => `${name}: ${name} needs to be something else.`);
  return wrong.length === 0 ? undefined : { status: 400, body: { error: wrong.join("\n") } };
}
