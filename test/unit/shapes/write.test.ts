// What leaves: AWS's JSON for the caller, CloudTrail's rendering for the record; both at every depth, and neither with a member that no
// shape has. A secret is for the caller alone.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Secret } from '../../../src/kernel/secret.js';
import { recordWriter, sparseRecordWriter } from '../../../src/shapes/record.js';
import {
  blob,
  boolean,
  integer,
  list,
  oneOf,
  required,
  secret,
  structure,
  text,
  textMap,
  timestamp,
} from '../../../src/shapes/shape.js';
import { json11, writer } from '../../../src/shapes/write.js';

const anyText = text({ min: 0, max: 9 });
const entry = structure({ ValidTo: timestamp, Wrapped: blob(0, 9), Password: secret(anyText) });
const shape = structure({
  AWSAccountId: anyText,
  Flag: boolean,
  Count: integer(0, 9),
  State: oneOf(['Enabled']),
  ValidTo: timestamp,
  Blob: blob(0, 9),
  Plaintext: secret(blob(0, 9)),
  Passwords: list(secret(anyText), 9),
  Context: textMap(99),
  Names: list(anyText, 9),
  Entries: list(entry, 9),
  Entry: required(entry),
});
const validTo = Date.UTC(2022, 7, 10, 22, 38, 27);
const inner = { ValidTo: validTo, Wrapped: Buffer.from('열쇠'), Password: new Secret('hunter2') };
const value = {
  AWSAccountId: '111122223333',
  Flag: false,
  Count: 0,
  State: 'Enabled' as const,
  ValidTo: validTo + 500,
  Blob: Buffer.of(0, 255),
  Plaintext: new Secret(Buffer.from('hunter2')),
  Passwords: [new Secret('hunter2')],
  Context: { Ab: '"', __proto__x: '' },
  Names: [],
  Entries: [inner, { Wrapped: Buffer.alloc(0) }],
  Entry: inner,
};
const wrapped = Buffer.from('열쇠').toString('base64');

describe("AWS's JSON", () => {
  const write = writer(shape, json11);

  it('has bytes as base64 and times as seconds, at every depth', () => {
    const seconds = validTo / 1000;
    const written = { ValidTo: seconds, Wrapped: wrapped, Password: 'hunter2' };
    expect(JSON.parse(write(value))).toEqual({
      ...value,
      ValidTo: seconds + 0.5,
      Blob: 'AP8=',
      Plaintext: 'aHVudGVyMg==',
      Passwords: ['hunter2'],
      Entries: [written, { Wrapped: '' }],
      Entry: written,
    });
  });

  it('has no member that its shape has not, and none without a value', () => {
    const more = { Entry: { ...inner, Row: 'inner' }, Row: 'seal', Count: undefined };
    expect(Object.keys(JSON.parse(write(more)) as object)).toEqual(['Entry']);
    expect(write(more)).not.toMatch(/Row|seal|inner/);
    expect(writer(structure({ A: anyText }), json11)({})).toBe('{}');
  });

  it('is what JSON.stringify makes of texts, whatever is in them', () => {
    const texts = writer(structure({ A: anyText, M: textMap(9) }), json11);
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 9 }),
        fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 }),
        (A, M) => {
          expect(texts({ A, M })).toBe(JSON.stringify({ A, M }));
        },
      ),
    );
  });
});

describe("CloudTrail's rendering", () => {
  const names = ['AWSAccountId', 'Flag', 'Count', 'State', 'ValidTo', 'Blob', 'Context', 'Names', 'Entries', 'Entry'];
  // CloudTrail's own example of a date: AWS KMS Developer Guide, "CreateKey" in the log.
  const date = 'Aug 10, 2022, 10:38:27 PM';
  const entries = [{ validTo: date, wrapped }, { wrapped: '' }];

  it('has small first letters and dates in words at every depth, and no secret', () => {
    expect(JSON.parse(recordWriter(shape.members, names)(value))).toEqual({
      aWSAccountId: '111122223333',
      flag: false,
      count: 0,
      state: 'Enabled',
      validTo: date,
      blob: 'AP8=',
      context: value.Context,
      names: [],
      entries,
      entry: entries[0],
    });
  });

  it('leaves out of a request what nobody sent', () => {
    expect(JSON.parse(sparseRecordWriter(shape.members, names)({ ...value, Context: {} }))).toEqual({
      aWSAccountId: '111122223333',
      count: 0,
      state: 'Enabled',
      validTo: date,
      blob: 'AP8=',
      entries,
      entry: entries[0],
    });
    expect(sparseRecordWriter(shape.members, names)({})).toBe('{}');
  });

  it.each(['Plaintext', 'Passwords', 'Nowhere'])(
    'is not to be had of %s, whatever the types were made to say',
    (name) => {
      expect(() => recordWriter(shape.members, [name])).toThrow(`${name} is not for the record`);
    },
  );
});
