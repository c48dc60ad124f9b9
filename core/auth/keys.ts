/**
 * The text of an API key: `sy_<id>_<secret><checksum>`. The id is public and finds the row, the
 * secret is kept only as a hash, the checksum refuses typos and fakes without a look at the store
 * and lets secret scanners recognise a leaked key.
 */
import { hash, randomBytes, timingSafeEqual } from "node:crypto";
import { crc32 } from "node:zlib";

export interface KeyParts {
  /** 8 characters, safe to log. */
  readonly id: string;
  readonly secret: string;
}

export interface NewKey extends KeyParts {
  /** The whole text; the only time it exists outside the client. */
  readonly text: string;
}

export type RandomBytes = (count: number) => Uint8Array;

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ID_LENGTH = 8;
const SECRET_LENGTH = 32;
const CHECKSUM_LENGTH = 6;
const KEY_LENGTH = "sy_".length + ID_LENGTH + "_".length + SECRET_LENGTH + CHECKSUM_LENGTH;
const KEY = /^sy_([0-9A-Za-z]{8})_([0-9A-Za-z]{32})[0-9A-Za-z]{6}$/;
const HASH_BYTES = 32;
/**
 * The largest multiple of 62 in a byte: bytes from here on are dropped, or some letters come up
 * more.
 */
const FAIR_BELOW = 248;
/** Compared where there is nothing to compare, so that "unknown" costs what "wrong" costs. */
const NOTHING = randomBytes(HASH_BYTES);

export function generateKey(random: RandomBytes = randomBytes): NewKey {
  return renewKey(randomBase62(ID_LENGTH, random), random);
}

/** A new secret under an id that exists. */
export function renewKey(id: string, random: RandomBytes = randomBytes): NewKey {
  const secret = randomBase62(SECRET_LENGTH, random);
  const body = `sy_${id}_${secret}`;
  return { id, secret, text: body + checksum(body) };
}

/** The parts of a well-formed key whose checksum fits; undefined for any other text. */
export function parseKey(text: string): KeyParts | undefined {
  // The length first: a pattern has no business with 64 KB of somebody's text.
  if (text.length !== KEY_LENGTH) return undefined;
  const [, id, secret] = KEY.exec(text) ?? [];
  if (id === undefined || secret === undefined) return undefined;
  const bodyLength = KEY_LENGTH - CHECKSUM_LENGTH;
  if (checksum(text.slice(0, bodyLength)) !== text.slice(bodyLength)) return undefined;
  return { id, secret };
}

/** SHA-256: a secret of 190 random bits needs no slow hash. */
export function hashSecret(secret: string): Buffer {
  return hash("sha256", secret, "buffer");
}

/** Compares in constant time, and takes the same time where there is no hash to compare with. */
export function sameHash(presented: Uint8Array, stored: Uint8Array | null | undefined): boolean {
  const usable = stored?.length === HASH_BYTES;
  return timingSafeEqual(presented, usable ? stored : NOTHING) && usable;
}

/** `length` letters and digits, each equally likely. */
export function randomBase62(length: number, random: RandomBytes = randomBytes): string {
  let text = "";
  while (text.length < length) {
    for (const byte of random(length)) {
      if (byte < FAIR_BELOW && text.length < length) text += ALPHABET.charAt(byte % 62);
    }
  }
  return text;
}

function checksum(body: string): string {
  let rest = crc32(body);
  let text = "";
  for (let digit = 0; digit < CHECKSUM_LENGTH; digit++) {
    text = ALPHABET.charAt(rest % 62) + text;
    rest = Math.floor(rest / 62);
  }
  return text;
}
