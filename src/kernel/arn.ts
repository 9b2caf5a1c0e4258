// Amazon Resource Names of KMS keys and aliases and of principals: one place that writes them and one that reads them.

export interface KmsArn {
  readonly region: string;
  readonly accountId: string;
  /** `key/<id>` without its prefix, or `alias/<name>` with it. */
  readonly resource:
    { readonly kind: 'key'; readonly keyId: string } | { readonly kind: 'alias'; readonly aliasName: string };
}

const kmsArn = /^arn:aws:kms:([a-z0-9-]+):(\d{12}):(?:key\/([^/:]+)|(alias\/.+))$/;

export const keyArn = (region: string, accountId: string, keyId: string): string =>
  `arn:aws:kms:${region}:${accountId}:key/${keyId}`;

/** `aliasName` begins with `alias/`. */
export const aliasArn = (region: string, accountId: string, aliasName: string): string =>
  `arn:aws:kms:${region}:${accountId}:${aliasName}`;

export const rootArn = (accountId: string): string => `arn:aws:iam::${accountId}:root`;

/** Undefined when the text is not the ARN of a KMS key or alias. */
export function parseKmsArn(text: string): KmsArn | undefined {
  const match = kmsArn.exec(text);
  if (match === null) return undefined;
  const [, region = '', accountId = '', keyId, aliasName = ''] = match;
  return { region, accountId, resource: keyId === undefined ? { kind: 'alias', aliasName } : { kind: 'key', keyId } };
}
