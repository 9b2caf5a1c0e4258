// The four forms of a KeyId (id, key ARN, alias name, alias ARN) and AWS's answers to what is none of them.
import { parseKmsArn } from '../kernel/arn.js';
import { BridgeError } from '../kernel/errors.js';

interface KeyForm {
  readonly kind: 'key';
  readonly accountId: string;
  readonly keyId: string;
}

interface AliasForm {
  readonly kind: 'alias';
  readonly accountId: string;
  readonly aliasName: string;
}

export type KeyIdForm = KeyForm | AliasForm;

const plainKeyId = /^(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|mrk-[0-9a-f]{32})$/i;

/** An alias name or an alias ARN, of any Region and account. */
export const namesAlias = (text: string): boolean => text.startsWith('alias/') || /^arn:.*:alias\//.test(text);

/**
 * Reads a KeyId as `accountId` in `region` means it. NotFound (`Invalid keyId 'x'`, `Invalid arn REGION`) or InvalidArn; the latter where
 * AWS takes no alias, and for every alias there. The others answer NotFound to what is no ARN: most of them declare nothing else.
 */
export function parseKeyId(text: string, region: string, accountId: string, aliases: false): KeyForm;
export function parseKeyId(text: string, region: string, accountId: string, aliases: boolean): KeyIdForm;
export function parseKeyId(text: string, region: string, accountId: string, aliases: boolean): KeyIdForm {
  if (!aliases && namesAlias(text))
    throw new BridgeError('InvalidArnException', 'Key Aliases are not supported for this operation.');
  if (text.startsWith('arn:')) return parseArnForm(text, region, accountId, aliases);
  if (text.startsWith('alias/')) return { kind: 'alias', accountId, aliasName: text };
  requirePlain(text);
  return { kind: 'key', accountId, keyId: text };
}

function parseArnForm(text: string, region: string, ownAccountId: string, aliases: boolean): KeyIdForm {
  const arn = parseKmsArn(text);
  if (arn === undefined)
    throw new BridgeError(aliases ? 'NotFoundException' : 'InvalidArnException', `Invalid arn ${text}`);
  if (arn.region !== region) throw new BridgeError('NotFoundException', `Invalid arn ${arn.region}`);
  const { accountId, resource } = arn;
  if (resource.kind === 'alias') return { kind: 'alias', accountId, aliasName: resource.aliasName };
  // Another account's is answered like its missing and closed keys, whatever the id looks like.
  if (accountId === ownAccountId) requirePlain(resource.keyId);
  return { kind: 'key', accountId, keyId: resource.keyId };
}

function requirePlain(keyId: string): void {
  if (!plainKeyId.test(keyId)) throw new BridgeError('NotFoundException', `Invalid keyId '${keyId}'`);
}
