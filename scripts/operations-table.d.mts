import type { AnyOperation } from '../src/operations/define.js';
import type { schemaOf } from '../src/shapes/schema.js';

type Operations = ReadonlyMap<string, AnyOperation>;

export function operationsTable(operations: Operations): string;
export function operationSchemas(operations: Operations, schema: typeof schemaOf): string;
