// Writes docs/generated from the built registry: `npm run generate`, after a build.
import { writeFileSync } from 'node:fs';
import { operations } from '../dist/operations/index.js';
import { schemaOf } from '../dist/shapes/schema.js';
import { operationSchemas, operationsTable } from './operations-table.mjs';

const write = (name, text) => writeFileSync(new URL(`../docs/generated/${name}`, import.meta.url), text);

write('operations.md', operationsTable(operations.kms));
write('schemas.json', operationSchemas(operations.kms, schemaOf));
