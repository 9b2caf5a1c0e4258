import type { ckrTable, functionAnswers, meanings } from '../src/token/host/ckr.js';

interface Tables {
  readonly ckrTable: typeof ckrTable;
  readonly functionAnswers: typeof functionAnswers;
  readonly meanings: typeof meanings;
}

export function faultsTable(tables: Tables, profiles: readonly unknown[]): string;
