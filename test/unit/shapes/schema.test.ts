// JSON Schemas of shapes, by the words of draft 2020-12.
import { expect, it } from 'vitest';
import { schemaOf } from '../../../src/shapes/schema.js';
import * as shapes from '../../../src/shapes/shape.js';

it('says of each kind what a schema can say', () => {
  const { required, withDefault } = shapes;
  const shape = shapes.structure({
    Name: required(shapes.text({ min: 1, max: 256, pattern: '[a-z]' })),
    Secret: shapes.secret(shapes.blob(1, 4096)),
    Spec: withDefault(shapes.oneOf(['A', 'B']), 'A'),
    Limit: shapes.integer(1, 1000),
    On: shapes.boolean,
    At: shapes.timestamp,
    Tags: shapes.list(shapes.text({ min: 0, max: 9 }), 50),
    All: shapes.list(shapes.boolean, shapes.anyNumber),
    Context: shapes.textMap(8192),
  });
  expect(schemaOf(shape)).toEqual({
    type: 'object',
    required: ['Name'],
    properties: {
      Name: { type: 'string', minLength: 1, maxLength: 256, pattern: '^(?:[a-z])$' },
      // 4096 bytes are 1365 groups of three and one byte more.
      Secret: { type: 'string', contentEncoding: 'base64', minLength: 4, maxLength: 5464, format: 'password' },
      Spec: { type: 'string', enum: ['A', 'B'], default: 'A' },
      Limit: { type: 'integer', minimum: 1, maximum: 1000 },
      On: { type: 'boolean' },
      At: { type: 'number', description: 'seconds since 1970-01-01 UTC' },
      Tags: { type: 'array', items: { type: 'string', minLength: 0, maxLength: 9 }, maxItems: 50 },
      All: { type: 'array', items: { type: 'boolean' } },
      Context: { type: 'object', additionalProperties: { type: 'string' } },
    },
  });
});
