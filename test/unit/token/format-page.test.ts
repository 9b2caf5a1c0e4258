// docs/formats/token-ipc.md shows the table of calls as it is.
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { calls } from '../../../src/token/calls.js';

const page = readFileSync('docs/formats/token-ipc.md', 'utf8');

it('the table of requests is that of src/token/calls.ts', () => {
  const rows = Object.entries(calls)
    .sort(([, a], [, b]) => a.op - b.op)
    .map(([name, { op, args, answer }]) => `| ${op} | ${name} | ${args.form} | ${answer.form} |`);
  const section = page.slice(page.indexOf('## Requests'), page.indexOf('## Statuses'));
  expect(section.split('\n').filter((line) => /^\| \d+ \| \w+ \| /.test(line))).toEqual(rows);
});

it('no number of a call is used twice', () => {
  const numbers = Object.values(calls).map(({ op }) => op);
  expect(new Set(numbers).size).toBe(numbers.length);
});
