// Tags of keys: TagResource, UntagResource, ListResourceTags.
import { BridgeError } from '../kernel/errors.js';
import type { Tag } from '../model/key.js';
import { define, keyAt } from './define.js';
import * as member from './members.js';
import { paginate } from './pagination.js';
import { list, required, struct } from './shapes.js';

/** AWS's quota: tags of one key. */
const maxTags = 50;

/** TagException: `Duplicate tag keys`, `Too many tags`, `Tags beginning with aws: are reserved`. */
export function requireValidTags(tags: readonly Tag[]): void {
  if (new Set(tags.map((tag) => tag.TagKey)).size < tags.length)
    throw new BridgeError('TagException', 'Duplicate tag keys');
  if (tags.length > maxTags) throw new BridgeError('TagException', 'Too many tags');
  tags.forEach((tag) => requireUnreserved(tag.TagKey));
}

function requireUnreserved(tagKey: string): void {
  if (/^aws:/i.test(tagKey)) throw new BridgeError('TagException', 'Tags beginning with aws: are reserved');
}

export const tagResource = define({
  name: 'TagResource',
  readOnly: false,
  mutates: true,
  crossAccount: false,
  state: 'manageable',
  input: struct({ KeyId: required(member.keyId), Tags: required(member.tags) }),
  targets: (input) => [{ kind: 'key', permission: 'kms:TagResource', keyId: input.KeyId, aliases: false }],
  audited: { request: ['KeyId', 'Tags'] },
  run: async (input, call): Promise<undefined> => {
    requireValidTags(input.Tags);
    await call.services.store.keys.update(keyAt(call, 0), (key) => {
      const merged = new Map(key.tags.map((tag) => [tag.TagKey, tag] as const));
      for (const tag of input.Tags) merged.set(tag.TagKey, tag);
      const tags = [...merged.values()];
      requireValidTags(tags);
      return { ...key, tags };
    });
  },
});

export const untagResource = define({
  name: 'UntagResource',
  readOnly: false,
  mutates: true,
  crossAccount: false,
  state: 'manageable',
  input: struct({ KeyId: required(member.keyId), TagKeys: required(list(member.tagKey, 200)) }),
  targets: (input) => [{ kind: 'key', permission: 'kms:UntagResource', keyId: input.KeyId, aliases: false }],
  audited: { request: ['KeyId', 'TagKeys'] },
  run: async (input, call): Promise<undefined> => {
    input.TagKeys.forEach(requireUnreserved);
    const removed = new Set(input.TagKeys);
    await call.services.store.keys.update(keyAt(call, 0), (key) => ({
      ...key,
      tags: key.tags.filter((tag) => !removed.has(tag.TagKey)),
    }));
  },
});

export const listResourceTags = define({
  name: 'ListResourceTags',
  readOnly: true,
  mutates: false,
  crossAccount: false,
  state: 'any',
  input: struct({ KeyId: required(member.keyId), Limit: member.limit, Marker: member.marker }),
  targets: (input) => [{ kind: 'key', permission: 'kms:ListResourceTags', keyId: input.KeyId, aliases: false }],
  audited: { request: ['KeyId', 'Limit', 'Marker'] },
  run: async (input, call) => {
    const tags = [...keyAt(call, 0).tags].sort((a, b) => (a.TagKey < b.TagKey ? -1 : 1));
    const { items, ...page } = await paginate(
      input,
      50,
      (tag: Tag) => tag.TagKey,
      ({ after, limit }) =>
        Promise.resolve(tags.filter((tag) => after === undefined || tag.TagKey > after).slice(0, limit)),
    );
    return { Tags: items, ...page };
  },
});
