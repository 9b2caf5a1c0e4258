// Where a further thread of the token host begins. It throws away what Node left of its own start before it loads anything: so what is loaded lies in
// that room, and not in a megabyte and a half beside it, for each thread.
import { workerData } from 'node:worker_threads';
import type { ThreadData } from './thread-messages.js';

globalThis.gc?.();
const { performAsThread } = await import('./performing-thread.js');
performAsThread(workerData as ThreadData);
