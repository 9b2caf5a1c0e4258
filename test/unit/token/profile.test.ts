// Every profile in native-config is one, says why for each quirk, and a mistake in one is refused with its place.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StartFault } from '../../../src/token/host/fault.js';
import { pinObstacle } from '../../../src/token/host/login.js';
import { loadProfile } from '../../../src/token/host/profile.js';

let home: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'hsm-bridge-profile-'));
});

afterEach(() => {
  rmSync(home, { recursive: true });
});

describe.each(readdirSync('native-config'))('%s', (file) => {
  const path = join('native-config', file);
  const text = readFileSync(path, 'utf8');

  it('is a profile of its own name, with absolute module paths', () => {
    const profile = loadProfile(path);
    expect(`${profile.name}.json`).toBe(file);
    expect(profile.modulePaths.value.every(isAbsolute)).toBe(true);
  });

  it.each(Object.keys(JSON.parse(text) as object))('cannot be without %s, nor without its because', (field) => {
    const without = JSON.parse(text) as Record<string, unknown>;
    const quirk = without[field];
    without[field] = undefined;
    expect(() => load(without)).toThrow(field);
    if (typeof quirk !== 'object' || Array.isArray(quirk)) return;
    without[field] = { ...quirk, because: undefined };
    expect(() => load(without)).toThrow('because');
  });

  it('has no field that nothing reads', () => {
    expect(() => load({ ...(JSON.parse(text) as object), slotIndex: 0 })).toThrow(StartFault);
  });
});

it('a file that is no JSON is refused', () => {
  writeFileSync(join(home, 'profile.json'), '{');
  expect(() => loadProfile(join(home, 'profile.json'))).toThrow(StartFault);
});

describe('a login', () => {
  // CK_TOKEN_INFO.flags, PKCS#11 v2.40 §3.3: CKF_USER_PIN_INITIALIZED 0x8, COUNT_LOW 0x10000, FINAL_TRY 0x20000, LOCKED 0x40000.
  it.each([
    [0x8, false],
    [0x10008, false],
    [0x30008, true],
    [0x40008, true],
    [0x0, true],
  ])('with flags %i is held back: %s', (flags, held) => {
    expect(pinObstacle(flags) !== undefined).toBe(held);
  });
});

function load(profile: object): unknown {
  const path = join(home, 'profile.json');
  writeFileSync(path, JSON.stringify(profile));
  return loadProfile(path);
}
