// The smallest process that is a token host: what the tests fork.
import { runTokenHost } from '../../dist/token/host/main.js';

runTokenHost();
