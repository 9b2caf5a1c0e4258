// A shape as JSON Schema (draft 2020-12), for documents and for clients' generators: what AWS's JSON carries of it.
import type { Shape } from './shape.js';

/** The schema of one shape. A secret has the format that OpenAPI knows for what must not be shown. */
export function schemaOf(shape: Shape): Readonly<Record<string, unknown>> {
  const marks = {
    ...(shape.default === undefined ? {} : { default: shape.default }),
    ...(shape.secret === true ? { format: 'password' } : {}),
  };
  return { ...kindOf(shape), ...marks };
}

function kindOf(shape: Shape): Readonly<Record<string, unknown>> {
  switch (shape.kind) {
    case 'text': {
      const { min, max, pattern } = shape;
      const bounds = { type: 'string', minLength: min, maxLength: max };
      return pattern === undefined ? bounds : { ...bounds, pattern: `^(?:${pattern})$` };
    }
    case 'enum':
      return { type: 'string', enum: shape.values };
    case 'blob':
      return { type: 'string', contentEncoding: 'base64', minLength: base64(shape.min), maxLength: base64(shape.max) };
    case 'timestamp':
      return { type: 'number', description: 'seconds since 1970-01-01 UTC' };
    case 'integer':
    case 'long':
      return { type: 'integer', minimum: shape.min, maximum: shape.max };
    case 'boolean':
      return { type: 'boolean' };
    case 'list':
      return {
        type: 'array',
        items: schemaOf(shape.item),
        ...(Number.isFinite(shape.max) ? { maxItems: shape.max } : {}),
      };
    case 'map':
      return { type: 'object', additionalProperties: { type: 'string' } };
    case 'structure': {
      const members = Object.entries(shape.members);
      const needed = members.filter(([, member]) => member.required === true).map(([name]) => name);
      const properties = Object.fromEntries(members.map(([name, member]) => [name, schemaOf(member)]));
      return { type: 'object', properties, ...(needed.length === 0 ? {} : { required: needed }) };
    }
  }
}

/** How many characters that many bytes are, padding included. */
const base64 = (bytes: number): number => 4 * Math.ceil(bytes / 3);
