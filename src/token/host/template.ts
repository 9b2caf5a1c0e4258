// Every template the host passes to pkcs11js is made here, with values of exactly the types it expects, and read back here: a key the
// daemon uses cannot leave the token and does one thing.
import pkcs11 from 'pkcs11js';
import { uses, type Kind } from './kinds.js';

type Flag = readonly [name: string, type: number, value: boolean];

const usage = (kind: Kind): readonly Flag[] => uses.map(([name, type]) => [name, type, kind.uses.includes(name)]);

const protection: readonly Flag[] = [
  ['CKA_PRIVATE', pkcs11.CKA_PRIVATE, true],
  ['CKA_SENSITIVE', pkcs11.CKA_SENSITIVE, true],
  ['CKA_EXTRACTABLE', pkcs11.CKA_EXTRACTABLE, false],
];

/** What the token itself says about a key's past (PKCS#11 v2.40 §4.9): made inside, never readable, never extractable. */
const history: readonly Flag[] = [
  ['CKA_LOCAL', pkcs11.CKA_LOCAL, true],
  ['CKA_ALWAYS_SENSITIVE', pkcs11.CKA_ALWAYS_SENSITIVE, true],
  ['CKA_NEVER_EXTRACTABLE', pkcs11.CKA_NEVER_EXTRACTABLE, true],
];

const attributesOf = (flags: readonly Flag[]): pkcs11.Template => flags.map(([, type, value]) => ({ type, value }));

/** C_GenerateKey: non-extractable. `token` false: a session object, gone with its session. */
export function generationTemplate(
  kind: Kind,
  name: { readonly ckaId: Buffer; readonly label: string },
  token = true,
): pkcs11.Template {
  return [
    { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_SECRET_KEY },
    { type: pkcs11.CKA_KEY_TYPE, value: kind.keyType },
    { type: pkcs11.CKA_VALUE_LEN, value: kind.bytes },
    { type: pkcs11.CKA_TOKEN, value: token },
    { type: pkcs11.CKA_ID, value: name.ckaId },
    { type: pkcs11.CKA_LABEL, value: name.label },
    ...attributesOf(protection),
    ...attributesOf(usage(kind)),
  ];
}

/** C_CreateObject of a session key with a published value: for known answers, never for a key of the daemon. */
export function knownKeyTemplate(kind: Kind, value: Buffer): pkcs11.Template {
  return [
    { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_SECRET_KEY },
    { type: pkcs11.CKA_KEY_TYPE, value: kind.keyType },
    { type: pkcs11.CKA_TOKEN, value: false },
    { type: pkcs11.CKA_VALUE, value },
    ...attributesOf(protection),
    ...attributesOf(usage(kind)),
  ];
}

/** C_GenerateKey of a session key that may only wrap: the probe's, to try to get another key out. */
export function wrappingKeyTemplate(): pkcs11.Template {
  return [
    { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_SECRET_KEY },
    { type: pkcs11.CKA_KEY_TYPE, value: pkcs11.CKK_AES },
    { type: pkcs11.CKA_VALUE_LEN, value: 32 },
    { type: pkcs11.CKA_TOKEN, value: false },
    { type: pkcs11.CKA_WRAP, value: true },
    ...attributesOf(protection),
  ];
}

/** C_CopyObject into the session; the rest is the original's, and read back. */
export const copyTemplate = (): pkcs11.Template => [{ type: pkcs11.CKA_TOKEN, value: false }];

/** Changes no token may make to a key of ours, on itself or on a copy. */
export const weakenings: readonly (readonly [what: string, template: () => pkcs11.Template])[] = [
  ['CKA_EXTRACTABLE set to true', () => [{ type: pkcs11.CKA_EXTRACTABLE, value: true }]],
  ['CKA_SENSITIVE set to false', () => [{ type: pkcs11.CKA_SENSITIVE, value: false }]],
];

export const valueQuery = (): pkcs11.Template => [{ type: pkcs11.CKA_VALUE }];
export const idQuery = (): pkcs11.Template => [{ type: pkcs11.CKA_ID }];

/** C_GetAttributeValue of what says which kind of key it is. Fresh each time: pkcs11js leaks what a reused template was filled with. */
export const identityQuery = (): pkcs11.Template => [
  { type: pkcs11.CKA_ID },
  { type: pkcs11.CKA_CLASS },
  { type: pkcs11.CKA_KEY_TYPE },
];

/** Does the answer to `identityQuery` show a key of this kind? */
export function isOfKind(kind: Kind, [, keyClass, keyType]: pkcs11.TemplateResult): boolean {
  return readsAsNumber(keyClass?.value, pkcs11.CKO_SECRET_KEY) && readsAsNumber(keyType?.value, kind.keyType);
}

const application = 'hsm-bridge';

/** C_CreateObject of a record of the daemon: readable with the PIN only, never changed once it is made. */
export function recordTemplate(label: string, value: Buffer): pkcs11.Template {
  return [
    { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_DATA },
    { type: pkcs11.CKA_TOKEN, value: true },
    { type: pkcs11.CKA_PRIVATE, value: true },
    { type: pkcs11.CKA_MODIFIABLE, value: false },
    { type: pkcs11.CKA_APPLICATION, value: application },
    { type: pkcs11.CKA_LABEL, value: label },
    { type: pkcs11.CKA_VALUE, value },
  ];
}

/** C_FindObjectsInit: the daemon's records. */
export const recordSearch = (): pkcs11.Template => [
  { type: pkcs11.CKA_TOKEN, value: true },
  { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_DATA },
  { type: pkcs11.CKA_APPLICATION, value: application },
];

/** C_FindObjectsInit: every token object. */
export const objectSearch = (): pkcs11.Template => [{ type: pkcs11.CKA_TOKEN, value: true }];

/** C_FindObjectsInit: whatever token object has this CKA_ID. */
export function idSearch(ckaId: Buffer): pkcs11.Template {
  return [
    { type: pkcs11.CKA_TOKEN, value: true },
    { type: pkcs11.CKA_ID, value: ckaId },
  ];
}

const checkedFlags = (kind: Kind): readonly Flag[] => [...protection, ...history, ...usage(kind)];

/** C_GetAttributeValue of all that `mismatches` looks at; fresh each time, too. */
export function protectionQuery(kind: Kind): pkcs11.Template {
  return [...checkedFlags(kind).map(([, type]) => ({ type })), { type: pkcs11.CKA_VALUE_LEN }];
}

/** The names of attributes that are not as the daemon makes its keys; empty for a key that cannot leave. */
export function mismatches(kind: Kind, read: pkcs11.TemplateResult): string[] {
  const flags = checkedFlags(kind)
    .filter(([, , value], i) => !readsAs(read[i]?.value, value))
    .map(([name]) => name);
  return readsAsNumber(read.at(-1)?.value, kind.bytes) ? flags : [...flags, 'CKA_VALUE_LEN'];
}

function readsAs(read: Buffer | undefined, value: boolean): boolean {
  return read?.length === 1 && (read[0] !== 0) === value;
}

/** A CK_ULONG in the byte order of this machine: little endian on all that the daemon is built for. */
function readsAsNumber(read: Buffer | undefined, value: number): boolean {
  return read !== undefined && read.length >= 4 && read.readUInt32LE() === value && !read.subarray(4).some(Boolean);
}
