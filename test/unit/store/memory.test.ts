// The store that unit tests keep in memory does with keys and aliases what every store does.
import { beforeEach, describe } from 'vitest';
import type { Store } from '../../../src/ports/store.js';
import { recordSuite } from '../../store/record-suite.js';
import { memoryStore } from '../../support/memory.js';

describe('store in memory', () => {
  let store: Store;
  beforeEach(() => {
    store = memoryStore();
  });
  recordSuite(() => Promise.resolve(store));
});
