import type { AnyOperation } from '../src/operations/define.js';

export function operationsTable(operations: ReadonlyMap<string, AnyOperation>): string;
