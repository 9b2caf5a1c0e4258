// Generated documents are what the registry makes of them today.
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { operationsTable } from '../../../scripts/operations-table.mjs';
import { operations } from '../../../src/operations/index.js';

it('the table of operations is current (npm run generate)', () => {
  expect(readFileSync('docs/generated/operations.md', 'utf8')).toBe(operationsTable(operations.kms));
});
