export {
  ADMIN_KEY_ID,
  type AdminKey,
  readAdminKeyFile,
  UnusableAdminKeyError,
} from "./admin-key-file.ts";
export { type Auth, type AuthOptions, type AuthSettings, createAuth } from "./auth.ts";
export { type Credential, credential, SUBPROTOCOL } from "./credential.ts";
export type { Admitted, Guard } from "./guard.ts";
export type { KeyDesk } from "./key-desk.ts";
export { generateKey, hashSecret, type NewKey, parseKey, renewKey } from "./keys.ts";
export { type KeyWishes, type MintedKey, mintKey, termsOf } from "./minting.ts";
export type { KeyLimits, Principal } from "./principal.ts";
export { authRoutes } from "./routes.ts";
export {
  isPreset,
  isScope,
  PRESETS,
  type Preset,
  SCOPES,
  type Scope,
  scopeOfCapability,
} from "./scopes.ts";
export { createKeyStore, type KeyRow, type KeyStore } from "./store.ts";
