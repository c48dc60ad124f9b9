/**
 * @module
 * What a plugin author's tests import: the shape of a fake server and the conformance suite.
 */
export { type Behaviour, type Fake, readBehaviour } from "./fake.ts";
