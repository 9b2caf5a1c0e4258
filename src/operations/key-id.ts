// The four forms of a KeyId (id, key ARN, alias name, alias ARN) and AWS's answers to what is none of them.
import { parseKmsArn } from '../kernel/arn.js';
import { BridgeError } from '../kernel/errors.js';

export type KeyIdForm =
  | { readonly kind: 'key'; readonly accountId: string; readonly keyId: string }
  | { readonly kind: 'alias'; readonly accountId: string; readonly aliasName: string };

const plainKeyId = /^(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|mrk-[0-9a-f]{32})$/;

/** Reads a KeyId as `accountId` in `region` means it. NotFound (`Invalid keyId 'x'`, `Invalid arn REGION`) or InvalidArn. */
export function parseKeyId(text: string, region: string, accountId: string, aliases: boolean): KeyIdForm {
  if (text.startsWith('arn:')) return parseArnForm(text, region, aliases);
  if (aliases && text.startsWith('alias/')) return { kind: 'alias', accountId, aliasName: text };
  if (!plainKeyId.test(text)) throw new BridgeError('NotFoundException', `Invalid keyId '${text}'`);
  return { kind: 'key', accountId, keyId: text };
}

function parseArnForm(text: string, region: string, aliases: boolean): KeyIdForm {
  const arn = parseKmsArn(text);
  if (arn === undefined) throw new BridgeError('InvalidArnException', `Invalid arn ${text}`);
  if (arn.region !== region) throw new BridgeError('NotFoundException', `Invalid arn ${arn.region}`);
  if (arn.resource.kind === 'key') return { kind: 'key', accountId: arn.accountId, keyId: arn.resource.keyId };
  if (!aliases) throw new BridgeError('InvalidArnException', `Invalid arn ${text}`);
  return { kind: 'alias', accountId: arn.accountId, aliasName: arn.resource.aliasName };
}
