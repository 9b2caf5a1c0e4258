// The ids of all rows, packed: what goes in comes out in order, and what another hand wrote into the index does not.
import { describe, expect, it } from 'vitest';
import { PackedIds } from '../../../src/pipeline/packed-ids.js';

const id = (n: number): string => n.toString(16).padStart(32, '0');

const packed = (...pages: string[][]): string[] => {
  const ids = new PackedIds();
  for (const page of pages) ids.add(page);
  return [...ids];
};

describe('packed ids', () => {
  it('come out as they went in, over all pages', () => {
    expect(packed([id(1), id(0xab)], [], ['f'.repeat(32)])).toEqual([id(1), id(0xab), 'f'.repeat(32)]);
    expect(packed([])).toEqual([]);
  });

  it('leave out what is no id, and what would break the order', () => {
    const strange = ['', '0', `${id(2)}0`, id(0xab).toUpperCase(), 'g'.repeat(32), '鍵'.repeat(32)];
    for (const text of strange) expect(packed([id(1), text], [id(0xabc)])).toEqual([id(1), id(0xabc)]);
    expect(packed([id(2), id(1), id(2)], [id(1), id(3)])).toEqual([id(2), id(3)]);
  });
});
