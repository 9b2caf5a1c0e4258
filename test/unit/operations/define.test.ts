// What cannot be defined: the types refuse it, which the compiler checks here. (Each `@ts-expect-error` fails the build when it compiles.)
import { expect, it } from 'vitest';
import { define } from '../../../src/operations/define.js';
import { blob, required, secret, structure, text } from '../../../src/shapes/shape.js';

const keyId = required(text({ min: 1, max: 9 }));
const input = structure({ KeyId: keyId, Plaintext: required(secret(blob(1, 9))) });
const base = {
  name: 'Test',
  readOnly: true,
  mutates: false,
  crossAccount: false,
  state: 'any',
  input,
  output: structure({ KeyId: keyId, Plaintext: required(secret(blob(1, 9))) }),
} as const;
const targets = () => [{ kind: 'account', permission: 'kms:Test' }] as const;
const request = ['KeyId'] as const;

it('an operation that records a secret', () => {
  const make = () =>
    define({
      ...base,
      targets,
      run: (asked) => Promise.resolve(asked),
      // @ts-expect-error a plaintext is not for the record
      record: { request: ['Plaintext'] },
    });
  expect(make).toThrow('Plaintext is not for the record');
  const answering = () =>
    define({
      ...base,
      targets,
      run: (asked) => Promise.resolve(asked),
      // @ts-expect-error neither is one that was answered
      record: { request, response: ['Plaintext'] },
    });
  expect(answering).toThrow('Plaintext is not for the record');
});

it('an operation that answers bytes where a secret is due, or too little', () => {
  const bare = Buffer.alloc(1);
  // @ts-expect-error what is secret is wrapped
  define({ ...base, targets, record: { request }, run: () => Promise.resolve({ KeyId: 'x', Plaintext: bare }) });
  // @ts-expect-error a required member is missing
  define({ ...base, targets, record: { request }, run: (asked) => Promise.resolve({ Plaintext: asked.Plaintext }) });
});
