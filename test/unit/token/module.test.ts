// How a token is found among slots, of which some say nothing.
import { describe, expect, it } from 'vitest';
import { findToken, type LoadedModule } from '../../../src/token/host/module.js';

type Content = { readonly label: string; readonly serialNumber: string } | number;

/** A number is what C_GetTokenInfo of that slot returns; PKCS#11 §3.2 pads texts with blanks. */
function moduleWith(...contents: readonly Content[]): LoadedModule {
  const items = (index: number): object => ({
    handle: Buffer.of(index),
    getToken() {
      const content = contents[index];
      if (typeof content === 'number') throw Object.assign(new Error('CKR'), { code: content });
      return { ...content, label: content?.label.padEnd(32), flags: 0x8 };
    },
  });
  const slots = { getSlots: () => ({ length: contents.length, items }) };
  return { pkcs11: {}, slots } as unknown as LoadedModule;
}

const ours = { label: 'ours', serialNumber: '1' };
const theirs = { label: 'theirs', serialNumber: '2' };
const fault = (message: RegExp): object =>
  expect.objectContaining({ code: 'token-missing', message: expect.stringMatching(message) as string }) as object;

describe('a token', () => {
  it('is found whatever other slots answer', () => {
    for (const code of [0x30, 0xe1, 0x8000_0001]) {
      expect(findToken(moduleWith(code, theirs, ours, code), 'ours', null)).toMatchObject({ slot: Buffer.of(2) });
    }
  });

  it('that is not there is told from one that may be', () => {
    expect(findToken(moduleWith(theirs), 'ours', null)).toBeUndefined();
    expect(() => findToken(moduleWith(theirs, 0x30), 'ours', null)).toThrow(fault(/1 slot.*CKR_DEVICE_ERROR/));
  });

  it('is not chosen among two of its name but by its serial', () => {
    const module = moduleWith(ours, { ...ours, serialNumber: '3' });
    expect(() => findToken(module, 'ours', null)).toThrow(fault(/more than one/));
    expect(findToken(module, 'ours', '3')).toMatchObject({ slot: Buffer.of(1) });
  });
});
