// Arguments: the model's constraints, the service's own rules, and when each is asked; expected texts are AWS's, patterns and enums the
// service model's.
import * as kms from '@aws-sdk/client-kms';
import { describe, expect, it } from 'vitest';
import { accounts, createKey, failure, lineOfSuite, region } from '../../support/line.js';

const { line, client, other, keyId: KeyId, newKey } = await lineOfSuite();

const tag = (Tags: kms.Tag[]) => failure(client.send(new kms.TagResourceCommand({ KeyId, Tags })));
const untag = (TagKeys: string[]) => failure(client.send(new kms.UntagResourceCommand({ KeyId, TagKeys })));
const create = (input: kms.CreateKeyCommandInput) => failure(newKey(input));
const numbered = (count: number): kms.Tag[] =>
  Array.from({ length: count }, (_, i) => ({ TagKey: `n${i}`, TagValue: '' }));

/** The kinds of the records that the call leaves. */
async function recordsOf(call: () => Promise<unknown>): Promise<string[]> {
  const before = line.audit.records.length;
  await call();
  return line.audit.records.slice(before).map(({ kind }) => kind);
}

describe('tags', () => {
  it('are set, replaced, listed over pages and removed', async () => {
    const two = [
      { TagKey: 'b', TagValue: '1' },
      { TagKey: 'a', TagValue: '2' },
    ];
    expect(await tag(two)).toBe('no error');
    expect(await tag([{ TagKey: 'b', TagValue: '3' }])).toBe('no error');
    const tags = async () => await client.send(new kms.ListResourceTagsCommand({ KeyId, Limit: 1 }));
    expect(await tags()).toMatchObject({ Tags: [{ TagKey: 'a', TagValue: '2' }], Truncated: true });
    expect(await untag(['a'])).toBe('no error');
    expect(await tags()).toMatchObject({ Tags: [{ TagKey: 'b', TagValue: '3' }], Truncated: false });
    expect(await untag(['b'])).toBe('no error');
  });

  it.each([
    ['Duplicate tag keys', [...numbered(1), ...numbered(1)]],
    ['Too many tags', numbered(51)],
    ['Too many tags', numbered(201)],
    ['Tags beginning with aws: are reserved', [{ TagKey: 'aws:x', TagValue: '' }]],
    ['Invalid tag', [{ TagKey: 'Owner', TagValue: 'My & My Team' }]],
    ['Invalid tag', [{ TagKey: 'a*', TagValue: '' }]],
    ['Invalid tag', [{ TagKey: 'a', TagValue: 'line\nbreak' }]],
  ])('are refused: %s', async (text, Tags) => {
    expect(await tag(Tags)).toBe(`TagException: ${text}`);
    expect(await create({ Tags })).toBe(`TagException: ${text}`);
    expect(await recordsOf(() => tag(Tags))).toEqual(['event']);
    expect(await recordsOf(() => create({ Tags }))).toEqual(['event']);
  });

  it('may have any letter, digit and white space, and some signs', async () => {
    expect(await tag([{ TagKey: '팀 Équipe١_.:/=+-@', TagValue: 'ß 9_.:/=+-@' }])).toBe('no error');
    expect(await untag(['팀 Équipe١_.:/=+-@'])).toBe('no error');
  });

  it('are counted with those the key has', async () => {
    expect(await tag(numbered(50))).toBe('no error');
    expect(await tag([{ TagKey: 'x', TagValue: '' }])).toBe('TagException: Too many tags');
    expect(await tag([{ TagKey: 'n0', TagValue: 'replaced' }])).toBe('no error');
    expect(await untag(Array.from({ length: 300 }, (_, i) => `n${i}`))).toBe('no error');
    expect(await untag(['aws:x'])).toBe('TagException: Tags beginning with aws: are reserved');
  });

  it('are read no further than an answer may grow', async () => {
    expect(await tag([{ TagKey: '', TagValue: '' }])).toMatch(/Value '' at 'tags\.1\.member\.tagKey' failed/);
    const answer = await tag(Array.from({ length: 1000 }, () => ({ TagKey: '', TagValue: '' })));
    expect(answer).toMatch(/^ValidationException: 100 validation errors detected: /);
    expect(answer.length).toBeLessThan(20_000);
    expect(await tag(numbered(1000))).toBe('TagException: Too many tags');
    expect(await tag(numbered(1001))).toBe(
      "ValidationException: 1 validation error detected: Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to 1000",
    );
    expect(await tag(numbered(10_000))).toBe('ValidationException: The request has more than 8192 JSON values.');
  });
});

