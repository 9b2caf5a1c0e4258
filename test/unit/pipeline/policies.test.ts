// Key policies: the default one, a written one, and what is refused.
import * as kms from '@aws-sdk/client-kms';
import { describe, expect, it } from 'vitest';
import { accounts, failure, lineOfSuite } from '../../support/line.js';

const { client, other, keyId, newKey, encrypt, decrypt } = await lineOfSuite();

describe('key policies', () => {
  it('gives the default policy and obeys a written one', async () => {
    const { Policy, PolicyName } = await client.send(new kms.GetKeyPolicyCommand({ KeyId: keyId }));
    expect(PolicyName).toBe('default');
    expect(JSON.parse(Policy!)).toEqual({
      Version: '2012-10-17',
      Id: 'key-default-1',
      Statement: [
        {
          Sid: 'Enable IAM User Permissions',
          Effect: 'Allow',
          Principal: { AWS: `arn:aws:iam::${accounts.first}:root` },
          Action: 'kms:*',
          Resource: '*',
        },
      ],
    });
    expect((await client.send(new kms.ListKeyPoliciesCommand({ KeyId: keyId }))).PolicyNames).toEqual(['default']);

    const statement = (Effect: string, AWS: string, Action: string | string[]) => ({
      Effect,
      Principal: { AWS },
      Action,
      Resource: '*',
    });
    const written = JSON.stringify({
      Version: '2012-10-17',
      Statement: [
        statement('Allow', accounts.first, 'kms:*'),
        statement('Allow', `arn:aws:iam::${accounts.second}:root`, ['kms:Encrypt', 'kms:DisableKey']),
        statement('Deny', '*', 'kms:ReEncrypt*'),
      ],
    });
    const shared = await newKey({ Policy: written });
    const { CiphertextBlob } = await encrypt({ KeyId: shared.Arn }, other);
    expect((await decrypt({ CiphertextBlob })).KeyId).toBe(shared.Arn);
    expect(await failure(decrypt({ CiphertextBlob }, other))).toMatch(/^AccessDeniedException/);
    expect(await failure(other.send(new kms.DisableKeyCommand({ KeyId: shared.Arn })))).toMatch(
      /^AccessDeniedException/,
    );
    const denied = failure(client.send(new kms.ReEncryptCommand({ CiphertextBlob, DestinationKeyId: keyId })));
    expect(await denied).toMatch(
      /kms:ReEncryptFrom on the resource associated with this ciphertext with an explicit deny in a resource-based policy$/,
    );
  });

  it('refuses policies that lock out or cannot be evaluated', async () => {
    const policy = (statement: object) =>
      failure(newKey({ Policy: JSON.stringify({ Version: '2012-10-17', Statement: [statement] }) }));
    const root = { AWS: `arn:aws:iam::${accounts.first}:root` };
    expect(await policy({ Effect: 'Allow', Principal: root, Action: 'kms:Encrypt', Resource: '*' })).toBe(
      'MalformedPolicyDocumentException: The new key policy will not allow you to update the key policy in the future.',
    );
    const unknown = {
      Effect: 'Allow',
      Principal: root,
      Action: 'kms:*',
      Resource: '*',
      Condition: { Bool: { 'aws:SecureTransport': 'true' } },
    };
    expect(await policy(unknown)).toMatch(/^MalformedPolicyDocumentException/);
    expect(
      await policy({ Effect: 'Allow', Principal: { AWS: 'arn:aws:iam::1:user/x' }, Action: '*', Resource: '*' }),
    ).toBe('MalformedPolicyDocumentException: Policy contains a statement with one or more invalid principals.');
    expect(await failure(newKey({ Policy: '{' }))).toMatch(/^MalformedPolicyDocumentException/);
  });
});
