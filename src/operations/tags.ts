// Tags of keys: TagResource, UntagResource, ListResourceTags.
import { BridgeError } from '../kernel/errors.js';
import type { Tag } from '../model/key.js';
import { quotas } from '../model/quotas.js';
import { required, structure } from '../shapes/shape.js';
import { changedKey, define } from './define.js';
import * as member from './members.js';
import { pageInput, pageOutput, paginate } from './pagination.js';
import * as on from './resources.js';

/** Letters, digits, white space and `_ . : / = + - @` (AWS Tagging User Guide, "Tag naming limits and requirements"). */
const allowed = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u;

/** TagException: `Duplicate tag keys`, `Too many tags`, `Tags beginning with aws: are reserved`, `Invalid tag`. */
export function requireValidTags(tags: readonly Tag[]): void {
  if (new Set(tags.map((tag) => tag.TagKey)).size < tags.length)
    throw new BridgeError('TagException', 'Duplicate tag keys');
  requireFewTags(tags);
  tags.forEach((tag) => requireUnreserved(tag.TagKey));
  if (!tags.every((tag) => allowed.test(tag.TagKey) && allowed.test(tag.TagValue)))
    throw new BridgeError('TagException', 'Invalid tag');
}

function requireFewTags(tags: readonly Tag[]): void {
  if (tags.length > quotas.tagsPerResource) throw new BridgeError('TagException', 'Too many tags');
}

function requireUnreserved(tagKey: string): void {
  if (/^aws:/i.test(tagKey)) throw new BridgeError('TagException', 'Tags beginning with aws: are reserved');
}

export const tagResource = define({
  name: 'TagResource',
  effect: 'change',
  crossAccount: false,
  quota: 'own',
  input: structure({ KeyId: required(member.keyId), Tags: required(member.tags) }),
  resources: {
    key: on.key('kms:TagResource', 'KeyId', { accepts: 'manageable', conditions: { 'aws:RequestTag': 'Tags' } }),
  },
  output: changedKey.output,
  noted: changedKey.noted,
  record: { request: ['KeyId', 'Tags'], response: changedKey.response },
  check: (input) => requireValidTags(input.Tags),
  run: async (input, { services, keys }) => {
    await services.store.keys.update(keys.key, (key) => {
      const merged = new Map(key.tags.map((tag) => [tag.TagKey, tag] as const));
      for (const tag of input.Tags) merged.set(tag.TagKey, tag);
      const tags = [...merged.values()];
      requireFewTags(tags);
      return { ...key, tags };
    });
    return changedKey.result(keys.key);
  },
});

export const untagResource = define({
  name: 'UntagResource',
  effect: 'change',
  crossAccount: false,
  quota: 'own',
  input: structure({ KeyId: required(member.keyId), TagKeys: required(member.tagKeys) }),
  resources: {
    key: on.key('kms:UntagResource', 'KeyId', { accepts: 'manageable', conditions: { 'aws:RequestTag': 'TagKeys' } }),
  },
  output: changedKey.output,
  noted: changedKey.noted,
  record: { request: ['KeyId', 'TagKeys'], response: changedKey.response },
  check: (input) => input.TagKeys.forEach(requireUnreserved),
  run: async (input, { services, keys }) => {
    const removed = new Set(input.TagKeys);
    await services.store.keys.update(keys.key, (key) => ({
      ...key,
      tags: key.tags.filter((tag) => !removed.has(tag.TagKey)),
    }));
    return changedKey.result(keys.key);
  },
});

export const listResourceTags = define({
  name: 'ListResourceTags',
  effect: 'read',
  crossAccount: false,
  quota: 'own',
  input: structure({ KeyId: required(member.keyId), ...pageInput }),
  output: structure({ Tags: required(member.tags), ...pageOutput }),
  resources: { key: on.key('kms:ListResourceTags', 'KeyId', { accepts: 'any' }) },
  record: { request: ['KeyId', 'Limit', 'Marker'] },
  run: async (input, { keys }) => {
    const tags = [...keys.key.tags].sort((a, b) => (a.TagKey < b.TagKey ? -1 : 1));
    const { items, ...page } = await paginate(
      'ListResourceTags',
      input,
      50,
      (tag: Tag) => tag.TagKey,
      ({ after, limit }) =>
        Promise.resolve(tags.filter((tag) => after === undefined || tag.TagKey > after).slice(0, limit)),
    );
    return { Tags: items, ...page };
  },
});
