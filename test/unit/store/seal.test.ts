// The bytes under a row's seal: equal only for equal rows, and never made of values of another type.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeRow } from '../../../src/store/seal.js';
import { aliases } from '../../../src/store/aliases.js';
import { keys, type KeyColumns } from '../../../src/store/key-row.js';

// Few letters and short texts, so that neighbours often look alike.
const text = fc.string({ unit: fc.constantFrom('a', '\0', '\u0001', 'ä', '🔑'), maxLength: 3 });
const integer = fc.oneof(fc.integer({ min: -1, max: 2 }), fc.maxSafeInteger());
const aliasRow = fc.record({
  region: text,
  account_id: text,
  alias_name: text,
  version: integer,
  key_id: text,
  created_at_ms: integer,
  updated_at_ms: integer,
});
const keyRow: KeyColumns = {
  region: 'r',
  account_id: 'a',
  key_id: 'k',
  version: 1,
  status: 'enabled',
  material_missing: 0,
  spec: 's',
  usage: 'u',
  description: '',
  created_at_ms: 0,
  deletion_at_ms: null,
  policy: '{}',
  tags: '[]',
  backing_keys: '[]',
  pending_material_id: null,
  incarnation: 0,
  life: null,
  generations: null,
  key_store: null,
};

describe('encodeRow', () => {
  it('is injective', () => {
    fc.assert(
      fc.property(aliasRow, aliasRow, (a, b) => {
        const same = JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort());
        expect(encodeRow(aliases, a).equals(encodeRow(aliases, b))).toBe(same);
      }),
      { numRuns: 2_000 },
    );
  });

  it('tells null, empty and zero apart, and neighbouring columns', () => {
    const variants: Partial<KeyColumns>[] = [
      {},
      { deletion_at_ms: 0 },
      { pending_material_id: '' },
      { spec: 'su', usage: '' },
      { spec: '', usage: 'su' },
      { tags: '{}', policy: '[]' },
      { incarnation: -1 },
      { incarnation: 2 ** 53 - 1 },
      { key_store: '' },
    ];
    const encoded = variants.map((over) => encodeRow(keys, { ...keyRow, ...over }).toString('hex'));
    expect(new Set(encoded).size).toBe(variants.length);
  });

  it('does not depend on the order in which columns arrive', () => {
    const reversed = Object.fromEntries(Object.entries(keyRow).reverse()) as unknown as KeyColumns;
    expect(encodeRow(keys, reversed).equals(encodeRow(keys, keyRow))).toBe(true);
  });

  it.each([
    ['policy', 5],
    ['policy', undefined],
    ['policy', Buffer.from('{}')],
    ['incarnation', '0'],
    ['incarnation', true],
    ['incarnation', 0n],
    ['incarnation', 0.5],
    ['incarnation', 2 ** 53],
    ['incarnation', Number.NaN],
  ])('refuses %s of another type', (column, value) => {
    const row = { ...keyRow, [column]: value } as unknown as KeyColumns;
    expect(() => encodeRow(keys, row)).toThrow(TypeError);
  });
});
