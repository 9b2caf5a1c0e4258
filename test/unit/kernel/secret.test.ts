// What may not be seen: it is printed nowhere, and where a text is due it does not compile. (Each `@ts-expect-error` fails the build when
// it compiles.)
import { inspect } from 'node:util';
import { expect, it } from 'vitest';
import { Secret } from '../../../src/kernel/secret.js';
import type { Credential } from '../../../src/model/principal.js';
import type { Log } from '../../../src/process/log.js';
import type { Token } from '../../../src/ports/token.js';
import { calls } from '../../../src/token/calls.js';
import { BridgeError } from '../../../src/kernel/errors.js';

const bytes = new Secret(Buffer.from('hunter2'));
const credential: Credential = { accessKeyId: 'AKIA', accountId: '1', secretAccessKey: new Secret('hunter2') };
const trace = /hunter2|aHVudGVyMg|68756e74|104|68 75 6e/;

it('shows nothing of itself, however it is printed', () => {
  const held = { credential, bytes, list: [bytes] };
  for (const printed of [
    String(credential.secretAccessKey),
    `${credential.secretAccessKey.toString()} ${bytes.toString()}`,
    JSON.stringify(held),
    inspect(held, { depth: 9, showHidden: true }),
    inspect(new Error('x', { cause: held }), { depth: 9 }),
    JSON.stringify(Object.assign({}, bytes)),
    inspect(structuredClone(held), { depth: 9, showHidden: true }),
  ]) {
    expect(printed).not.toMatch(trace);
  }
});

it('is what comes out of a token, in every call that has one', () => {
  const read = <T>(answer: { read(payload: Buffer, start: number, end: number): T }): T =>
    answer.read(Buffer.from('hunter2'), 0, 7);
  expect(read(calls.decrypt.answer).reveal().toString()).toBe('hunter2');
  expect(inspect([read(calls.decrypt.answer), read(calls.random.answer)])).not.toMatch(trace);
});

it('does not compile where it would be written down', () => {
  const lines: unknown[] = [];
  const log: Pick<Log, 'error'> = { error: (line) => void lines.push(line) };
  const details: Record<string, string>[] = [];
  // @ts-expect-error a line of the log is a text
  log.error(credential.secretAccessKey);
  // @ts-expect-error so is what an error says
  lines.push(new BridgeError('ValidationException', credential.secretAccessKey).message);
  // @ts-expect-error and what a record says
  details.push({ secret: credential.secretAccessKey });
  // @ts-expect-error the port takes no bare plaintext
  const takesBytes: Buffer extends Parameters<Token['encrypt']>[2] ? true : false = true;
  // @ts-expect-error and gives none
  const random: (token: Token) => Promise<Buffer> = (token) => token.random(1);
  expect([inspect([lines, details]), random.length, takesBytes]).toEqual([expect.not.stringMatching(trace), 1, true]);
});
