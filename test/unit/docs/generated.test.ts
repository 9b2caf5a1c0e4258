// Generated documents are what the registry makes of them today.
import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { faultsTable } from '../../../scripts/faults-table.mjs';
import { operationSchemas, operationsTable } from '../../../scripts/operations-table.mjs';
import { operations } from '../../../src/operations/index.js';
import { schemaOf } from '../../../src/shapes/schema.js';
import * as ckr from '../../../src/token/host/ckr.js';

it('the table of operations and their schemas are current (npm run generate)', () => {
  expect(readFileSync('docs/generated/operations.md', 'utf8')).toBe(operationsTable(operations.kms));
  expect(readFileSync('docs/generated/schemas.json', 'utf8')).toBe(operationSchemas(operations.kms, schemaOf));
});

it.each(['README.md', 'CHANGELOG.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md'])(
  '%s counts no operations, of which there will be more',
  (file) => {
    expect(readFileSync(file, 'utf8')).not.toMatch(/\b\d+ (\w+ )?(KMS )?operations?\b/i);
  },
);

it('the table of faults is current (npm run generate)', () => {
  const profiles = readdirSync('native-config').map(
    (file) => JSON.parse(readFileSync(`native-config/${file}`, 'utf8')) as unknown,
  );
  expect(readFileSync('docs/generated/token-faults.md', 'utf8')).toBe(faultsTable(ckr, profiles));
});
