// docs/configuration.md has one row for every setting, with the default and the sentence that the schema has.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { packageRoot } from '../../../src/config/load.js';
import { environmentSchema, fileSchema } from '../../../src/config/schema.js';

interface Node {
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly additionalProperties?: Node | false;
  readonly items?: Node;
  readonly required?: readonly string[];
}

const page = readFileSync(join(packageRoot, 'docs/configuration.md'), 'utf8');

function rows(node: Node, place: string[] = []): string[] {
  return Object.entries(node.properties ?? {}).flatMap(([name, child]) => {
    const path = [...place, name];
    const required = node.required?.includes(name) === true;
    const preset =
      child.default === undefined
        ? required
          ? 'needed'
          : 'none'
        : `\`${JSON.stringify(child.default).replaceAll('"', "'")}\``;
    const own = child.description === undefined ? [] : [`| \`${path.join('.')}\` | ${preset} | ${child.description} |`];
    const inner = child.additionalProperties;
    const below = child.properties !== undefined ? rows(child, path) : [];
    const named = inner && inner.properties ? rows(inner, [...path, 'REGION']) : [];
    const listed = child.items?.properties === undefined ? [] : rows(child.items, [...place, `${name}[]`]);
    return [...own, ...below, ...named, ...listed];
  });
}

const tableIn = (heading: string): string[] => {
  const section = page.slice(page.indexOf(heading)).split('\n## ')[0] ?? '';
  return section.split('\n').filter((line) => line.startsWith('| `'));
};
const squeeze = (line: string): string => line.replaceAll(/ +/g, ' ');

describe('docs/configuration.md', () => {
  it.each([
    ['## `serve`: the file', fileSchema],
    ['## `dev`: the environment', environmentSchema],
  ])('%s', (heading, schema) => {
    const expected = rows(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Node);
    expect(expected.length).toBeGreaterThan(5);
    expect(tableIn(heading).map(squeeze)).toEqual(expected);
  });
});
