// Writes docs/generated from the built registry: `npm run generate`, after a build.
import { writeFileSync } from 'node:fs';
import { operations } from '../dist/operations/index.js';
import { operationsTable } from './operations-table.mjs';

writeFileSync(new URL('../docs/generated/operations.md', import.meta.url), operationsTable(operations.kms));
