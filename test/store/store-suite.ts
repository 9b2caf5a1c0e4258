// What every database must do behind the store's port, whichever it is.
import { afterEach, beforeEach, describe } from 'vitest';
import { Bench, type Database } from './bench.js';
import { backingKeySuite } from './backing-key-suite.js';
import { cacheSuite } from './cache-suite.js';
import { credentialSuite } from './credential-suite.js';
import { keySuite } from './key-suite.js';
import { keyStoreSuite } from './key-store-suite.js';
import { schemaSuite } from './schema-suite.js';
import { sealSuite } from './seal-suite.js';

export function storeSuite(kind: string, create: () => Database): void {
  describe(`store on ${kind}`, () => {
    let bench: Bench;
    beforeEach(() => {
      bench = new Bench(create());
    });
    afterEach(() => bench.dispose());
    const current = () => bench;

    describe('keys and aliases', () => keySuite(current));
    describe('credentials and counters', () => credentialSuite(current));
    describe('seals', () => sealSuite(current));
    describe('backing keys', () => backingKeySuite(current));
    describe('key stores', () => keyStoreSuite(current));
    describe('schema', () => schemaSuite(current));
    describe('cache', () => cacheSuite(current));
  });
}
