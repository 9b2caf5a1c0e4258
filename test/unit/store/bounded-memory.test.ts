// The memory of rows: bounded in bytes over all places, one charge for one value, the least used leave first, and places never disagree.
import { describe, expect, it } from 'vitest';
import { BoundedMemory, textBytes } from '../../../src/kernel/bounded-memory.js';
import { ReadCache } from '../../../src/store/cache.js';

const valueBytes = 10_000;
interface Value {
  readonly n: number;
}

const cacheOn = (memory: BoundedMemory): ReadCache<Value> => new ReadCache('rows', memory, () => valueBytes);
const found = async (cache: ReadCache<Value>, id: string): Promise<number | undefined> => (await cache.get(id))?.n;

describe('BoundedMemory', () => {
  it('counts a value once, however many caches find it', async () => {
    const memory = new BoundedMemory(10 * valueBytes);
    const [byId, byMaterial] = [cacheOn(memory), cacheOn(memory)];
    const value = { n: 1 };
    await byId.load('id', () => Promise.resolve(value));
    const once = memory.bytes;
    await byMaterial.load('material', () => Promise.resolve(value));
    expect(memory.bytes - once).toBeLessThan(1_000);
    byId.drop('id');
    byMaterial.drop('material');
    expect(memory.bytes).toBe(0);
  });

  it('keeps what is used, in whichever cache, and lets the rest go from all', async () => {
    const memory = new BoundedMemory(5 * valueBytes);
    const [byId, byMaterial] = [cacheOn(memory), cacheOn(memory)];
    const hot = { n: -1 };
    await byId.load('hot', () => Promise.resolve(hot));
    await byMaterial.load('hot', () => Promise.resolve(hot));
    for (let n = 0; n < 100; n++) {
      const value = { n };
      await byId.load(String(n), () => Promise.resolve(value));
      await byMaterial.load(String(n), () => Promise.resolve(value));
      expect(memory.bytes).toBeLessThanOrEqual(5 * valueBytes);
      // Only by its material: its id must not be what counts.
      expect(await found(byMaterial, 'hot')).toBe(-1);
    }
    expect(await found(byId, 'hot')).toBe(-1);
    const left = Array.from({ length: 100 }, (_, n) => n);
    const inOne = await Promise.all(left.map((n) => found(byId, String(n))));
    expect(inOne).toEqual(await Promise.all(left.map((n) => found(byMaterial, String(n)))));
    expect(inOne.filter((n) => n !== undefined).length).toBeLessThanOrEqual(4);
    expect(inOne.at(-1)).toBe(99);
  });

  it('finds nothing of before a clear, and makes room of it', async () => {
    const memory = new BoundedMemory(5 * valueBytes);
    const cache = cacheOn(memory);
    for (let n = 0; n < 4; n++) await cache.load(String(n), () => Promise.resolve({ n }));
    cache.clear();
    expect(cache.get('0')).toBeUndefined();
    for (let n = 10; n < 14; n++) await cache.load(String(n), () => Promise.resolve({ n }));
    expect(await Promise.all([10, 11, 12, 13].map((n) => found(cache, String(n))))).toEqual([10, 11, 12, 13]);
    expect(memory.bytes).toBeLessThanOrEqual(5 * valueBytes);
  });

  it('never keeps what is larger than all of it', async () => {
    const memory = new BoundedMemory(valueBytes / 2);
    const cache = cacheOn(memory);
    expect(await cache.load('large', () => Promise.resolve({ n: 1 }))).toEqual({ n: 1 });
    expect(cache.get('large')).toBeUndefined();
    expect(memory.bytes).toBe(0);
  });

  it('knows that a text of two bytes a character holds twice as much', () => {
    expect(textBytes('鍵'.repeat(1_000)) - textBytes('')).toBe(2_000);
    expect(textBytes('k'.repeat(1_000)) - textBytes('')).toBe(1_000);
  });
});