describe('what AWS asks of arguments alone', () => {
  it.each([1, 6, 31, 365])('refuses a waiting period of %d days, before the key is looked up', async (days) => {
    const schedule = (id: string) =>
      failure(client.send(new kms.ScheduleKeyDeletionCommand({ KeyId: id, PendingWindowInDays: days })));
    const text = 'ValidationException: PendingWindowInDays must be between 7 and 30';
    expect(await schedule(KeyId)).toBe(text);
    expect(await schedule('00000000-0000-4000-8000-000000000000')).toBe(text);
    expect(await recordsOf(() => schedule(KeyId))).toEqual(['event']);
  });

  it('refuses a key that cannot be made without an intent', async () => {
    const locked = JSON.stringify({ Version: '2012-10-17', Statement: [] });
    for (const input of [
      { MultiRegion: true },
      { Policy: '{' },
      { Policy: locked },
      { KeySpec: 'RSA_2048' as const },
    ]) {
      expect(await recordsOf(() => create(input))).toEqual(['event']);
    }
  });

  it('knows the specs and usages of the model, and serves what it can', async () => {
    for (const KeySpec of ['ML_KEM_512', 'ML_KEM_768', 'ML_KEM_1024'] as const) {
      expect(await create({ KeySpec, KeyUsage: 'ENCAPSULATE_DECAPSULATE' })).toMatch(/^UnsupportedOperationException/);
    }
    const old = (spec: string) => Object.fromEntries([['CustomerMasterKeySpec', spec]]) as kms.CreateKeyCommandInput;
    for (const spec of Object.values(kms.CustomerMasterKeySpec)) {
      expect(await create({ ...old(spec), KeyUsage: 'ENCRYPT_DECRYPT' })).toMatch(
        spec === 'SYMMETRIC_DEFAULT'
          ? /^no error$/
          : spec.startsWith('HMAC_')
            ? /^ValidationException: KeyUsage ENCRYPT_DECRYPT is not compatible with KeySpec HMAC_\d+$/
            : /^UnsupportedOperationException/,
      );
    }
    for (const spec of Object.values(kms.KeySpec).filter((spec) => !(spec in kms.CustomerMasterKeySpec))) {
      expect(await create(old(spec))).toBe(
        `ValidationException: 1 validation error detected: Value '${spec}' at 'customerMasterKeySpec' failed to satisfy constraint: ` +
          'Member must satisfy enum value set: [RSA_2048, RSA_3072, RSA_4096, ECC_NIST_P256, ECC_NIST_P384, ECC_NIST_P521, ' +
          'ECC_SECG_P256K1, SYMMETRIC_DEFAULT, HMAC_224, HMAC_256, HMAC_384, HMAC_512, SM2]',
      );
    }
  });

  it('prints the patterns of the model', async () => {
    expect(await create({ XksKeyId: 'a b' })).toBe(
      "ValidationException: 1 validation error detected: Value 'a b' at 'xksKeyId' failed to satisfy constraint: " +
        'Member must satisfy regular expression pattern: ^[a-zA-Z0-9-_.]+$',
    );
  });

  it('knows one policy of a key', async () => {
    expect(await failure(client.send(new kms.GetKeyPolicyCommand({ KeyId, PolicyName: 'other' })))).toBe(
      'NotFoundException: No such policy exists',
    );
  });
});

describe('KeyId', () => {
  const describeKey = (id: string) => failure(client.send(new kms.DescribeKeyCommand({ KeyId: id })));
  const arnOf = (id: string, accountId: string = accounts.first) => `arn:aws:kms:${region}:${accountId}:key/${id}`;

  it('is a UUID or the id of a multi-Region key, in an ARN of the own account too', async () => {
    for (const id of ['786CA7CD-B74B-42B3-B887-902AD7AB6429', 'mrk-1234567812341234123412345678901a']) {
      const text = `NotFoundException: Key '${arnOf(id)}' does not exist`;
      expect([await describeKey(id), await describeKey(arnOf(id))]).toEqual([text, text]);
    }
    for (const id of ['foo', 'mrk-1234', '12345678123412341234123456789012']) {
      const text = `NotFoundException: Invalid keyId '${id}'`;
      expect([await describeKey(id), await describeKey(arnOf(id))]).toEqual([text, text]);
    }
  });

  it('of another account is answered alike, whatever it looks like', async () => {
    const foreign = await createKey(other);
    const answer = await describeKey(foreign.Arn!);
    expect(answer).toMatch(/^AccessDeniedException: .* because the resource does not exist in this Region, /);
    expect(await describeKey(arnOf('foo', accounts.second))).toBe(answer);
  });
});

describe('lists', () => {
  const lists: Record<
    string,
    (page: { Limit?: number; Marker?: string | undefined }) => Promise<{ NextMarker?: string | undefined }>
  > = {
    ListKeys: (page) => client.send(new kms.ListKeysCommand(page)),
    ListAliases: (page) => client.send(new kms.ListAliasesCommand(page)),
    ListKeyPolicies: (page) => client.send(new kms.ListKeyPoliciesCommand({ KeyId, ...page })),
    ListResourceTags: (page) => client.send(new kms.ListResourceTagsCommand({ KeyId, ...page })),
  };

  it.each(Object.keys(lists))('%s takes a Limit of the model', async (name) => {
    const limited = (Limit: number) => failure(lists[name]!({ Limit }));
    const error = (value: number, must: string) =>
      `ValidationException: 1 validation error detected: Value '${value}' at 'limit' failed to satisfy constraint: Member must have value ${must}`;
    expect([await limited(1), await limited(1000)]).toEqual(['no error', 'no error']);
    expect(await limited(0)).toBe(error(0, 'greater than or equal to 1'));
    expect(await limited(1001)).toBe(error(1001, 'less than or equal to 1000'));
  });

  it('take their own markers alone', async () => {
    await newKey();
    expect(await tag(numbered(2))).toBe('no error');
    for (const AliasName of ['alias/a', 'alias/b'])
      await client.send(new kms.CreateAliasCommand({ AliasName, TargetKeyId: KeyId }));
    for (const from of ['ListKeys', 'ListAliases', 'ListResourceTags']) {
      const { NextMarker } = await lists[from]!({ Limit: 1 });
      for (const to of Object.keys(lists)) {
        // The one list whose errors in AWS's model do not have the usual one.
        const code = to === 'ListKeyPolicies' ? 'ValidationException' : 'InvalidMarkerException';
        const answer = await failure(lists[to]!({ Marker: NextMarker }));
        expect([from, to, answer]).toEqual([
          from,
          to,
          to === from ? 'no error' : `${code}: The marker is not one that this operation returned.`,
        ]);
      }
    }
  });
});
