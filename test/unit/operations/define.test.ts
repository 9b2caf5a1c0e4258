// What cannot be defined: the types refuse it, which the compiler checks here. (Each `@ts-expect-error` fails the build when it compiles.)
import { expect, it } from 'vitest';
import { define } from '../../../src/operations/define.js';
import * as on from '../../../src/operations/resources.js';
import { blob, required, secret, structure, text, type ValueOf } from '../../../src/shapes/shape.js';

const keyId = required(text({ min: 1, max: 9 }));
const input = structure({ KeyId: keyId, Plaintext: required(secret(blob(1, 9))) });
const base = {
  name: 'Test',
  effect: 'read',
  crossAccount: false,
  quota: 'own',
  input,
  output: structure({ KeyId: keyId, Plaintext: required(secret(blob(1, 9))) }),
} as const;
const record = { request: ['KeyId'] } as const;
const resources = { source: on.key('kms:Test', 'KeyId', { accepts: 'any' }) };

it('an operation that records a secret', () => {
  const make = () =>
    define({
      ...base,
      resources,
      run: (asked) => Promise.resolve(asked),
      // @ts-expect-error a plaintext is not for the record
      record: { request: ['Plaintext'] },
    });
  expect(make).toThrow('Plaintext is not for the record');
  const answering = () =>
    define({
      ...base,
      resources,
      run: (asked) => Promise.resolve(asked),
      // @ts-expect-error neither is one that was answered
      record: { ...record, response: ['Plaintext'] },
    });
  expect(answering).toThrow('Plaintext is not for the record');
});

it('an operation that answers bytes where a secret is due, or too little', () => {
  const bare = Buffer.alloc(1);
  // @ts-expect-error what is secret is wrapped
  define({ ...base, resources, record, run: () => Promise.resolve({ KeyId: 'x', Plaintext: bare }) });
  // @ts-expect-error a required member is missing
  define({ ...base, resources, record, run: (asked) => Promise.resolve({ Plaintext: asked.Plaintext }) });
});

it('an operation without a permission', () => {
  const run = (asked: ValueOf<typeof input>) => Promise.resolve(asked);
  // @ts-expect-error it touches nothing
  define({ ...base, record, run, resources: {} });
  const sometimes = { tags: on.accountIfGiven('kms:TagResource', 'KeyId', {}) };
  // @ts-expect-error it touches something only sometimes
  define({ ...base, record, run, resources: sometimes });
  // @ts-expect-error the member that names it is not in the input
  define({ ...base, record, run, resources: { key: on.key('kms:Test', 'KeyIt', { accepts: 'any' }) } });
  const conditions = { 'kms:KeySpec': 'KeySpec' } as const;
  // @ts-expect-error neither is the one that has a condition's value
  define({ ...base, record, run, resources: { key: on.key('kms:Test', 'KeyId', { accepts: 'any', conditions }) } });
});

it('an operation that reads what it did not name', () => {
  define({
    ...base,
    resources,
    record,
    check: (_input, asked) => {
      // @ts-expect-error it has no second key
      expect(asked.keys.destination).toBeUndefined();
      // @ts-expect-error its key is not an alias
      expect(asked.aliases.source).toBeUndefined();
      // @ts-expect-error a check reaches neither token nor store
      expect(asked.services).toBeUndefined();
    },
    validate: (asked, ...more) => {
      // @ts-expect-error validation has the input, and nothing else
      expect(more[0]).toBeUndefined();
      expect(asked).toBeDefined();
    },
    run: (asked, { keys }) => Promise.resolve({ KeyId: keys.source.keyId, Plaintext: asked.Plaintext }),
  });
});
