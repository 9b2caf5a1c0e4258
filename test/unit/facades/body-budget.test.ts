// Memory that strangers may take: bounded, and never taken from those who send little.
import { afterEach, beforeEach, expect, it } from 'vitest';
import { accounts } from '../../support/line.js';
import { type BareLine, type Speaker, startBareLine, until } from './bare-line.js';

const mebibyte = 1_048_576;
let line: BareLine;
beforeEach(async () => {
  line = await startBareLine();
});
afterEach(() => line.close());

const codeOf = (text: string): string => (JSON.parse(text) as { __type: string }).__type;
const ask = async (bodyBytes: number): Promise<string> => {
  const speaker = await line.speaker();
  await speaker.say(line.claimed(bodyBytes) + ' '.repeat(bodyBytes));
  await until(() => speaker.text.includes('__type'));
  return codeOf(speaker.answer().text);
};

/** Strangers who together fill what bodies may take, each with `bytes` of the 1 MiB he announces. */
async function strangers(bytes: number, announced = mebibyte): Promise<Speaker[]> {
  const body = Buffer.alloc(bytes, 0x20);
  const all: Speaker[] = [];
  for (let n = 0; n < 9; n++) {
    const speaker = await line.speaker();
    await speaker.say(line.claimed(announced));
    await speaker.say(body);
    all.push(speaker);
  }
  return all;
}

it('takes in usual requests while strangers hold back the last byte of large ones', async () => {
  const held = await strangers(mebibyte - 1);
  // One of them was too many.
  await until(() => held.some(({ text }) => text.includes('ThrottlingException')));
  expect(await ask(200_000)).toBe('ThrottlingException');
  expect(await ask(2)).toBe('InvalidSignatureException');
  expect(await ask(8_192)).toBe('InvalidSignatureException');
  const listed = await line.speaker();
  await listed.say(line.call('ListKeys'));
  await until(() => listed.text.includes('"Keys"'));

  held.forEach(({ socket }) => socket.destroy());
  await until(() => line.server.calls === 0);
  let code: string;
  do code = await ask(200_000);
  while (code === 'ThrottlingException');
  expect(code).toBe('InvalidSignatureException');
});

it('takes in large requests of an account while another holds back the last byte of as many as it can', async () => {
  const proven = async (account: string): Promise<Speaker> => {
    const speaker = await line.speaker();
    await speaker.say(line.call('ListKeys', {}, account));
    await until(() => speaker.text.includes('"Keys"'));
    return speaker;
  };
  const body = Buffer.alloc(mebibyte - 1, 0x20);
  const held: Speaker[] = [];
  for (let n = 0; n < 33; n++) {
    const speaker = await proven(accounts.second);
    await speaker.say(line.claimed(mebibyte));
    await speaker.say(body);
    held.push(speaker);
  }
  await until(() => held.some(({ text }) => text.includes('ThrottlingException')));
  const other = await proven(accounts.first);
  await other.say(line.claimed(200_000) + ' '.repeat(200_000));
  await until(() => other.text.includes('__type'));
  expect(other.text).toContain('InvalidSignatureException');
});

it('counts a body until its call is answered, whether or not its client is still there', async () => {
  const { appendUnauthenticated } = line.audit;
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  line.audit.appendUnauthenticated = async (sourceIp, code, record) => {
    if (code !== 'ThrottlingException') await held;
    return appendUnauthenticated(sourceIp, code, record);
  };
  const waiting = await strangers(mebibyte);
  await until(() => line.started() === 9);
  expect(line.outcomes).toEqual(['unknown ThrottlingException']);
  expect(await ask(200_000)).toBe('ThrottlingException');
  waiting.forEach(({ socket }) => socket.destroy());
  await until(() => waiting.every(({ isClosed }) => isClosed));
  expect(await ask(200_000)).toBe('ThrottlingException');

  release();
  await until(() => line.server.calls === 0);
  expect(await ask(mebibyte)).toBe('InvalidSignatureException');
});
