// Writes docs/generated from the built registry and tables: `npm run generate`, after a build.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { operations } from '../dist/operations/index.js';
import { schemaOf } from '../dist/shapes/schema.js';
import * as ckr from '../dist/token/host/ckr.js';
import { faultsTable } from './faults-table.mjs';
import { operationSchemas, operationsTable } from './operations-table.mjs';

const write = (name, text) => writeFileSync(new URL(`../docs/generated/${name}`, import.meta.url), text);

write('operations.md', operationsTable(operations.kms));
write('schemas.json', operationSchemas(operations.kms, schemaOf));

const profiles = new URL('../native-config/', import.meta.url);
const parsed = readdirSync(profiles).map((file) => JSON.parse(readFileSync(new URL(file, profiles), 'utf8')));
write('token-faults.md', faultsTable(ckr, parsed));
