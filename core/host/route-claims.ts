/**
 * Who serves which path. A plugin that wants a path of the gateway's own, or one that another
 * plugin uses for something else, is refused before it is mounted: the router would fail for
 * everybody.
 */
import type { AnyPlugin } from "../sdk/plugin.ts";

/** First segments of the gateway's own paths, now and as planned. */
export const RESERVED: ReadonlySet<string> = new Set(
  (
    "admin artifacts auth backends console events health jobs leases metrics models plugins ready " +
    "swagger v1 vram ws"
  ).split(" "),
);

/** Takes note of a plugin's routes; says why it cannot have them, and then has taken none. */
export function createRouteClaims(): (plugin: AnyPlugin) => string | undefined {
  /** "POST /x/:" -> what is done there, for example "image.generate" or "a route". */
  const uses = new Map<string, string>();
  /** The router wants one name for the parameter at one place: "POST /x/" -> "id". */
  const names = new Map<string, string>();

  return (plugin) => {
    const newUses = new Map<string, string>();
    const newNames = new Map<string, string>();
    for (const { route, use } of wishesOf(plugin)) {
      const [, first = ""] = /^\w+ \/([^/]*)/.exec(route) ?? [];
      if (first === "" || RESERVED.has(first) || first.startsWith(":")) {
        return `its route "${route}" belongs to the gateway; choose another first segment`;
      }
      const shape = route.replace(/:\w+/g, ":");
      const taken = uses.get(shape) ?? newUses.get(shape);
      if (taken !== undefined && taken !== use) {
        return `its route "${route}" for ${use} is already used for ${taken}`;
      }
      newUses.set(shape, use);
      for (const { 1: name = "", index } of route.matchAll(/:(\w+)/g)) {
        const place = route.slice(0, index).replace(/:\w+/g, ":");
        const other = names.get(place) ?? newNames.get(place);
        if (other !== undefined && other !== name) {
          return `its route "${route}" names a parameter "${name}" that is "${other}" elsewhere`;
        }
        newNames.set(place, name);
      }
    }
    for (const [shape, use] of newUses) uses.set(shape, use);
    for (const [place, name] of newNames) names.set(place, name);
    return undefined;
  };
}

function wishesOf({ capabilities, routes = {} }: AnyPlugin) {
  return [
    ...Object.entries(capabilities).map(([kind, { route }]) => ({ route, use: kind })),
    ...Object.values(routes).map(({ route }) => ({ route: String(route), use: "a direct answer" })),
  ];
}
