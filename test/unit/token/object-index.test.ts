// The host's index of keys over a token that counts its calls: a key's first use searches nothing, and no turn reads more than a slice.
import { beforeEach, describe, expect, it } from 'vitest';
import { anyName, nameOf, NotReadYet, ObjectIndex } from '../../../src/token/host/object-index.js';

const id = (number: number): Buffer => Buffer.from(String(number).padStart(16, '0'));
const gone = (): Error => Object.assign(new Error('CKR_OBJECT_HANDLE_INVALID'), { code: 0x82 });

/** Handle n is the key with CKA_ID n. */
class CountingToken {
  readonly objects = new Map<string, Buffer>();
  searches = 0;
  reads = 0;
  searchMs = 0;
  nowMs = 0;

  put(ckaId: Buffer, handle = this.objects.size): Buffer {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32LE(handle);
    this.objects.set(bytes.toString('hex'), ckaId);
    return bytes;
  }

  findObjects(ckaId?: Buffer): Buffer[] {
    this.searches += 1;
    this.nowMs += this.searchMs;
    const found = [...this.objects].filter(([, own]) => ckaId === undefined || own.equals(ckaId));
    return found.map(([handle]) => Buffer.from(handle, 'hex'));
  }

  ckaIdOf(handle: Buffer): Buffer {
    this.reads += 1;
    const ckaId = this.objects.get(handle.toString('hex'));
    if (ckaId === undefined) throw gone();
    return ckaId;
  }

  monotonicMs(): number {
    return this.nowMs;
  }
}

let token: CountingToken;
let index: ObjectIndex;
beforeEach(() => {
  token = new CountingToken();
  for (let i = 0; i < 2000; i++) token.put(id(i));
  index = new ObjectIndex(token, token);
});

function readAll(): number {
  let slices = 0;
  for (let names: string[]; (names = index.readSlice()).length > 0; slices++) if (names.includes(anyName)) break;
  return slices;
}

describe('the index of 2,000 keys', () => {
  it('costs one search, and answers first uses without another', () => {
    index.start([]);
    readAll();
    expect([token.searches, token.reads]).toEqual([1, 2000]);
    for (let i = 0; i < 64; i++) expect(index.find(id(i * 31))).toHaveLength(1);
    expect([token.searches, token.reads]).toEqual([1, 2000]);
  });

  it('reads a bounded part of them in a turn, and keys that are known need not wait', () => {
    index.start([id(7)]);
    let slices = 0;
    for (let names: string[] = []; !names.includes(anyName); slices++) {
      const before = token.reads;
      expect(index.find(id(7))).toHaveLength(1);
      names = index.readSlice();
      expect(token.reads - before).toBeLessThanOrEqual(16);
      for (const name of names) if (name !== anyName) expect(index.find(Buffer.from(name, 'latin1'))).toHaveLength(1);
    }
    expect(slices).toBe(125);
  });

  it('lets a key wait that may be among those to be read, and does not search for it', () => {
    index.start([]);
    for (const asked of [id(3), id(999_999)]) expect(() => index.find(asked)).toThrow(NotReadYet);
    expect(() => index.page(undefined, 8192)).toThrow(NotReadYet);
    expect(token.searches).toBe(1);
    readAll();
    expect(index.find(id(3))).toHaveLength(1);
    expect(index.page(undefined, 8192)).toHaveLength(2000);
  });

  it('looks for an unknown key once in a while, however many ask for however many', () => {
    index.start([]);
    readAll();
    token.searchMs = 44;
    for (let i = 0; i < 500; i++) {
      expect(index.find(id(10_000 + (i % 64)))).toEqual([]);
      token.nowMs += 1;
    }
    // One search takes 44 ms, so the next may come 880 ms later.
    expect(token.searches).toBe(2);
    token.nowMs += 1000;
    token.put(id(10_001), 9001);
    expect(index.find(id(10_001))).toHaveLength(1);
    expect(token.searches).toBe(3);
  });

  it('keeps up with keys that are made, destroyed, and made or destroyed by others', () => {
    index.start([]);
    readAll();
    index.add(id(5000), token.put(id(5000), 8000));
    expect(index.find(id(5000))).toHaveLength(1);
    index.drop(id(5));
    token.objects.delete(token.put(id(5), 5).toString('hex'));
    token.objects.delete(token.put(id(6), 6).toString('hex'));
    token.put(id(6000), 8001);
    token.nowMs += 2000;
    expect(() => index.page(undefined, 8192)).toThrow(NotReadYet);
    expect(index.readSlice()).toEqual([nameOf(id(6000)), anyName]);
    const names = index.page(undefined, 8192).map(String);
    expect(names).toHaveLength(2000);
    expect(names).toEqual(expect.arrayContaining([String(id(5000)), String(id(6000))]));
    expect(names).not.toContain(String(id(6)));
  });

  it('gives the CKA_IDs in pages that miss none, in the order of their bytes, from one list', () => {
    for (let i = 0; i < 300; i++) token.put(Buffer.from([...Array<number>(15).fill(i % 256), i >> 8]), 9000 + i);
    index.start([]);
    readAll();
    const { searches } = token;
    const all: Buffer[] = [];
    for (let page: Buffer[] = index.page(undefined, 100); page.length > 0; page = index.page(all.at(-1), 100)) {
      expect(page.length).toBeLessThanOrEqual(100);
      all.push(...page);
      token.nowMs += 2000;
    }
    expect(token.searches).toBe(searches);
    const expected = [...token.objects.values()].map((ckaId) => ckaId.toString('hex')).sort();
    expect(all.map((ckaId) => ckaId.toString('hex'))).toEqual(expected);
  });

  it('leaves out what has no CKA_ID, and does not ask it again', () => {
    token.put(Buffer.alloc(0), 7000);
    index.start([]);
    readAll();
    expect(index.page(undefined, 8192)).toHaveLength(2000);
    const { reads } = token;
    token.nowMs += 2000;
    expect(index.page(undefined, 8192)).toHaveLength(2000);
    expect(token.reads).toBe(reads);
  });

  it('knows of two keys with one CKA_ID', () => {
    token.put(id(1), 7000);
    index.start([]);
    readAll();
    expect(index.find(id(1))).toHaveLength(2);
  });
});
