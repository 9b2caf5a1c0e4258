// What an independent reader, OpenSC's pkcs11-tool, says about the daemon's keys in the token: they were born there and never leave.
import { CreateKeyCommand, EncryptCommand, GenerateDataKeyCommand } from '@aws-sdk/client-kms';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestDaemon } from '../support/daemon.js';
import { asUser, daemonKeyIds, expectedObjects, pkcs11Tool, tokenObjects } from '../support/inside.js';

const regions = ['us-east-1', 'ap-northeast-2'];
let daemon: TestDaemon;
const keyIds = new Map<string, string>();
beforeAll(async () => {
  daemon = await TestDaemon.started();
  for (const region of regions) {
    const kms = daemon.client(region);
    const { KeyMetadata } = await kms.send(new CreateKeyCommand({}));
    const KeyId = KeyMetadata?.KeyId;
    // Used, since a token may show a used key otherwise than a new one.
    await kms.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('x') }));
    await kms.send(new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256' }));
    keyIds.set(region, KeyMetadata?.CurrentKeyMaterialId?.slice(0, 32) ?? '');
  }
});
afterAll(async () => {
  await daemon.clean();
});

/** Each object as pkcs11-tool prints it, by its ID. */
function objects(region: string): ReadonlyMap<string, string> {
  const { status, output } = pkcs11Tool(daemon.home, region, [...asUser, '--list-objects']);
  expect(status, output).toBe(0);
  const blocks = output.split(/^(?=\S.* Object)/m).filter((block) => block.includes(' Object'));
  return new Map(blocks.map((block) => [/^ {2}ID: +([0-9a-f]+)$/m.exec(block)?.[1] ?? block, block]));
}

describe.each(regions)('the token of %s', (region) => {
  it('holds exactly the keys of the store and the daemon’s own', () => {
    expect(tokenObjects(daemon.home, region)).toEqual(expectedObjects(daemon.home, region));
    expect([...objects(region).keys()].sort()).toEqual([...daemonKeyIds, keyIds.get(region)].sort());
  });

  it('says of every one that it is sensitive, always was, never extractable, and made inside', () => {
    for (const [id, block] of objects(region)) {
      const access = /^ {2}Access: +(.+)$/m.exec(block)?.[1]?.split(', ').sort();
      expect(access, `${id}\n${block}`).toEqual(['always sensitive', 'local', 'never extractable', 'sensitive']);
    }
  });

  it('lets KMS keys encrypt and decrypt only, and the seal key seal only', () => {
    const usage = (id: string | undefined): string =>
      /^ {2}Usage: +(.+)$/m.exec(objects(region).get(id ?? '') ?? '')?.[1] ?? '';
    expect(usage(keyIds.get(region))).toBe('encrypt, decrypt');
    expect(usage(daemonKeyIds[1])).toBe('encrypt, decrypt');
    // It prints `sign` for private keys only.
    expect(usage(daemonKeyIds[0])).toMatch(/^(sign, )?verify$/);
  });

  it('shows none of them to who has no PIN', () => {
    const { output } = pkcs11Tool(daemon.home, region, ['--list-objects']);
    expect(output).not.toContain('Secret Key Object');
  });

  it('refuses to give out a value', () => {
    const ids = [keyIds.get(region) ?? '', ...daemonKeyIds];
    for (const id of ids) {
      const { status, output } = pkcs11Tool(daemon.home, region, [
        ...asUser,
        '--read-object',
        '--type',
        'secrkey',
        '--id',
        id,
      ]);
      expect(status, output).not.toBe(0);
      expect(output).toContain('CKR_ATTRIBUTE_SENSITIVE');
    }
  });
});
